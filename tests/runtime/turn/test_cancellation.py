"""Every way to end a turn before its answer is complete: what people see, what is owed, what is closed."""

from collections.abc import Callable

import httpx
import pytest
import trio
import trio.lowlevel

from oc_trio.agent.scripted import Pause, Say
from oc_trio.core.draft_view import StreamMode
from oc_trio.core.final_plan import INTERRUPTED, STOPPED
from oc_trio.core.turn_events import ToolStarted
from oc_trio.sandbox.records import ChannelRecord, PostRecord
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from oc_trio.sandbox.writing import Change
from tests.runtime.harness import Harness

LONG = Say("one two three four five six seven eight nine ten " * 20, delay=0.2)


async def begun(harness: Harness, text: str = "@helper count", channel: ChannelRecord | None = None) -> PostRecord:
    """Ask for a long answer and wait until its draft shows some words."""
    harness.script = [LONG]
    question = harness.say(text, channel=channel)
    await harness.until(lambda: any("one two" in text for text in harness.answers(channel)))
    assert harness.agent.open == 1
    return question


async def usable(harness: Harness, root: PostRecord | str = "", channel: ChannelRecord | None = None) -> None:
    """The conversation answers the next message at once, and no task or model request of the old turn is left."""
    assert harness.agent.open == 0
    harness.script = [Say("at your service", delay=0.01)]
    began = trio.current_time()
    harness.say("@helper and now?", root=root, channel=channel)
    await harness.until(lambda: "at your service" in harness.answers(channel))
    assert trio.current_time() - began < 1.5


def stop_by_command(harness: Harness, question: PostRecord) -> None:
    harness.say("@helper /stop", root=question)


def stop_by_registered_name(harness: Harness, question: PostRecord) -> None:
    harness.say("@helper /oc_stop", root=question)


def stop_by_bare_word(harness: Harness, question: PostRecord) -> None:
    harness.say("@helper stop", root=question)


def stop_by_bang(harness: Harness, question: PostRecord) -> None:
    harness.say("!stop", root=question)


def stop_by_someone_else(harness: Harness, question: PostRecord) -> None:
    harness.say("@helper please stop", root=question, by=harness.bob)


@pytest.mark.parametrize(
    "stop", [stop_by_command, stop_by_registered_name, stop_by_bare_word, stop_by_bang, stop_by_someone_else]
)
async def test_people_stop_an_answer_with_words(harness: Harness, stop: Callable[[Harness, PostRecord], None]) -> None:
    """The model request closes, the draft is sealed with what was said, and the stop is acknowledged."""
    await harness.start()
    question = await begun(harness)
    stop(harness, question)
    await harness.settled()
    assert (harness.agent.open, harness.agent.cancelled) == (0, 1)
    draft, notice = harness.ours()
    assert draft.message.startswith("one two")
    assert draft.message.endswith(STOPPED)
    assert notice.message == "⚙️ Agent was aborted."
    assert await harness.state(question) == "cancelled: stopped"
    edits = len(draft.history)
    await usable(harness, question)
    await trio.sleep(30)
    assert len(draft.history) == edits


async def test_a_bare_stop_in_a_direct_message(harness: Harness) -> None:
    """No mention is needed where every message is meant for the bot."""
    await harness.start()
    direct = harness.direct()
    question = await begun(harness, "count", direct)
    harness.say("stop", channel=direct)
    await harness.settled()
    assert harness.ours(direct)[0].message.endswith(STOPPED)
    assert await harness.state(question) == "cancelled: stopped"
    await usable(harness, channel=direct)


async def test_a_stop_with_nothing_to_stop(harness: Harness) -> None:
    """A stop without a running turn is acknowledged, too."""
    await harness.start()
    question = harness.say("@helper stop")
    await harness.settled()
    assert harness.answers() == ["Nothing is running here."]
    assert await harness.state(question) == "delivered"


async def test_a_stop_sign_on_the_draft(harness: Harness) -> None:
    """A reaction by someone who could have asked ends the turn without a word."""
    await harness.start()
    question = await begun(harness)
    [draft] = harness.ours()
    harness.react(draft, "octagonal_sign", by=harness.bob)
    await harness.settled()
    assert (harness.agent.open, len(harness.ours())) == (0, 1)
    assert draft.message.endswith(STOPPED)
    assert await harness.state(question) == "cancelled: stopped"
    await usable(harness, question)


