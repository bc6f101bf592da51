"""The typing indicator: alive where an answer is made, for as long as it is made."""

import pytest
import trio
import trio.testing

from oc_trio.agent.scripted import Pause, Say
from oc_trio.errors import MattermostRejected
from oc_trio.ids import ChannelId
from oc_trio.runtime.turn.typing_indicator import TYPING_SECONDS, keep_typing
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


async def test_each_thread_has_its_own(harness: Harness) -> None:
    """Two answers at once keep two indicators alive, and both end with their answers."""
    await harness.start()
    harness.script = [Pause(9), Say("done")]
    harness.say("@helper one")
    harness.say("@helper two")
    await harness.settled()
    calls = harness.calls("POST", "/typing")
    assert calls == 2 * 3
    await trio.sleep(60)
    assert harness.calls("POST", "/typing") == calls
