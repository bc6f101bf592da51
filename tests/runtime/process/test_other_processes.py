"""Two gateways on one journal: what reaches one of them is done by the one that serves the account."""

from typing import Any

import pytest
import trio

from oc_trio.agent.scripted import Attach, CallTool, Pause, Say
from oc_trio.callbacks.app import build_app
from oc_trio.config.document import Document
from oc_trio.config.load import Loaded, build
from oc_trio.core.cron_runs import run_by_hand
from oc_trio.core.relayed import CLICK_ACCEPTED, COMMAND_ACCEPTED
from oc_trio.core.slash import PROCESSING, UNKNOWN_CHANNEL
from oc_trio.core.turn_events import Button
from oc_trio.ids import AccountId
from oc_trio.runtime.process.operator_actions import OperatorActions
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from oc_trio.store.relayed import Relayed
from tests.logbook import Logbook
from tests.runtime.handlers.test_command_shares import ALL, holders, second_bot
from tests.runtime.handlers.test_public_port import ACCOUNT, button, execute, sender
from tests.runtime.harness import Harness
from tests.runtime.processes import Process, Processes, leases

STOPPED = "an account stops here: its lease has ended"


def called_at(harness: Harness, process: Process) -> None:
    """From now on Mattermost calls this process."""
    app = build_app(process.gateway.port.registry, metrics=process.gateway.metrics)
    harness.world.slash._send = harness.world.interactions._send = sender(app)


async def pair(harness: Harness, processes: Processes, **tables: Any) -> tuple[Process, Process]:
    """The first serves the account, and Mattermost calls the second."""
    team = harness.world.teams.of(harness.bot.id)[0]
    team.roles[harness.bot.id] = "team_user team_admin"
    loaded = harness.configured(ACCOUNT, **tables)
    one, two = await processes.start("one", loaded), await processes.start("two", loaded)
    await harness.until(lambda: harness.world.commands.of_team(team.id))
    await trio.sleep(1)
    assert (one.state(), two.state()) == ("live", "standby")
    called_at(harness, two)
    return one, two


async def test_a_command_is_answered_by_the_holder(harness: Harness, processes: Processes) -> None:
    """`/oc_status` shows Processing to its caller and then a post for all."""
    _, two = await pair(harness, processes)
    assert await execute(harness, "/oc_status") == PROCESSING
    await harness.until(harness.answers)
    await harness.settled()
    assert len(harness.answers()) == 1
    assert two.sent == []
    assert two.metric("relayed_total", kind="command", result="answered") == 1


async def test_a_click_is_a_turn_of_the_holder(harness: Harness, processes: Processes) -> None:
    """The post shows the choice at once, and the answer follows."""
    _, two = await pair(harness, processes)
    harness.script = [Say("Deploy?"), Attach(buttons=((Button("Yes", "yes"), Button("No", "no")),))]
    harness.say("@helper deploy please")
    await harness.settled()
    (answer,) = harness.ours()
    harness.script = [Say("On its way.")]
    await harness.world.interactions.press(harness.alice, answer.id, button(answer, "Yes"), "", "")
    await harness.settled()
    first, second = harness.ours()
    assert first.props["attachments"] == [{"text": "✓ **Yes** selected by @alice"}]
    assert second.message == "On its way."
    assert two.sent == []


@pytest.mark.slow
async def test_a_question_of_a_turn_is_answered_at_any_process(harness: Harness, processes: Processes) -> None:
    """The turn waits in the holder."""
    answers: list[str] = []

    def script(_: Any) -> Any:
        answers.append((yield CallTool("ask_user", {"question": "Which?", "options": ["Red", "Blue"]})).text)
        yield Say("done")

    await pair(harness, processes)
    harness.script = script
    harness.say("@helper go")
    await harness.until(harness.ours)
    (question,) = harness.ours()
    await trio.sleep(1)
    await harness.world.interactions.press(harness.alice, question.id, button(question, "Blue"), "", "")
    await harness.settled()
    assert answers == ["Blue"]


