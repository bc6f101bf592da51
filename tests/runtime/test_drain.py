"""The drain's two waits: until it is wished for, and until nothing runs or the budget is spent."""

import trio
import trio.testing

from oc_trio.runtime.drain import Drain

Clock = trio.testing.MockClock


async def test_it_waits_until_nothing_runs(autojump_clock: Clock) -> None:
    """A turn that ends early ends the wait, within a moment."""
    drain = Drain(seconds=30.0)
    await drain.idle(lambda: trio.current_time() >= 3.0)
    assert 3.0 <= trio.current_time() < 3.1


async def test_it_waits_no_longer_than_the_budget(autojump_clock: Clock) -> None:
    """What still runs then is the caller's to cut off."""
    await Drain(seconds=5.0).idle(lambda: False)
    assert trio.current_time() == 5.0


async def test_no_budget_is_no_wait(autojump_clock: Clock) -> None:
    """Zero seconds cut off at once."""
    await Drain(seconds=0.0).idle(lambda: False)
    assert trio.current_time() == 0.0


async def test_an_idle_gateway_does_not_wait(autojump_clock: Clock) -> None:
    """A drain without a running turn ends at once."""
    await Drain().idle(lambda: True)
    assert trio.current_time() == 0.0


async def test_asking_wakes_everybody_once() -> None:
    """Asking again changes nothing."""
    drain = Drain()
    assert not drain.requested.is_set()
    drain.start()
    drain.start()
    with trio.fail_after(1):
        await drain.requested.wait()
