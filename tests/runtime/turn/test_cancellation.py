"""Every way to end a turn before its answer is complete: what people see, what is owed, what is closed."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
import trio
import trio.lowlevel

from oc_trio.agent.scripted import Pause, Say
from oc_trio.core.final_plan import INTERRUPTED, STOPPED
from oc_trio.core.turn_events import ToolStarted
from oc_trio.sandbox.records import Channel, Post
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from oc_trio.sandbox.writing import Change
from tests.runtime.harness import Town

LONG = Say("one two three four five six seven eight nine ten " * 20, delay=0.2)


async def begun(town: Town, text: str = "@helper count", channel: Channel | None = None) -> Post:
    """Ask for a long answer and wait until its draft shows some words."""
    town.script = [LONG]
    asked = town.say(text, channel=channel)
    await town.until(lambda: any("one two" in text for text in town.answers(channel)))
    assert town.stage.open == 1
    return asked


async def usable(town: Town, root: Post | str = "", channel: Channel | None = None) -> None:
    """The conversation answers the next message at once, and no task or model request of the old turn is left."""
    assert town.stage.open == 0
    town.script = [Say("at your service", delay=0.01)]
    began = trio.current_time()
    town.say("@helper and now?", root=root, channel=channel)
    await town.until(lambda: "at your service" in town.answers(channel))
    assert trio.current_time() - began < 1.5


def stop_by_command(town: Town, asked: Post) -> None:
    town.say("@helper /stop", root=asked)


def stop_by_registered_name(town: Town, asked: Post) -> None:
    town.say("@helper /oc_stop", root=asked)


def stop_by_bare_word(town: Town, asked: Post) -> None:
    town.say("@helper stop", root=asked)


def stop_by_bang(town: Town, asked: Post) -> None:
    town.say("!stop", root=asked)


def stop_by_someone_else(town: Town, asked: Post) -> None:
    town.say("@helper please stop", root=asked, by=town.bob)


@pytest.mark.parametrize(
    "stop", [stop_by_command, stop_by_registered_name, stop_by_bare_word, stop_by_bang, stop_by_someone_else]
)
async def test_people_stop_an_answer_with_words(town: Town, stop: Callable[[Town, Post], None]) -> None:
    """The model request closes, the draft is sealed with what was said, and the stop is acknowledged."""
    await town.start()
    asked = await begun(town)
    stop(town, asked)
    await town.settled()
    assert (town.stage.open, town.stage.cancelled) == (0, 1)
    draft, said = town.ours()
    assert draft.message.startswith("one two")
    assert draft.message.endswith(STOPPED)
    assert said.message == "⚙️ Agent was aborted."
    assert await town.state(asked) == "cancelled: stopped"
    edits = len(draft.history)
    await usable(town, asked)
    await trio.sleep(30)
    assert len(draft.history) == edits


async def test_a_bare_stop_in_a_direct_message(town: Town) -> None:
    """No mention is needed where every message is meant for the bot."""
    await town.start()
    direct = town.direct()
    asked = await begun(town, "count", direct)
    town.say("stop", channel=direct)
    await town.settled()
    assert town.ours(direct)[0].message.endswith(STOPPED)
    assert await town.state(asked) == "cancelled: stopped"
    await usable(town, channel=direct)


async def test_a_stop_with_nothing_to_stop(town: Town) -> None:
    """It is acknowledged all the same."""
    await town.start()
    asked = town.say("@helper stop")
    await town.settled()
    assert town.answers() == ["Nothing is running here."]
    assert await town.state(asked) == "delivered"


@pytest.mark.parametrize("emoji", ["octagonal_sign", "stop_sign"])
async def test_a_stop_sign_on_the_draft(town: Town, emoji: str) -> None:
    """A reaction by someone who could have asked ends the turn without a word."""
    await town.start()
    asked = await begun(town)
    [draft] = town.ours()
    town.react(draft, emoji, by=town.bob)
    await town.settled()
    assert (town.stage.open, len(town.ours())) == (0, 1)
    assert draft.message.endswith(STOPPED)
    assert await town.state(asked) == "cancelled: stopped"
    await usable(town, asked)


@pytest.mark.slow
async def test_a_stop_sign_by_a_stranger_or_another_sign(town: Town) -> None:
    """Who may not ask may not stop, and other reactions mean nothing."""
    await town.start({"groupPolicy": "allowlist", "groupAllowFrom": [town.alice.id]})
    asked = await begun(town)
    [draft] = town.ours()
    town.react(draft, "octagonal_sign", by=town.bob)
    town.react(draft, "thumbsup")
    await town.settled()
    assert await town.state(asked) == "delivered"
    assert not draft.message.endswith(STOPPED)


async def test_the_message_is_deleted_in_a_thread(town: Town) -> None:
    """The turn ends, and the draft keeps what was said."""
    await town.start()
    root = town.say("a thread about counting")
    town.script = [LONG]
    asked = town.say("@helper count", root=root)
    await town.until(lambda: any("one two" in text for text in town.answers()))
    town.delete(asked)
    await town.settled()
    assert town.stage.open == 0
    assert town.answers()[0].endswith(STOPPED)
    assert await town.state(asked) == "cancelled: the message was deleted"
    await usable(town, root)


LONGER = Say("one two " * 400, delay=0.2)


def half_open(town: Town) -> None:
    """The events of the next half minute are lost; then there is a new connection."""
    [connection] = [each for each in town.world.hub.connections() if each.live]
    connection.frozen = True


@pytest.mark.slow
async def test_a_deletion_that_no_event_told_of(town: Town) -> None:
    """What is being answered is looked at again once there is a new connection."""
    await town.start()
    root = town.say("a thread")
    asked = town.say("@helper count", root=root)
    town.script = [LONGER]
    await town.until(town.answers)
    half_open(town)
    town.delete(asked)
    await town.settled()
    assert town.answers()[0].endswith(STOPPED)
    assert await town.state(asked) == "cancelled: the message was deleted"


async def test_an_edit_that_a_crash_overtakes(town: Town) -> None:
    """The turn that was to be run again had not ended yet: the next start asks for the new words all the same."""

    async def hang(request: SandboxRequest) -> SandboxResponse | None:
        if request.method == "POST" and request.path.endswith("/posts"):
            await trio.sleep(100)
        return None

    await town.start()
    town.weather.before_rules.append(hang)
    town.script = [LONG]
    asked = town.say("@helper count")
    await trio.sleep(2)
    town.edit(asked, "@helper count backwards")
    await trio.sleep(1)
    await town.crash()
    town.weather.before_rules.clear()
    town.script = [Say("three two one", delay=0.01)]
    await town.start()
    await town.settled()
    [message] = town.stage.requests[-1].messages
    assert "count backwards" in message.text
    assert town.answers() == ["three two one"]


@pytest.mark.parametrize("mode", ["websocket", "poll"])
async def test_an_edit_that_no_event_told_of(town: Town, mode: str) -> None:
    """The answer begins again, to the new words."""
    await town.start({"connection": {"mode": mode}})
    asked = town.say("@helper count")
    town.script = lambda request: [Say("backwards") if "back" in request.messages[-1].text else LONGER]
    await town.until(town.answers)
    if mode == "websocket":
        half_open(town)
    town.edit(asked, "@helper count back")
    await town.settled()
    assert town.answers() == ["backwards"]
    assert (len(town.stage.requests), await town.state(asked)) == (2, "delivered")


async def test_the_root_of_the_thread_is_deleted(town: Town) -> None:
    """The draft is gone with its root: nothing is written any more, nothing is owed."""
    await town.start()
    asked = await begun(town)
    town.delete(asked)
    await town.settled()
    assert (town.stage.open, town.answers()) == (0, [])
    assert await town.state(asked) == "cancelled: the message was deleted"
    await usable(town)


async def test_the_message_is_edited(town: Town) -> None:
    """The new words are answered in the draft that is already there."""
    await town.start()
    asked = await begun(town)
    town.script = [Say("answer to other words", delay=0.1)]
    town.edit(asked, "@helper something else")
    await town.settled()
    assert town.stage.open == 0
    assert town.answers() == ["answer to other words"]
    assert "something else" in town.stage.requests[-1].messages[-1].text
    assert len(town.stage.requests[-1].messages) == 1
    assert await town.state(asked) == "delivered"
    await usable(town, asked)


async def test_the_message_gets_a_pin(town: Town) -> None:
    """An edit event without new words changes nothing."""
    await town.start()
    town.script = [Say("one two three four five six", delay=0.3)]
    asked = town.say("@helper count")
    await town.until(lambda: town.answers())
    town.world.writing.apply(asked, Change(is_pinned=True))
    await town.settled()
    assert town.answers() == ["one two three four five six"]
    assert len(town.stage.requests) == 1


async def test_the_bot_is_removed_from_the_channel(town: Town) -> None:
    """The turn ends; nothing can be written there any more."""
    await town.start()
    asked = await begun(town)
    town.world.membership.remove(town.square, town.world.users.get(town.bot.id), town.alice)
    await town.settled()
    assert town.stage.open == 0
    assert await town.state(asked) == "cancelled: the bot was removed from the channel"
    direct = town.direct()
    await usable(town, channel=direct)


async def test_the_channel_is_archived(town: Town) -> None:
    """As with a removal."""
    await town.start()
    asked = await begun(town)
    town.world.membership.archive(town.square, town.alice)
    await town.settled()
    assert town.stage.open == 0
    assert await town.state(asked) == "cancelled: the bot was removed from the channel"


async def test_a_new_conversation_ends_the_turn(town: Town) -> None:
    """`/new` forgets what was said, the answer under way included."""
    await town.start()
    asked = await begun(town)
    town.say("@helper /new", root=asked)
    await town.settled()
    assert town.stage.open == 0
    assert town.answers()[0].endswith(STOPPED)
    assert "New conversation" in town.answers()[1]
    assert await town.state(asked) == "cancelled: the session was reset"
    await usable(town, asked)
    assert "count" not in "".join(message.text for message in town.stage.requests[-1].messages[:-1])


async def test_the_gateway_drains(town: Town) -> None:
    """A turn that is not done within the budget is marked, and goes on after the restart in the same draft."""
    await town.start(gateway={"drainSeconds": 5})
    asked = await begun(town)
    [draft] = town.ours()
    began = trio.current_time()
    await town.stop()
    assert 5 <= trio.current_time() - began < 10
    assert town.stage.open == 0
    assert draft.message.endswith(INTERRUPTED)
    assert await town.state(asked) == "open"
    town.script = [Say("the whole answer", delay=0.1)]
    await town.start()
    await town.settled()
    assert town.answers() == ["the whole answer"]
    assert await town.state(asked) == "delivered"


async def test_a_turn_that_ends_within_the_drain(town: Town) -> None:
    """It is not cut off."""
    await town.start(gateway={"drainSeconds": 60})
    town.script = [Say("one two three four five six", delay=0.5)]
    asked = town.say("@helper count")
    await town.until(lambda: town.answers())
    await town.stop()
    assert town.answers() == ["one two three four five six"]
    assert await town.state(asked) == "delivered"


async def test_the_gateway_is_aborted(town: Town) -> None:
    """The account's shutdown closes the model request and seals the draft as interrupted."""
    gateway = await town.start()
    asked = await begun(town)
    gateway.abort()
    await town.until(lambda: town.stage.open == 0)
    await town.stop()
    assert town.answers()[0].endswith(INTERRUPTED)
    assert await town.state(asked) == "open"