async def test_a_question_of_a_turn_outlives_a_lease(harness: Harness, processes: Processes, logbook: Logbook) -> None:
    """The machine slept and nobody took over: the turn goes on, and waits at the post that people may have read."""
    team = harness.world.teams.of(harness.bot.id)[0]
    team.roles[harness.bot.id] = "team_user team_admin"
    answers: list[str] = []

    def script(_: Any) -> Any:
        answers.append((yield CallTool("ask_user", {"question": "Which?", "options": ["Red", "Blue"]})).text)
        yield Say("done")

    one = await processes.start("one", harness.configured(ACCOUNT))
    called_at(harness, one)
    harness.script = script
    harness.say("@helper go")
    await harness.until(harness.ours)
    (question,) = harness.ours()
    await trio.sleep(1)
    one.slept = 60.0
    await harness.until(lambda: leases(harness)["default"][1] == 2)
    await trio.sleep(5)
    await harness.world.interactions.press(harness.alice, question.id, button(question, "Blue"), "", "")
    await harness.settled()
    assert answers == ["Blue"]
    assert harness.answers()[1:] == ["done"]
    assert logbook.find(STOPPED)


async def test_a_question_of_a_turn_outlives_a_move(harness: Harness, processes: Processes) -> None:
    """The process that asked stops, another one goes on: the question is shown once, and answered there."""
    answers: list[str] = []

    def script(_: Any) -> Any:
        answers.append((yield CallTool("ask_user", {"question": "Which?", "options": ["Red", "Blue"]})).text)
        yield Say("done")

    one, two = await pair(harness, processes, gateway={"drainSeconds": 1})
    harness.script = script
    harness.say("@helper go")
    await harness.until(harness.ours)
    (question,) = harness.ours()
    await one.stop()
    await harness.until(lambda: two.state() == "live")
    await trio.sleep(5)
    await harness.world.interactions.press(harness.alice, question.id, button(question, "Blue"), "", "")
    await harness.settled()
    assert answers == ["Blue"]
    assert harness.answers() == ["Which?", "done"]


@pytest.mark.slow
async def test_what_comes_between_two_holders_is_received_and_done_once(harness: Harness, processes: Processes) -> None:
    """The holder is killed; a click, another one and a command come before the account is taken over."""
    one, _two = await pair(harness, processes)
    harness.script = [Say("Deploy?"), Attach(buttons=((Button("Yes", "yes"), Button("No", "no")),))]
    harness.say("@helper deploy please")
    await harness.settled()
    (answer,) = harness.ours()
    harness.script = [Say("On its way.")]
    await one.kill()
    shown: list[Any] = []
    harness.world.interactions._send = remembering(harness.world.interactions._send, shown)

    async def command() -> None:
        assert await execute(harness, "/oc_status") == COMMAND_ACCEPTED

    async with trio.open_nursery() as nursery:
        for name in ("Yes", "No"):
            press = harness.world.interactions.press
            nursery.start_soon(press, harness.alice, answer.id, button(answer, name), "", "")
        nursery.start_soon(command)
    assert [CLICK_ACCEPTED in text for text in shown] == [True, True]
    await harness.until(lambda: len(harness.ours()) == 3)
    await harness.settled()
    first, *others = harness.ours()
    assert "selected by @alice" in first.props["attachments"][0]["text"]
    assert sorted(post.message == "On its way." for post in others) == [False, True]
    assert len(harness.agent.requests) == 2


