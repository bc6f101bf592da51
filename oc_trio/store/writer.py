"""One thread owns the connection; what has queued up while it was busy goes into one commit.

Owns the hand-over between Trio's thread and the writer's. One writer for both databases: transactions happen one
after the other, so no statement has to reckon with a concurrent one, and on PostgreSQL the connection that writes is
the one that holds the gateway's lock.
"""

import queue
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import trio
from outcome import Error, Outcome

from oc_trio.errors import StoreError
from oc_trio.store.engine import Driver, LastingFailure, Tx, commit_together, store_error

T = TypeVar("T")

WAITING = 1024  # transactions handed in and not settled; the overflow is that callers wait for room
BATCH = 128  # works in one commit: bounds what one failing commit takes with it
CLOSING_SECONDS = 60  # twice the longest that a statement may take


class _Job:
    __slots__ = ("done", "result", "work")

    def __init__(self, work: Callable[[Tx], Any]) -> None:
        self.work = work
        self.done = trio.Event()
        self.result: Outcome[Any] | None = None


class WriterEngine:
    """See `engine.Engine`; made by `open_writer`."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._room = trio.Semaphore(WAITING)
        self._token = trio.lowlevel.current_trio_token()
        self._pending: set[_Job] = set()
        self._stopped = trio.Event()
        self._ended: Outcome[None] | None = None
        self._closed = False
        self.lasting = LastingFailure()

    @property
    def driver(self) -> Driver:
        return self._driver

    async def run(self, work: Callable[[Tx], T]) -> T:
        await self._room.acquire()  # cancelled here: it never happens
        if self._closed:
            self._room.release()
            raise StoreError("the store is closed")
        job = _Job(work)
        self._pending.add(job)
        self._jobs.put(job)
        await job.done.wait()  # cancelled here: it happens without us
        assert job.result is not None
        result: T = job.result.unwrap()
        return result

    async def outside(self, work: Callable[[], T]) -> T:
        # A limiter of its own each time: what others do in Trio's default threads must not hold up the journal.
        return await trio.to_thread.run_sync(_translating, self._driver, work, limiter=trio.CapacityLimiter(1))

    def _serve(self) -> None:
        """The thread: until it is told to end, then let go of the connection."""
        going = True
        try:
            while going:
                batch, going = self._next_batch()
                if batch:
                    results = commit_together(self._driver, [job.work for job in batch])
                    for job, result in zip(batch, results):
                        job.result = result
                    self._token.run_sync_soon(self._settle, batch)
        finally:
            self._driver.close()

    def _next_batch(self) -> tuple[list[_Job], bool]:
        batch: list[_Job] = []
        job = self._jobs.get()
        while job is not None:
            batch.append(job)
            if len(batch) == BATCH:
                return batch, True
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return batch, True
        return batch, False

    def _settle(self, batch: list[_Job]) -> None:
        for job in batch:
            self._pending.discard(job)
            self._room.release()
            if job.result is not None:
                self.lasting.look_at(job.result)
            job.done.set()

    def start(self) -> None:
        trio.lowlevel.start_thread_soon(self._serve, self._deliver, "oc-trio-journal")

    def _deliver(self, ended: Outcome[None]) -> None:
        self._token.run_sync_soon(self._stop, ended)

    def _stop(self, ended: Outcome[None]) -> None:
        """The thread has ended: by `close`, or by a fault that nobody may go on waiting for."""
        self._closed = True
        self._ended = ended
        for job in self._pending:
            job.result = Error(StoreError("the journal's writer has stopped"))
        self._settle(list(self._pending))
        self._stopped.set()

    async def aclose(self) -> None:
        """Take no more, write what was handed in, join the thread; raises the fault that ended it, if any."""
        self._closed = True
        self._jobs.put(None)
        with trio.move_on_after(CLOSING_SECONDS, shield=True):
            await self._stopped.wait()
        if self._ended is not None:
            self._ended.unwrap()


def _translating(driver: Driver, work: Callable[[], T]) -> T:
    try:
        return work()
    except driver.errors as error:
        raise store_error(driver, error) from error


@asynccontextmanager
async def open_writer(driver: Driver) -> AsyncIterator[WriterEngine]:
    """Leaving writes what was handed in, closes the connection and joins the thread.

    The thread has no nursery of its own around the block: that would wrap each error of the block in a group.
    """
    engine = WriterEngine(driver)
    engine.start()
    try:
        yield engine
    finally:
        await engine.aclose()