@pytest.mark.slow
async def test_a_stop_sign_by_a_stranger_or_another_sign(harness: Harness) -> None:
    """Who may not ask may not stop, and other reactions mean nothing."""
    await harness.start({"groupPolicy": "allowlist", "groupAllowFrom": [harness.alice.id]})
    question = await begun(harness)
    [draft] = harness.ours()
    harness.react(draft, "octagonal_sign", by=harness.bob)
    harness.react(draft, "thumbsup")
    await harness.settled()
    assert await harness.state(question) == "delivered"
    assert not draft.message.endswith(STOPPED)


async def test_the_message_is_deleted_in_a_thread(harness: Harness) -> None:
    """The turn ends, and the draft keeps what was said."""
    await harness.start()
    root = harness.say("a thread about counting")
    harness.script = [LONG]
    question = harness.say("@helper count", root=root)
    await harness.until(lambda: any("one two" in text for text in harness.answers()))
    harness.delete(question)
    await harness.settled()
    assert harness.agent.open == 0
    assert harness.answers()[0].endswith(STOPPED)
    assert await harness.state(question) == "cancelled: the message was deleted"
    await usable(harness, root)


LONGER = Say("one two " * 400, delay=0.2)


def half_open(harness: Harness) -> None:
    """The events of the next half minute are lost; then there is a new connection."""
    [connection] = [each for each in harness.world.hub.connections() if each.live]
    connection.frozen = True


@pytest.mark.slow
async def test_a_deletion_that_no_event_told_of(harness: Harness) -> None:
    """What is being answered is looked at again once there is a new connection."""
    await harness.start()
    root = harness.say("a thread")
    question = harness.say("@helper count", root=root)
    harness.script = [LONGER]
    await harness.until(harness.answers)
    half_open(harness)
    harness.delete(question)
    await harness.settled()
    assert harness.answers()[0].endswith(STOPPED)
    assert await harness.state(question) == "cancelled: the message was deleted"


async def test_an_edit_that_a_crash_overtakes(harness: Harness) -> None:
    """The turn that was to be run again had not ended yet: the next start asks for the new words all the same."""

    async def hang(request: SandboxRequest) -> SandboxResponse | None:
        if request.method == "POST" and request.path.endswith("/posts"):
            await trio.sleep(100)
        return None

    await harness.start()
    harness.faults.before_rules.append(hang)
    harness.script = [LONG]
    question = harness.say("@helper count")
    await trio.sleep(2)
    harness.edit(question, "@helper count backwards")
    await trio.sleep(1)
    await harness.crash()
    harness.faults.before_rules.clear()
    harness.script = [Say("three two one", delay=0.01)]
    await harness.start()
    await harness.settled()
    [message] = harness.agent.requests[-1].messages
    assert "count backwards" in message.text
    assert harness.answers() == ["three two one"]


@pytest.mark.parametrize("mode", ["websocket", "poll"])
async def test_an_edit_that_no_event_told_of(harness: Harness, mode: str) -> None:
    """The answer begins again, to the new words."""
    await harness.start({"connection": {"mode": mode}})
    question = harness.say("@helper count")
    harness.script = lambda request: [Say("backwards") if "back" in request.messages[-1].text else LONGER]
    await harness.until(harness.answers)
    if mode == "websocket":
        half_open(harness)
    harness.edit(question, "@helper count back")
    await harness.settled()
    assert harness.answers() == ["backwards"]
    assert (len(harness.agent.requests), await harness.state(question)) == (2, "delivered")


async def test_the_root_of_the_thread_is_deleted(harness: Harness) -> None:
    """The draft is gone with its root: nothing is written any more, nothing is owed."""
    await harness.start()
    question = await begun(harness)
    harness.delete(question)
    await harness.settled()
    assert (harness.agent.open, harness.answers()) == (0, [])
    assert await harness.state(question) == "cancelled: the message was deleted"
    await usable(harness)


async def test_the_message_is_edited(harness: Harness) -> None:
    """The new words are answered in the draft that is already there."""
    await harness.start()
    question = await begun(harness)
    harness.script = [Say("answer to other words", delay=0.1)]
    harness.edit(question, "@helper something else")
    await harness.settled()
    assert harness.agent.open == 0
    assert harness.answers() == ["answer to other words"]
    assert "something else" in harness.agent.requests[-1].messages[-1].text
    assert len(harness.agent.requests[-1].messages) == 1
    assert await harness.state(question) == "delivered"
    await usable(harness, question)


