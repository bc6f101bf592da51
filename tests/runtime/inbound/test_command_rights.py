"""`commands.allowFrom` over every way by which a command can reach its execution: one decision, whichever way."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from oc_trio.agent.scripted import Pause, Say
from oc_trio.config.document import Document
from oc_trio.config.load import build
from oc_trio.core.ledger import Source
from oc_trio.core.questions import Answer, Question
from oc_trio.core.slash import BUILT_IN, PROCESSING
from oc_trio.ids import ChannelId, SessionKey
from oc_trio.runtime.handlers.questions import QuestionPlace
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from tests.runtime.callback_harness import callback_harness
from tests.runtime.harness import Harness

DENIED = "You may not use this bot's commands."

WAYS = [
    pytest.param("@helper /stop", id="a message"),
    pytest.param("@helper !stop", id="with an exclamation mark"),
    pytest.param("@helper stop", id="a bare word with a mention"),
    pytest.param("!stop", id="written as a command, without a mention"),
    pytest.param("🛑", id="the stop reaction"),
]


@pytest.mark.slow
@pytest.mark.parametrize("may", [True, False], ids=["listed", "not listed"])
@pytest.mark.parametrize("way", WAYS)
async def test_stopping_an_answer(harness: Harness, way: str, *, may: bool) -> None:
    """Somebody who may talk to the bot, but not command it, leaves the answer as it is."""
    listed = [harness.alice.id, *([harness.bob.id] if may else [])]
    await harness.start(commands={"allowFrom": {"mattermost": listed}})
    harness.script = [Say("one", delay=0), Pause(30), Say(" two")]
    asking_post = harness.say("@helper count")
    await harness.until(lambda: harness.answers() == ["one"])
    if way == "🛑":
        harness.react(harness.ours()[0], "octagonal_sign", by=harness.bob)
    else:
        harness.say(way, by=harness.bob, root=asking_post)
    await harness.settled()
    assert await harness.state(asking_post) == ("cancelled: stopped" if may else "delivered")


@pytest.mark.parametrize("may", [True, False], ids=["listed", "not listed"])
async def test_a_message_edited_into_a_command(harness: Harness, *, may: bool) -> None:
    """A post that was for nobody becomes a command by its edit, for who may command."""
    listed = [harness.alice.id, *([harness.bob.id] if may else [])]
    own_words = {"implicitMentions": {"threadParticipation": False}}
    await harness.start(own_words, commands={"allowFrom": {"mattermost": listed}})
    harness.script = [Say("one", delay=0), Pause(30), Say(" two")]
    asking_post = harness.say("@helper count")
    await harness.until(lambda: harness.answers() == ["one"])
    post = harness.say("good grief", by=harness.bob, root=asking_post)
    await trio.sleep(1)
    harness.edit(post, "@helper /stop")
    await harness.settled()
    assert await harness.state(asking_post) == ("cancelled: stopped" if may else "delivered")


@pytest.mark.parametrize("may", [True, False], ids=["listed", "not listed"])
@pytest.mark.parametrize("is_down", [False, True], ids=["while it waits", "while the gateway is down"])
async def test_an_admitted_message_edited_into_a_command(harness: Harness, *, is_down: bool, may: bool) -> None:
    """It stays a message to the agent, whoever wrote it: what it says now is read, nothing is carried out."""
    listed = [harness.alice.id, *([harness.bob.id] if may else [])]
    rules = {"allowFrom": {"mattermost": listed}}
    queue = {"queue": {"mode": "followup"}}
    await harness.start(commands=rules, messages=queue)
    harness.script = [Say("one", delay=0), Pause(30), Say(" two")]
    asking_post = harness.say("@helper count")
    await harness.until(lambda: harness.answers() == ["one"])
    waiting = harness.say("@helper good grief", by=harness.bob, root=asking_post)
    await trio.sleep(5)
    if is_down:
        await harness.crash()
        harness.edit(waiting, "@helper /stop")
        await harness.start(commands=rules, messages=queue)
    else:
        harness.edit(waiting, "@helper /stop")
    await harness.settled()
    assert (await harness.state(asking_post), await harness.state(waiting)) == ("delivered", "delivered")
    assert harness.agent.requests[-1].messages[-1].text.split("\n")[0].endswith(": /stop")


async def test_a_dialog_s_words_are_an_answer(autojump_clock: MockClock) -> None:
    """What is written into a question's dialog goes to the agent that asked, never to the commands."""
    callbacks = callback_harness(groupPolicy="open", rules={"allowFrom": {"mattermost": ["z" * 26]}})
    question, answers = Question("q1", "What now?"), list[Answer | None]()
    async with callbacks.running(), trio.open_nursery() as nursery:

        async def ask() -> None:
            place = QuestionPlace(SessionKey("agent:main:x"), ChannelId(callbacks.square.id))
            answers.append(await callbacks.questions.ask(question, place))

        nursery.start_soon(ask)
        await trio.sleep(1)
        (post,) = callbacks.posts()
        opened: list[dict[str, Any]] = []
        callbacks.world.interactions.open_dialog = opened.append  # type: ignore[method-assign, assignment]
        await callbacks.press(post.id, "Answer", by=callbacks.mallory)
        submission = {
            "url": opened[0]["url"],
            "callback_id": opened[0]["dialog"]["callback_id"],
            "state": opened[0]["dialog"]["state"],
            "channel_id": callbacks.square.id,
            "submission": {"answer": "/stop"},
        }
        assert await callbacks.world.interactions.submit_dialog(callbacks.mallory, submission) == {}
        await trio.sleep(1)
        assert answers == [Answer("q1", "/stop")]
        assert callbacks.admitted == []


