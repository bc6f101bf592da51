"""The whole way round: people use commands and buttons in the sandbox, the gateway is called back and answers."""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
import trio

from oc_trio.agent.scripted import Attach, CallTool, Pause, Say
from oc_trio.callbacks.app import build_app
from oc_trio.core.interactions import EXPIRED
from oc_trio.core.turn_events import Button, ToolStatus
from oc_trio.sandbox.outgoing import IntegrationRequest, IntegrationResponse
from oc_trio.sandbox.records import PostRecord
from tests.runtime.harness import Harness

GATEWAY = {"port": 0}
ACCOUNT = {
    "commands": {"native": True, "callbackUrl": "http://gw.test/cmd"},
    "interactions": {"callbackBaseUrl": "http://gw.test", "allowedSourceIps": ["127.0.0.1"]},
    "capabilities": ["inlineButtons"],
}


def sender(app: Any) -> Callable[[IntegrationRequest], Awaitable[IntegrationResponse]]:
    """Calls a public port's app in process, from this machine."""

    async def call(out: IntegrationRequest) -> IntegrationResponse:
        response = await app.test_client().open(
            urlsplit(out.url).path,
            method=out.method,
            data=out.body,
            headers=dict(out.headers),
            scope_base={"client": ("127.0.0.1", 1)},
        )
        body = bytes(await response.get_data(as_text=False))
        return IntegrationResponse(response.status_code, response.headers.get("content-type", ""), body)

    return call


async def open_for_business(harness: Harness, **tables: Any) -> None:
    """Start the gateway as a team's administrator, and let the sandbox call it in process."""
    team = harness.world.teams.of(harness.bot.id)[0]
    team.roles[harness.bot.id] = "team_user team_admin"
    gateway = await harness.start(ACCOUNT, gateway=GATEWAY, **tables)
    call = sender(build_app(gateway.port.registry, metrics=gateway.metrics))
    harness.world.slash._send = call
    harness.world.interactions._send = call
    await harness.until(lambda: harness.world.commands.of_team(team.id))
    await trio.sleep(1)


async def execute(harness: Harness, line: str, root_id: str = "") -> str:
    body = {"channel_id": harness.square.id, "team_id": harness.square.team_id, "command": line, "root_id": root_id}
    return str((await harness.world.slash.execute(harness.alice, body))["text"])


def button(post: PostRecord, name: str) -> str:
    actions = [action for each in post.props["attachments"] for action in each.get("actions", [])]
    return next(str(action["id"]) for action in actions if action["name"] == name)


async def test_a_slash_command_is_answered_in_the_channel(harness: Harness) -> None:
    """`/oc_status` shows Processing to its caller and then a post for all."""
    await open_for_business(harness)
    assert await execute(harness, "/oc_status") == "Processing..."
    await harness.until(harness.answers)
    assert "**oc_trio** as @helper" in harness.answers()[0]
    await harness.settled()


async def test_a_button_of_an_answer_leads_to_the_next_turn(harness: Harness) -> None:
    """The agent offers buttons; the click is a message in the same thread, answered there."""
    await open_for_business(harness)
    rows = ((Button("Yes", "yes"), Button("No", "no")),)
    harness.script = [Say("Deploy?"), Attach(buttons=rows)]
    question = harness.say("@helper deploy please")
    await harness.settled()
    (answer,) = harness.ours()
    harness.script = [Say("On its way.")]
    await harness.world.interactions.press(harness.alice, answer.id, button(answer, "Yes"), "", "")
    await harness.settled()
    first, second = harness.ours()
    assert first.props["attachments"] == [{"text": "✓ **Yes** selected by @alice"}]
    assert (second.message, second.root_id) == ("On its way.", question.id)


async def test_a_click_that_a_crash_interrupts_is_answered_after_the_restart(harness: Harness) -> None:
    """What was clicked is in the journal: the next run answers it, once."""
    await open_for_business(harness)
    harness.script = [Say("Deploy?"), Attach(buttons=((Button("Yes", "yes"),),))]
    harness.say("@helper deploy please")
    await harness.settled()
    (answer,) = harness.ours()
    harness.script = [Say("On its way.", delay=5.0)]
    await harness.world.interactions.press(harness.alice, answer.id, button(answer, "Yes"), "", "")
    await harness.crash()
    assert len(harness.answers()) == 1
    await harness.start(ACCOUNT, gateway=GATEWAY)
    await harness.settled()
    assert harness.answers().count("On its way.") == 1


async def test_only_who_asked_approves(harness: Harness) -> None:
    """With `approvers = "asker"` somebody else's click is told so, alone; the asker's approves what was shown."""
    results: list[Any] = []

    def script(request: Any) -> Any:
        results.append((yield CallTool("message", {"action": "send", "message": "approved words"})))
        yield Say("done")

    await open_for_business(harness, agents={"defaults": {"tools": {"approve": ["message"], "approvers": "asker"}}})
    harness.script = script
    harness.say("@helper go", by=harness.alice)
    await harness.until(harness.ours)
    (question,) = harness.ours()
    assert question.message == 'Approve: `message`?\n```text\naction = "send"\nmessage = "approved words"\n```'
    await harness.world.interactions.press(harness.bob, question.id, button(question, "Approve"), "", "")
    await trio.sleep(5)
    assert results == []
    await harness.world.interactions.press(harness.alice, question.id, button(question, "Approve"), "", "")
    await harness.settled()
    assert [result.status for result in results] == [ToolStatus.COMPLETED]
    assert "approved words" in harness.answers()


