"""Callers wait in order of their lanes, a bounded time, in a bounded queue."""

import pytest
import trio

from oc_trio.core.ratelimit import Lane, RatePolicy
from oc_trio.errors import MattermostUnavailable
from oc_trio.mattermost import budget as budget_module
from oc_trio.mattermost.budget import RateBudget


async def test_finals_go_before_edits_that_came_first(autojump_clock: trio.testing.MockClock) -> None:
    """A short budget is spent by lane, then by arrival; order and times are as the table says."""
    budget, passed = RateBudget(RatePolicy(rate=1.0, burst=1.0)), list[tuple[str, float]]()

    async def call(name: str, lane: Lane) -> None:
        await budget.acquire(lane)
        passed.append((name, round(trio.current_time(), 3)))

    async with trio.open_nursery() as nursery:
        for name, lane in [
            ("e1", Lane.EDIT),
            ("e2", Lane.EDIT),
            ("e3", Lane.EDIT),
            ("f", Lane.FINAL),
            ("c", Lane.CREATE),
        ]:
            nursery.start_soon(call, name, lane)
            await trio.testing.wait_all_tasks_blocked()
    assert passed == [("e1", 0.0), ("f", 1.0), ("c", 2.0), ("e2", 3.0), ("e3", 4.0)]


async def test_typing_never_waits(autojump_clock: trio.testing.MockClock) -> None:
    """A typing call that would have to wait is dropped at once."""
    budget = RateBudget(RatePolicy(rate=1.0, burst=1.0))
    await budget.acquire(Lane.TYPING)
    with pytest.raises(MattermostUnavailable):
        await budget.acquire(Lane.TYPING)
    assert trio.current_time() == 0.0


async def test_waiting_ends_after_its_bound(autojump_clock: trio.testing.MockClock) -> None:
    """Nobody waits longer than MAX_WAIT, and the queue is empty afterwards."""
    budget = RateBudget()
    budget.observe({}, limited=True, retry_after=1000.0)
    with pytest.raises(MattermostUnavailable):
        await budget.acquire(Lane.FINAL)
    assert (trio.current_time(), budget.waiting) == (budget_module.MAX_WAIT, 0)


async def test_a_cancelled_waiter_hands_its_place_on(autojump_clock: trio.testing.MockClock) -> None:
    """When the first in the queue is cancelled the next one still gets its turn in time."""
    budget, done = RateBudget(RatePolicy(rate=1.0, burst=1.0)), list[float]()
    await budget.acquire(Lane.FINAL)

    async def first() -> None:
        with trio.move_on_after(0.5):
            await budget.acquire(Lane.FINAL)

    async def second() -> None:
        await budget.acquire(Lane.EDIT)
        done.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(first)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(second)
    assert done == [pytest.approx(1.0)]


async def test_the_queue_is_bounded(autojump_clock: trio.testing.MockClock) -> None:
    """One caller more than MAX_WAITERS is refused at once."""
    budget = RateBudget()
    budget.observe({}, limited=True, retry_after=10.0)
    refused = list[float]()

    async def call() -> None:
        try:
            await budget.acquire(Lane.READ)
        except MattermostUnavailable:
            refused.append(trio.current_time())

    with trio.move_on_after(1):
        async with trio.open_nursery() as nursery:
            for _ in range(budget_module.MAX_WAITERS + 1):
                nursery.start_soon(call)
    assert refused == [0.0]


async def test_asking_for_room_spends_nothing(autojump_clock: trio.testing.MockClock) -> None:
    """It is told at once, or after the wait that a call would have had; a cancelled question leaves no trace."""
    budget = RateBudget(RatePolicy(rate=1.0, burst=1.0))
    assert not await budget.wait_for_capacity(Lane.EDIT)
    await budget.acquire(Lane.EDIT)
    with trio.move_on_after(0.3):
        await budget.wait_for_capacity(Lane.EDIT)
    assert (trio.current_time(), budget.waiting) == (0.3, 0)
    assert await budget.wait_for_capacity(Lane.EDIT)
    assert trio.current_time() == pytest.approx(1.0, abs=0.01)
    await budget.acquire(Lane.EDIT)
    assert trio.current_time() == pytest.approx(1.0, abs=0.01)


async def test_each_token_wakes_one_of_those_who_ask(autojump_clock: trio.testing.MockClock) -> None:
    """In order, at the moment of the token; who asks again after the wait is not sent behind the others."""
    budget, passed = RateBudget(RatePolicy(rate=1.0, burst=1.0)), list[tuple[str, float]]()
    await budget.acquire(Lane.EDIT)

    async def write(name: str) -> None:
        while await budget.wait_for_capacity(Lane.EDIT):
            passed.append((name, round(trio.current_time(), 3)))
        await budget.acquire(Lane.EDIT)

    async with trio.open_nursery() as nursery:
        for name in ("a", "b", "c"):
            nursery.start_soon(write, name)
            await trio.testing.wait_all_tasks_blocked()
    assert passed == [("a", 1.0), ("b", 2.0), ("c", 3.0)]


async def test_who_asks_for_room_goes_behind_the_queue(autojump_clock: trio.testing.MockClock) -> None:
    """While a caller waits for its turn there is no room, however many tokens there are; then there is at once."""
    budget = RateBudget(RatePolicy(rate=1.0, burst=1.0))
    budget.observe({}, limited=True, retry_after=10.0)

    async def final() -> None:
        with trio.move_on_after(4.5):
            await budget.acquire(Lane.FINAL)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(final)
        nursery.start_soon(budget.acquire, Lane.CREATE)
        await trio.testing.wait_all_tasks_blocked()
        assert await budget.wait_for_capacity(Lane.EDIT)
    assert trio.current_time() == pytest.approx(12.0, abs=0.01)  # the pause, the create's token, and ours


NUMBERS = {"x-ratelimit-limit": "11", "x-ratelimit-remaining": "10", "x-ratelimit-reset": "1"}


async def _calls_at_once(budget: RateBudget) -> int:
    count = 0
    with trio.move_on_after(0.001):
        while True:
            await budget.acquire(Lane.FINAL)
            count += 1
    return count


@pytest.mark.parametrize(
    ("headers", "limited", "most"),
    [({}, False, 500), (NUMBERS, False, 10), ({}, True, 0)],
    ids=["no numbers", "numbers", "429 without numbers"],
)
async def test_a_server_that_limits_nobody_is_not_held_back(
    autojump_clock: trio.testing.MockClock, headers: dict[str, str], limited: bool, most: int
) -> None:
    """Its answers have no numbers. Whoever has limited a call is never taken for such a one again."""
    budget = RateBudget(RatePolicy(rate=1.0, burst=20.0))
    budget.observe(headers, limited=limited, retry_after=None)
    assert await _calls_at_once(budget) == most
    if most < 500:
        budget.observe({}, limited=False, retry_after=None)
        await trio.sleep(100)
        assert await _calls_at_once(budget) in (10, 20)
