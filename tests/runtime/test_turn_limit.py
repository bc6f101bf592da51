"""Places for turns: in order, none lost, and who waits knows how many are before it."""

import pytest
import trio
import trio.testing

from oc_trio.runtime.turn_limit import Ahead, TurnLimit


async def silent(ahead: Ahead) -> None:
    await trio.sleep_forever()


async def test_turns_begin_in_order_and_know_their_number(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """The number is right at any time."""
    limit, began, numbers = TurnLimit.of(1), list[int](), dict[int, list[int]]()

    async def turn(name: int) -> None:
        async def watch(ahead: Ahead) -> None:
            while True:
                numbers.setdefault(name, []).append(ahead())
                await trio.sleep(10)

        async with limit.place(watch):
            began.append(name)
            await trio.sleep(10)

    for name in range(4):
        nursery.start_soon(turn, name)
        await trio.testing.wait_all_tasks_blocked()
    await trio.sleep(45)
    assert began == [0, 1, 2, 3]
    assert {name: counts[0] for name, counts in numbers.items()} == {1: 0, 2: 1, 3: 2}
    assert numbers[3][-1] == 0


@pytest.mark.parametrize("when", [5, 10])
async def test_a_cancelled_wait_gives_its_place_back(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery, when: float
) -> None:
    """Also in the moment in which it gets one."""
    limit = TurnLimit.of(1)

    async def hold(seconds: float) -> None:
        async with limit.place(silent):
            await trio.sleep(seconds)

    nursery.start_soon(hold, 10)
    await trio.testing.wait_all_tasks_blocked()
    with trio.move_on_after(when):
        await hold(1)
    await trio.sleep(20)
    with trio.fail_after(0.1):
        await hold(0)


async def test_a_larger_limit_lets_who_waits_begin(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """After a reload a larger limit lets waiting turns begin; a smaller one ends none."""
    limit, running = TurnLimit.of(1), list[int]()

    async def turn(name: int) -> None:
        async with limit.place(silent):
            running.append(name)
            await trio.sleep(100)

    for name in range(3):
        nursery.start_soon(turn, name)
    await trio.testing.wait_all_tasks_blocked()
    assert len(running) == 1
    limit.change(3)
    await trio.testing.wait_all_tasks_blocked()
    assert len(running) == 3
    limit.change(1)
    assert limit.turns == 1
    nursery.cancel_scope.cancel()