async def test_the_message_gets_a_pin(harness: Harness) -> None:
    """An edit event without new words changes nothing."""
    await harness.start()
    harness.script = [Say("one two three four five six", delay=0.3)]
    question = harness.say("@helper count")
    await harness.until(lambda: harness.answers())
    harness.world.writing.apply(question, Change(is_pinned=True))
    await harness.settled()
    assert harness.answers() == ["one two three four five six"]
    assert len(harness.agent.requests) == 1


async def test_the_bot_is_removed_from_the_channel(harness: Harness) -> None:
    """The turn ends; nothing can be written there any more."""
    await harness.start()
    question = await begun(harness)
    harness.world.membership.remove(harness.square, harness.world.users.get(harness.bot.id), harness.alice)
    await harness.settled()
    assert harness.agent.open == 0
    assert await harness.state(question) == "cancelled: the bot was removed from the channel"
    direct = harness.direct()
    await usable(harness, channel=direct)


async def test_the_channel_is_archived(harness: Harness) -> None:
    """Archiving the channel ends the turn as removing the bot does."""
    await harness.start()
    question = await begun(harness)
    harness.world.membership.archive(harness.square, harness.alice)
    await harness.settled()
    assert harness.agent.open == 0
    assert await harness.state(question) == "cancelled: the bot was removed from the channel"


async def test_a_new_conversation_ends_the_turn(harness: Harness) -> None:
    """`/new` forgets what was said, the answer under way included."""
    await harness.start()
    question = await begun(harness)
    harness.say("@helper /new", root=question)
    await harness.settled()
    assert harness.agent.open == 0
    assert harness.answers()[0].endswith(STOPPED)
    assert "New conversation" in harness.answers()[1]
    assert await harness.state(question) == "cancelled: the session was reset"
    await usable(harness, question)
    assert "count" not in "".join(message.text for message in harness.agent.requests[-1].messages[:-1])


async def test_the_gateway_drains(harness: Harness) -> None:
    """A turn that is not done within the budget is marked, and goes on after the restart in the same draft."""
    await harness.start(gateway={"drainSeconds": 5})
    question = await begun(harness)
    [draft] = harness.ours()
    began = trio.current_time()
    await harness.stop()
    assert 5 <= trio.current_time() - began < 10
    assert harness.agent.open == 0
    assert draft.message.endswith(INTERRUPTED)
    assert await harness.state(question) == "open"
    harness.script = [Say("the whole answer", delay=0.1)]
    await harness.start()
    await harness.settled()
    assert harness.answers() == ["the whole answer"]
    assert await harness.state(question) == "delivered"


async def test_a_turn_that_ends_within_the_drain(harness: Harness) -> None:
    """A turn that ends within the drain is not cut off."""
    await harness.start(gateway={"drainSeconds": 60})
    harness.script = [Say("one two three four five six", delay=0.5)]
    question = harness.say("@helper count")
    await harness.until(lambda: harness.answers())
    await harness.stop()
    assert harness.answers() == ["one two three four five six"]
    assert await harness.state(question) == "delivered"


async def test_the_gateway_is_aborted(harness: Harness) -> None:
    """The account's shutdown closes the model request and seals the draft as interrupted."""
    gateway = await harness.start()
    question = await begun(harness)
    gateway.abort()
    await harness.until(lambda: harness.agent.open == 0)
    await harness.stop()
    assert harness.answers()[0].endswith(INTERRUPTED)
    assert await harness.state(question) == "open"


async def test_somebody_deletes_the_draft(harness: Harness) -> None:
    """Pending edits are dropped, and the answer goes out fresh."""
    await harness.start()
    harness.script = [Say("one two three four five six seven eight", delay=0.4)]
    question = harness.say("@helper count")
    await harness.until(lambda: any("two" in text for text in harness.answers()))
    [draft] = harness.ours()
    harness.delete(draft)
    await harness.settled()
    assert harness.answers() == ["one two three four five six seven eight"]
    assert harness.ours()[0].id != draft.id
    assert await harness.state(question) == "delivered"
    assert harness.calls("PUT", draft.id) <= 1


