"""Waking a task that waits: at once, later, and not for what it has seen."""

import trio
import trio.testing

from oc_trio.wakeup import Wakeup


async def test_a_call_that_came_before_is_not_lost() -> None:
    """`wait` returns at once, and once only."""
    wakeup = Wakeup()
    wakeup.set()
    wakeup.set()
    assert wakeup.is_set
    await wakeup.wait()
    assert not wakeup.is_set


async def test_who_waits_is_woken(autojump_clock: trio.testing.MockClock) -> None:
    """By the first call after it began to wait; `wait_next` forgets those before."""
    wakeup, woken = Wakeup(), []

    async def wait() -> None:
        await wakeup.wait_next()
        woken.append(trio.current_time())

    wakeup.set()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.sleep(3)
        assert woken == []
        wakeup.set()
    assert woken == [3.0]