async def test_a_received_command_waits_until_its_caller_can_be_looked_up(
    harness: Harness, processes: Processes
) -> None:
    """Who has read that it was received is not forgotten because Mattermost fails in that moment."""
    one, two = await pair(harness, processes)
    await one.kill()
    assert await execute(harness, "/oc_status") == COMMAND_ACCEPTED
    asked: list[str] = []

    async def fail(request: SandboxRequest) -> SandboxResponse | None:
        await trio.lowlevel.checkpoint()
        if request.path != f"/api/v4/users/{harness.alice.id}":
            return None
        asked.append(request.path)
        return SandboxResponse(504)

    harness.faults.before_rules.append(fail)
    await harness.until(lambda: two.state() == "live")
    await harness.until(lambda: len(asked) > 1)
    assert harness.answers() == []
    # Who calls the process that serves the account is told to try again.
    assert await execute(harness, "/oc_status") == UNKNOWN_CHANNEL
    harness.faults.before_rules.remove(fail)
    await harness.until(harness.answers)
    await trio.sleep(5)
    assert len(harness.answers()) == 1
    assert two.metric("relayed_handled_total", account="default", kind="command", result="handled") == 1


def remembering(send: Any, shown: list[Any]) -> Any:
    async def call(request: Any) -> Any:
        answer = await send(request)
        shown.append(answer.body.decode())
        return answer

    return call