async def test_somebody_deletes_the_draft(town: Town) -> None:
    """Pending edits are dropped, and the answer goes out fresh."""
    await town.start()
    town.script = [Say("one two three four five six seven eight", delay=0.4)]
    asked = town.say("@helper count")
    await town.until(lambda: any("two" in text for text in town.answers()))
    [draft] = town.ours()
    town.delete(draft)
    await town.settled()
    assert town.answers() == ["one two three four five six seven eight"]
    assert town.ours()[0].id != draft.id
    assert await town.state(asked) == "delivered"
    assert town.calls("PUT", draft.id) <= 1


async def test_a_stop_while_an_edit_is_in_flight(town: Town) -> None:
    """The write completes, the seal comes after it, and no stale edit lands behind the seal."""
    town.weather.latency = 0.0
    await town.start()
    asked = await begun(town)
    town.weather.latency = 2.0
    in_flight = trio.Event()

    async def watch(request: SandboxRequest) -> SandboxResponse | None:
        if request.method == "PUT":
            in_flight.set()
        return None

    town.weather.before_rules.append(watch)
    await in_flight.wait()
    town.say("@helper stop", root=asked)
    await town.settled()
    await trio.sleep(60)
    assert town.ours()[0].message.endswith(STOPPED)
    assert await town.state(asked) == "cancelled: stopped"


