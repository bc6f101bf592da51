"""The typing indicator: alive where an answer is made, for as long as it is made."""

import json

import pytest
import trio
import trio.testing

from oc_trio.agent.scripted import Pause, Say
from oc_trio.errors import MattermostRejected
from oc_trio.ids import ChannelId
from oc_trio.runtime.turn.typing_indicator import TYPING_SECONDS, keep_typing
from oc_trio.sandbox.hub import WebConn
from oc_trio.sandbox.records import SessionRecord
from tests.runtime.harness import Harness


@pytest.mark.parametrize(("interval", "calls"), [(6.0, 6), (1.0, 21)], ids=["as often as clients need", "more often"])
async def test_it_is_renewed(autojump_clock: trio.testing.MockClock, interval: float, calls: int) -> None:
    """At the wanted interval, and never more seldom than clients forget."""
    events: list[tuple[str, str]] = []

    async def typing(channel_id: ChannelId, root_id: str) -> None:
        events.append((channel_id, root_id))

    with trio.move_on_after(5 * TYPING_SECONDS + 0.5):
        await keep_typing(typing, ChannelId("c"), "root", interval)
    assert events == [("c", "root")] * calls


async def test_a_refusal_ends_it(autojump_clock: trio.testing.MockClock) -> None:
    """The writes of the turn will meet the same problem and say so."""
    events: list[str] = []

    async def typing(channel_id: ChannelId, root_id: str) -> None:
        events.append(root_id)
        raise MattermostRejected("no", status=403)

    await keep_typing(typing, ChannelId("c"), "root")
    assert events == ["root"]


def watch(harness: Harness) -> WebConn:
    """A websocket of alice's."""
    session = SessionRecord(harness.alice.id, "alice-token")
    return harness.world.connect(session)


def typing_events(connection: WebConn) -> list[str]:
    """The threads in which somebody typed since the last call."""
    frames: list[str] = []
    while (frame := connection.next_frame()) is not None:
        frames.append(frame)
    events = [json.loads(frame) for frame in frames]
    return [event["data"]["parent_id"] for event in events if event.get("event") == "typing"]


async def test_without_a_websocket_typing_goes_by_a_request(harness: Harness) -> None:
    """With `connection.mode = "poll"` typing is sent by REST."""
    await harness.start({"connection": {"mode": "poll"}})
    eyes = watch(harness)
    harness.script = [Pause(9), Say("done")]
    asked = harness.say("@helper one")
    await harness.until(lambda: "done" in harness.answers())
    assert typing_events(eyes) == [asked.id] * 3
    assert harness.calls("POST", "/typing") == 3


async def test_each_thread_has_its_own(harness: Harness) -> None:
    """Two answers at once keep two indicators alive, and both end with their answers."""
    await harness.start()
    eyes = watch(harness)
    harness.script = [Pause(9), Say("done")]
    harness.say("@helper one")
    harness.say("@helper two")
    await harness.settled()
    roots = typing_events(eyes)
    assert len(roots) == 2 * 3
    assert len(set(roots)) == 2
    await trio.sleep(60)
    assert typing_events(eyes) == []
    # By the websocket: a request would take a place in the server's rate limit.
    assert harness.calls("POST", "/typing") == 0


async def test_none_comes_after_an_answer(harness: Harness) -> None:
    """Where so many turns begin at once that typing lags behind them, what is left of it is dropped."""
    await harness.start()
    eyes = watch(harness)
    harness.script = [Say("done")]
    for number in range(20):
        harness.say(f"@helper {number}")
    await harness.until(lambda: len(harness.answers()) == 20)
    await harness.until(lambda: set(harness.answers()) == {"done"})
    assert len(typing_events(eyes)) < 20
    await trio.sleep(5)
    assert typing_events(eyes) == []
