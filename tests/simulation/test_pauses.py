"""A paused process of the simulation takes no step, and goes on as if nothing had been."""

import trio
from trio.testing import MockClock

from tests.simulation.pauses import Pauses


async def _process(steps: list[float], started: list[trio.lowlevel.Task]) -> None:
    """Two tasks that write down when they take a step."""
    started.append(trio.lowlevel.current_task())

    async def step() -> None:
        for _ in range(3):
            await trio.sleep(1.0)
            steps.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(step)
        nursery.start_soon(step)


def test_no_task_of_a_paused_process_takes_a_step() -> None:
    """What became due during a pause is done when it ends, and others go on meanwhile."""

    async def main() -> tuple[list[float], list[float]]:
        pauses, paused, others = Pauses(), list[float](), list[float]()
        began, started = trio.current_time(), list[trio.lowlevel.Task]()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_process, paused, started)
            nursery.start_soon(_process, others, [])
            await trio.sleep(1.5)
            pauses.begin(started[0])
            await trio.sleep(5.0)
            pauses.end(started[0])
        return [round(at - began, 1) for at in paused], [round(at - began, 1) for at in others]

    paused, others = trio.run(main, clock=MockClock(autojump_threshold=0))
    assert paused == [1.0, 1.0, 6.5, 6.5, 7.5, 7.5]
    assert others == [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]


def test_a_cancellation_reaches_a_paused_process_when_it_goes_on() -> None:
    """A deadline that passes during a pause ends what it bounds after it."""

    async def main() -> float:
        pauses, ended, started = Pauses(), list[float](), list[trio.lowlevel.Task]()

        async def wait() -> None:
            started.append(trio.lowlevel.current_task())
            with trio.move_on_after(2.0):
                await trio.sleep_forever()
            ended.append(trio.current_time())

        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.sleep(1.0)
            pauses.begin(started[0])
            await trio.sleep(9.0)
            assert ended == []
            pauses.end(started[0])
        return ended[0] - began

    assert round(trio.run(main, clock=MockClock(autojump_threshold=0)), 1) == 10.0