async def test_a_stop_while_an_edit_is_in_flight(harness: Harness) -> None:
    """The write completes, the seal comes after it, and no stale edit lands behind the seal."""
    harness.faults.latency = 0.0
    await harness.start()
    question = await begun(harness)
    harness.faults.latency = 2.0
    in_flight = trio.Event()

    async def watch(request: SandboxRequest) -> SandboxResponse | None:
        if request.method == "PUT":
            in_flight.set()
        return None

    harness.faults.before_rules.append(watch)
    await in_flight.wait()
    harness.say("@helper stop", root=question)
    await harness.settled()
    await trio.sleep(60)
    assert harness.ours()[0].message.endswith(STOPPED)
    assert await harness.state(question) == "cancelled: stopped"


async def test_a_stop_before_the_first_word(harness: Harness) -> None:
    """There is no draft, so there is nothing to seal."""
    await harness.start()
    harness.script = [Pause(60), Say("late")]
    question = harness.say("@helper count")
    await harness.until(lambda: harness.agent.open)
    harness.say("@helper stop", root=question)
    await harness.settled()
    assert harness.answers() == ["⚙️ Agent was aborted."]
    assert (harness.agent.open, harness.agent.cancelled) == (0, 1)
    assert await harness.state(question) == "cancelled: stopped"


async def test_a_stop_during_a_tool_call(harness: Harness) -> None:
    """The tool is cancelled with the model."""
    await harness.start()
    harness.script = [Say("Let me look. "), ToolStarted("1", "search", detail="x"), Pause(600), Say("never")]
    question = harness.say("@helper look")
    await harness.until(lambda: any("Search" in text for text in harness.answers()))
    harness.say("@helper stop", root=question)
    await harness.settled()
    assert harness.agent.open == 0
    assert harness.answers()[0] == f"Let me look.\n\n{STOPPED}"


async def test_a_stop_while_the_draft_is_being_created(harness: Harness) -> None:
    """A draft whose creation got no answer is found and sealed."""
    await harness.start()
    harness.script = [LONG]
    lost: list[str] = []

    async def lose(request: SandboxRequest) -> SandboxResponse | None:
        if request.method == "POST" and request.path.endswith("/posts") and not lost:
            lost.append(request.path)
            await trio.sleep(5)
            raise httpx.ReadError("the answer is lost")
        return None

    harness.faults.after_rules.append(lose)
    question = harness.say("@helper count")
    await harness.until(lambda: harness.answers())
    harness.say("@helper stop", root=question)
    await harness.settled()
    assert harness.answers()[0].endswith(STOPPED)
    assert sum(text.endswith(STOPPED) for text in harness.answers()) == 1
    assert await harness.state(question) == "cancelled: stopped"


async def test_the_time_limit(harness: Harness) -> None:
    """A turn that takes too long ends with a notice below what was said."""
    await harness.start(agents={"defaults": {"timeoutSeconds": 5}})
    question = await begun(harness)
    await harness.settled()
    assert harness.agent.open == 0
    assert harness.answers()[0].startswith("one two three")
    assert harness.answers()[0].endswith("⏱️ _(stopped: no answer within 5 s)_")
    assert (await harness.state(question)).startswith("failed: the time limit")
    await usable(harness, question)


@pytest.mark.slow
async def test_the_time_limit_without_a_word(harness: Harness) -> None:
    """The notice is a post of its own."""
    await harness.start(agents={"defaults": {"timeoutSeconds": 180}})
    harness.script = [Pause(1000)]
    harness.say("@helper count")
    await harness.settled()
    assert harness.answers() == ["⏱️ _(stopped: no answer within 3 min)_"]


@pytest.mark.parametrize("mode", StreamMode)
async def test_a_stop_in_each_mode(harness: Harness, mode: StreamMode) -> None:
    """What stands is sealed, and the session is usable."""
    await harness.start({"streaming": {"mode": mode.value}})
    harness.script = [Say("Let me look. "), ToolStarted("1", "search", detail="x"), Pause(600), Say("never")]
    question = harness.say("@helper look")
    await harness.until(lambda: harness.agent.open)
    await trio.sleep(5)
    harness.say("@helper stop", root=question)
    await harness.settled()
    assert await harness.state(question) == "cancelled: stopped"
    expected = {
        StreamMode.OFF: [],
        StreamMode.PARTIAL: [f"Let me look.\n\n{STOPPED}"],
        StreamMode.BLOCK: ["Let me look.", STOPPED],
        StreamMode.PROGRESS: [STOPPED],
    }
    assert harness.answers()[:-1] == expected[mode]
    await usable(harness, question)