async def test_a_reply_in_its_thread_answers_a_question(harness: Harness) -> None:
    """Without a mention, although nothing else of the bot is there yet; a message elsewhere is none."""
    answers: list[str] = []

    def script(_: Any) -> Any:
        answers.append((yield CallTool("ask_user", {"question": "Which?", "free_text": True})).text)
        yield Say("done")

    await open_for_business(harness)
    harness.script = script
    root = harness.say("@helper go")
    await harness.until(harness.ours)
    harness.say("Red")
    await trio.sleep(1)
    assert answers == []
    harness.say("Blue", root=root)
    await harness.settled()
    assert answers == ["Blue"]
    assert harness.answers() == ["Which?", "done"]


async def test_a_question_outlives_a_stop(harness: Harness) -> None:
    """It is shown once, with its buttons for as long as the gateway is away, and a click after the start answers it."""
    answers: list[str] = []

    def script(_: Any) -> Any:
        answers.append((yield CallTool("ask_user", {"question": "Which?", "options": ["Red", "Blue"]})).text)
        yield Say("done")

    await open_for_business(harness)
    harness.script = script
    harness.say("@helper go")
    await harness.until(harness.ours)
    (question,) = harness.ours()
    await harness.stop()
    assert [action["name"] for action in question.props["attachments"][0]["actions"]] == ["Red", "Blue"]
    await open_for_business(harness)
    await trio.sleep(1)
    await harness.world.interactions.press(harness.alice, question.id, button(question, "Blue"), "", "")
    await harness.settled()
    assert answers == ["Blue"]
    assert harness.answers() == ["Which?", "done"]
    assert question.props["attachments"] == [{"text": "✓ **Blue** selected by @alice"}]


async def test_an_approval_does_not_outlive_a_stop(harness: Harness) -> None:
    """Its buttons go, and the call is asked about anew."""
    agents = {"defaults": {"tools": {"approve": ["message"]}}}
    await open_for_business(harness, agents=agents)
    harness.script = [CallTool("message", {"action": "send", "message": "words"}), Say("done")]
    harness.say("@helper go")
    await harness.until(harness.ours)
    (question,) = harness.ours()
    await harness.stop()
    assert question.props["attachments"] == [{"text": f"_{EXPIRED}_"}]
    await open_for_business(harness, agents=agents)
    await harness.until(lambda: len(harness.ours()) == 2)
    anew = harness.ours()[1]
    await harness.world.interactions.press(harness.alice, anew.id, button(anew, "Deny"), "", "")
    await harness.settled()
    assert harness.answers()[-1] == "done"


@pytest.mark.parametrize("is_clicked_between", [False, True], ids=["waits again", "clicked before it is asked again"])
async def test_a_question_outlives_a_crash(harness: Harness, *, is_clicked_between: bool) -> None:
    """The turn that is run again waits at the question that stands. A click that came before it did is a message of its
    own, and the question is put anew.
    """
    answers: list[str] = []
    may_ask = trio.Event()
    may_ask.set()

    def script(request: Any) -> Any:
        if ": [Button click" in request.messages[-1].text:
            yield Say("heard")
            return
        while not may_ask.is_set():
            yield Pause(1)
        answers.append((yield CallTool("ask_user", {"question": "Which?", "options": ["Red", "Blue"]})).text)
        yield Say("done")

    await open_for_business(harness)
    harness.script = script
    harness.say("@helper go")
    await harness.until(harness.ours)
    (question,) = harness.ours()
    await harness.crash()
    # As if the process had been killed: it did not come to note that nobody waits any more.
    harness.journal.execute("DELETE FROM claims")
    if is_clicked_between:
        may_ask = trio.Event()
    await open_for_business(harness)
    if is_clicked_between:
        await harness.world.interactions.press(harness.alice, question.id, button(question, "Red"), "", "")
        await trio.sleep(1)
        may_ask.set()
        await harness.until(lambda: len([post for post in harness.ours() if post.message == "Which?"]) == 2)
        question = [post for post in harness.ours() if post.message == "Which?"][-1]
    await trio.sleep(5)
    await harness.world.interactions.press(harness.alice, question.id, button(question, "Blue"), "", "")
    await harness.settled()
    assert answers == ["Blue"]
    expected = ["Which?", "Which?", "done", "heard"] if is_clicked_between else ["Which?", "done"]
    assert sorted(harness.answers()) == sorted(expected)


async def test_a_question_whose_wait_was_ended_is_put_anew(harness: Harness) -> None:
    """A stop notes that nobody waits any more: the next run asks by a post of its own, which can be answered."""
    answers: list[str] = []

    def script(_: Any) -> Any:
        answers.append((yield CallTool("ask_user", {"question": "Which?", "options": ["Red", "Blue"]})).text)
        yield Say("done")

    await open_for_business(harness)
    harness.script = script
    harness.say("@helper go")
    await harness.until(harness.ours)
    await harness.crash()
    await open_for_business(harness)
    await harness.until(lambda: len(harness.ours()) == 2)
    _, question = harness.ours()
    await trio.sleep(1)
    await harness.world.interactions.press(harness.alice, question.id, button(question, "Blue"), "", "")
    await harness.settled()
    assert answers == ["Blue"]