@pytest.mark.parametrize("trigger", [spec.trigger for spec in BUILT_IN])
async def test_native_slash_commands(trigger: str, autojump_clock: MockClock) -> None:
    """Each is refused in words to who may talk, but not command; who is listed may."""
    async with callback_harness(groupPolicy="open").running() as callbacks:
        await callbacks.registered()
        alice, mallory = callbacks.alice.id, callbacks.mallory.id
    async with callback_harness(groupPolicy="open", rules={"allowFrom": {"*": [alice]}}).running() as callbacks:
        assert (callbacks.alice.id, callbacks.mallory.id) == (alice, mallory), "the same seed gives the same people"
        await callbacks.registered()
        assert (await callbacks.execute(f"/{trigger}", by=callbacks.mallory))["text"] == DENIED
        assert callbacks.admitted == []
        assert callbacks.posts() == []
        assert (await callbacks.execute(f"/{trigger}"))["text"] == PROCESSING


async def test_the_model_picker(autojump_clock: MockClock) -> None:
    """A picker that was opened before the rules changed is of no use to its opener."""
    callbacks = callback_harness()
    async with callbacks.running():
        await callbacks.registered()
        await callbacks.execute("/oc_models")
        await trio.sleep(1)
        (post,) = callbacks.posts()
    values = {
        "channels": {
            "mattermost": {
                "botToken": callbacks.bot.token,
                "baseUrl": "http://mm.test",
                "commands": {"native": True},
                "groupPolicy": "open",
            }
        },
        "commands": {"allowFrom": {"mattermost": [callbacks.mallory.id]}},
    }
    callbacks.loaded = build(Document(values), {}, connect=False)
    async with callbacks.running():
        assert await callbacks.press(post.id, "big (10)") == {"ephemeral_text": DENIED}
        assert callbacks.admitted == []


async def test_buttons_are_never_commands(autojump_clock: MockClock) -> None:
    """What a button carries is told to the agent as what it is, whoever clicks and whatever it looks like."""
    async with callback_harness(rules={"allowFrom": {"mattermost": []}}).running() as callbacks:
        for value in ("/stop", "/new", "!model x"):
            post = await callbacks.post_buttons(value)
            await callbacks.press(post, value)
        assert [command for _, command in callbacks.admitted] == [None, None, None]
        assert all(message.text.startswith("[Button click: ") for message, _ in callbacks.admitted)
        assert {message.source for message, _ in callbacks.admitted} == {Source.BUTTON}


async def test_what_was_admitted_before_the_rules_changed(harness: Harness) -> None:
    """A restart carries out a command that was admitted, unless its sender may not command any more."""
    await harness.start()

    async def hang(request: SandboxRequest) -> SandboxResponse | None:
        if request.method == "POST" and request.path.endswith("/posts"):
            await trio.sleep_forever()
        return None

    harness.faults.before_rules.append(hang)
    asking_post = harness.say("@helper /model big/one")
    await harness.until(lambda: harness.journal.execute("SELECT count(*) FROM obligations").fetchone()[0])
    await harness.crash()
    harness.faults.before_rules.clear()
    # As if the process had died a moment earlier, between the admission and the command.
    harness.journal.execute("DELETE FROM outbox")
    await harness.start(commands={"allowFrom": {"mattermost": [harness.bob.id]}})
    await harness.settled()
    assert harness.answers() == [DENIED]
    assert await harness.state(asking_post) == "delivered"