async def test_a_stop_before_the_first_word(town: Town) -> None:
    """There is no draft, so there is nothing to seal."""
    await town.start()
    town.script = [Pause(60), Say("late")]
    asked = town.say("@helper count")
    await town.until(lambda: town.stage.open)
    town.say("@helper stop", root=asked)
    await town.settled()
    assert town.answers() == ["⚙️ Agent was aborted."]
    assert (town.stage.open, town.stage.cancelled) == (0, 1)
    assert await town.state(asked) == "cancelled: stopped"


async def test_a_stop_during_a_tool_call(town: Town) -> None:
    """The tool is cancelled with the model."""
    await town.start()
    town.script = [Say("Let me look. "), ToolStarted("1", "search", detail="x"), Pause(600), Say("never")]
    asked = town.say("@helper look")
    await town.until(lambda: any("Search" in text for text in town.answers()))
    town.say("@helper stop", root=asked)
    await town.settled()
    assert town.stage.open == 0
    assert town.answers()[0] == f"Let me look.\n\n{STOPPED}"


async def test_a_stop_while_the_draft_is_being_created(town: Town) -> None:
    """A draft whose creation got no answer is found and sealed."""
    await town.start()
    town.script = [LONG]
    lost: list[str] = []

    async def lose(request: SandboxRequest) -> SandboxResponse | None:
        if request.method == "POST" and request.path.endswith("/posts") and not lost:
            lost.append(request.path)
            await trio.sleep(5)
            raise httpx.ReadError("the answer is lost")
        return None

    town.weather.after_rules.append(lose)
    asked = town.say("@helper count")
    await town.until(lambda: town.answers())
    town.say("@helper stop", root=asked)
    await town.settled()
    assert town.answers()[0].endswith(STOPPED)
    assert sum(text.endswith(STOPPED) for text in town.answers()) == 1
    assert await town.state(asked) == "cancelled: stopped"


