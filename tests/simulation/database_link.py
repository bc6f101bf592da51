"""The way to a database that several processes share: works wait in a queue, as for the writer's thread.

What was queued is done, whoever waits for it: also after a pause of the process, and after the database did not answer.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import trio
from attrs import define, field
from outcome import Error, Outcome, Value

from oc_trio.errors import StoreError
from tests.simulation.crash import Disk, PowerSwitch

Run = Callable[..., Any]


@define(eq=False)
class _Job:
    run: Callable[[], Any]
    done: trio.Event = field(factory=trio.Event)
    result: Outcome[Any] | None = None


@define(eq=False)
class DatabaseLink:
    """Of one incarnation and one of its connections; `nursery` ends with the process."""

    disk: Disk
    power: PowerSwitch
    nursery: trio.Nursery
    # So long the database may be silent until a work fails.
    patience: float
    _queue: deque[_Job] = field(factory=deque)
    _is_busy: bool = False

    def attach(self, engine: Any) -> None:
        """All works of that engine take this way from now on."""
        engine.run = partial(self._run, engine.run)

    async def _run(self, run: Run, work: Any, *fence: Any) -> Any:
        await trio.lowlevel.checkpoint_if_cancelled()
        self.power.before("a transaction is begun")
        if not (self._queue or self._is_busy or self.power.resumed is not None or self.disk.is_silent):
            return await run(work, *fence)
        job = _Job(partial(run, work, *fence))
        self._queue.append(job)
        if not self._is_busy:
            self._is_busy = True
            self.nursery.start_soon(self._work_off)
        await job.done.wait()
        assert job.result is not None
        return job.result.unwrap()

    async def _work_off(self) -> None:
        try:
            while self._queue and await self._is_answered():
                job = self._queue[0]
                try:
                    job.result = Value(await job.run())
                except Exception as problem:  # noqa: BLE001 - raised where the work was asked for
                    job.result = Error(problem)
                self._queue.popleft().done.set()
        finally:
            # Refused, or the run was ended from outside: whoever waits in a shield would wait for ever.
            for job in self._queue:
                job.result = Error(StoreError("sqlite: connection refused"))
                job.done.set()
            self._queue.clear()
            self._is_busy = False

    async def _is_answered(self) -> bool:
        await trio.lowlevel.checkpoint()
        await self.disk.answering(self.patience)
        return not self.disk.is_silent