@pytest.mark.slow
async def test_a_click_that_its_holder_dies_of_is_done_once(
    harness: Harness, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was admitted, and its row had not ended: the next holder finds it used, and answers it as any open message."""
    one, two = await pair(harness, processes)
    harness.script = [Say("Deploy?"), Attach(buttons=((Button("Yes", "yes"),),))]
    harness.say("@helper deploy please")
    await harness.settled()
    (answer,) = harness.ours()
    harness.script = [Say("On its way.", delay=3.0)]
    is_ending, real = trio.Event(), Relayed.end

    async def end(*_: Any) -> bool:
        monkeypatch.setattr(Relayed, "end", real)
        is_ending.set()
        await trio.sleep_forever()
        return False

    monkeypatch.setattr(Relayed, "end", end)
    async with trio.open_nursery() as nursery:
        press = harness.world.interactions.press
        nursery.start_soon(press, harness.alice, answer.id, button(answer, "Yes"), "", "")
        await is_ending.wait()
        await one.kill()
    await harness.until(lambda: two.state() == "live")
    await harness.settled()
    await trio.sleep(5)
    assert harness.answers().count("On its way.") == 1
    assert harness.journal.execute("SELECT COUNT(*) FROM relayed WHERE state <> 'ended'").fetchone() == (0,)


async def test_a_turn_is_stopped_from_any_process(harness: Harness, processes: Processes) -> None:
    """By the status page of a process that stands by."""
    _, two = await pair(harness, processes)
    harness.script = [Say("a "), Pause(60), Say("b")]
    post = harness.say("@helper go")
    await harness.until(harness.ours)
    (key,) = (row.key for row in await harness.store.sessions.list(AccountId("default")))
    inputs = two.gateway.admin_inputs(harness.store)
    actions = OperatorActions(
        inputs.accounts, harness.store, inputs.loaded, inputs.dependencies, harness.now_ms, inputs.relay
    )
    assert await actions.stop({"session": key}) == f"Stopped: {key}"
    await harness.settled()
    assert await harness.state(post) == "cancelled: stopped"


async def test_a_run_by_hand_reaches_the_holder_at_once(harness: Harness, processes: Processes) -> None:
    """A command tells the process of its machine, and that one the others."""
    job = {"expression": "0 0 1 1 *", "target": "channel:" + harness.square.id, "message": "tea time"}
    _, two = await pair(harness, processes, cron={"jobs": {"tea": job}})
    await trio.sleep(5)
    await harness.store.cron_runs.record(run_by_hand("tea", AccountId("default"), harness.now_ms(), "n1"))
    changed = two.gateway.admin_inputs(harness.store).jobs_changed
    assert changed is not None
    changed()
    await harness.until(harness.answers, within=3.0)
    assert harness.answers() == ["tea time"]


@pytest.mark.slow
async def test_a_reload_on_one_host_is_a_reload_on_all(
    harness: Harness, processes: Processes, logbook: Logbook
) -> None:
    """Each reads its own file, once; a file that can't be used changes nothing, there or elsewhere."""
    reads: list[str] = []

    def reread(process: Process, fresh: Loaded) -> None:
        async def read() -> Loaded:
            await trio.lowlevel.checkpoint()
            reads.append(process.name)
            return fresh

        process.gateway.reread = read

    one, two = await pair(harness, processes)
    fresh = harness.configured({**ACCOUNT, "name": "Helper"})
    for process in (one, two):
        reread(process, fresh)
    await two.gateway.reload_everywhere()
    await trio.sleep(5)
    assert sorted(reads) == ["one", "two"]
    assert one.gateway.health.reload.restarted == ("default",)
    await harness.until(lambda: one.state() == "live")

    async def broken() -> Loaded:
        await trio.lowlevel.checkpoint()
        return build(Document({"channels": {"mattermost": {"nonsense": 1}}}), {})

    two.gateway.reread = broken
    assert await two.gateway.reload_everywhere() is None
    await trio.sleep(5)
    assert sorted(reads) == ["one", "two"]
    assert logbook.find("the configuration is not used")


async def test_a_hook_reaches_the_holder(harness: Harness, processes: Processes) -> None:
    """Any process takes it, with its id."""
    _, two = await pair(harness, processes, hooks={"enabled": True, "token": "a-secret-of-hooks"})
    app = build_app(two.gateway.port.registry, metrics=two.gateway.metrics)
    harness.script = [Say("summary")]
    client: Any = app.test_client()
    body = {"message": "summarise", "to": f"channel:{harness.square.id}"}
    response = await client.post("/hooks/agent", json=body, headers={"Authorization": "Bearer a-secret-of-hooks"})
    assert response.status_code == 202
    await harness.until(lambda: "summary" in harness.answers())
    await harness.settled()
    assert two.sent == []


async def test_accounts_of_different_processes_share_commands_out(harness: Harness, processes: Processes) -> None:
    """The first of the configuration keeps them, whichever process is faster; the other one says what it lacks."""
    tokens = {"east": harness.bot.token, "west": second_bot(harness).token}
    native = {"native": True, "callbackUrl": "http://gw.test/command"}
    accounts = {name: {"botToken": token} for name, token in tokens.items()}
    for name in ("east", "west"):
        loaded = harness.configured(
            {"commands": native, "botToken": "", "accounts": accounts}, gateway={"accounts": [name]}
        )
        await processes.start(name, loaded)
        await trio.sleep(10)
    assert holders(harness) == {"helper": ALL}
    west = processes.started[1]
    assert west.serves == {"west"}
    (note,) = west.gateway.health.account(AccountId("west")).notes
    assert "account east" in note


async def test_a_click_at_a_former_holder_goes_to_the_next_one(
    harness: Harness, processes: Processes, logbook: Logbook
) -> None:
    """The journal refuses the former one's write: the click is not refused, and counts once."""
    one, two = await pair(harness, processes)
    harness.script = [Say("Deploy?"), Attach(buttons=((Button("Yes", "yes"),),))]
    harness.say("@helper deploy please")
    await harness.settled()
    (answer,) = harness.ours()
    harness.script = [Say("On its way.")]
    called_at(harness, one)
    # As after a pause of the whole machine: the other one has the account, and this one does not know it yet.
    harness.journal.execute("UPDATE leases SET deadline = 0, epoch = epoch + 1")
    await harness.world.interactions.press(harness.alice, answer.id, button(answer, "Yes"), "", "")
    await harness.until(lambda: harness.answers().count("On its way.") == 1)
    await harness.settled()
    assert harness.answers().count("On its way.") == 1
    assert one.state() == "standby" or two.state() == "standby"
    assert not logbook.find("callback failed")
    logbook.find(STOPPED)