async def test_the_time_limit(town: Town) -> None:
    """A turn that takes too long ends with a notice below what was said."""
    await town.start(agents={"defaults": {"timeoutSeconds": 5}})
    asked = await begun(town)
    await town.settled()
    assert town.stage.open == 0
    assert town.answers()[0].startswith("one two three")
    assert town.answers()[0].endswith("⏱️ _(stopped: no answer within 5 s)_")
    assert (await town.state(asked)).startswith("failed: the time limit")
    await usable(town, asked)


@pytest.mark.slow
async def test_the_time_limit_without_a_word(town: Town) -> None:
    """The notice is a post of its own."""
    await town.start(agents={"defaults": {"timeoutSeconds": 180}})
    town.script = [Pause(1000)]
    town.say("@helper count")
    await town.settled()
    assert town.answers() == ["⏱️ _(stopped: no answer within 3 min)_"]


@pytest.mark.parametrize("mode", ["block", "progress", "off"])
async def test_a_stop_in_the_other_modes(town: Town, mode: str) -> None:
    """What stands is sealed, and the session is usable."""
    await town.start({"streaming": {"mode": mode}})
    town.script = [Say("Let me look. "), ToolStarted("1", "search", detail="x"), Pause(600), Say("never")]
    asked = town.say("@helper look")
    await town.until(lambda: town.stage.open)
    await trio.sleep(5)
    town.say("@helper stop", root=asked)
    await town.settled()
    assert await town.state(asked) == "cancelled: stopped"
    expected: dict[str, list[Any]] = {
        "block": ["Let me look.", STOPPED],
        "progress": [STOPPED],
        "off": [],
    }
    assert town.answers()[:-1] == expected[mode]
    await usable(town, asked)
