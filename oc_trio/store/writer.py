"""The engine of a running gateway: a writer thread that owns the connection and commits in groups.

Works that were queued while the thread was busy go into one commit. This process's transactions run one after the
other; on PostgreSQL those of other processes run at the same time.
"""

import queue
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import trio
from outcome import Error, Outcome

from oc_trio.errors import StoreError
from oc_trio.lease import Fence
from oc_trio.store.commit import commit_together, store_error
from oc_trio.store.engine import Driver, PermanentFailure, Tx

T = TypeVar("T")

MAX_PENDING = 1024  # transactions queued or running; more callers than that wait
MAX_BATCH = 128  # works in one commit: bounds how many one failing commit loses
# While transactions meet in commits a commit waits so long for more of them: its sync costs more than all they do.
GATHER_SECONDS = 0.003
_ENOUGH = 16  # transactions for which no more are waited
CLOSING_SECONDS = 60  # several times the longest time that a statement may take


class _Job:
    __slots__ = ("done", "fence", "result", "work")

    def __init__(self, work: Callable[[Tx], Any], fence: Fence | None) -> None:
        self.work = work
        self.fence = fence
        self.done = trio.Event()
        self.result: Outcome[Any] | None = None


class _Begin:
    """Whether a transaction begins or is given up: what is asked for first, in whichever thread, is so for good."""

    __slots__ = ("_decided", "_has_begun")

    def __init__(self) -> None:
        self._decided = threading.Lock()
        self._has_begun = False

    def begin(self) -> bool:
        """Called by the writer's thread, again for each try."""
        self._has_begun = self._has_begun or self._decided.acquire(blocking=False)
        return self._has_begun

    def give_up(self) -> bool:
        return self._decided.acquire(blocking=False)


class WriterEngine:
    """See `engine.Engine`; made by `open_writer`."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._slots = trio.Semaphore(MAX_PENDING)
        self._token = trio.lowlevel.current_trio_token()
        self._pending: set[_Job] = set()
        self._stopped = trio.Event()
        self._ended: Outcome[None] | None = None
        self._closed = False
        self._is_busy = False  # several transactions have met in the last commit
        self.permanent_failure = PermanentFailure()

    @property
    def driver(self) -> Driver:
        return self._driver

    async def run(self, work: Callable[[Tx], T], fence: Fence | None = None) -> T:
        job = _Job(work, fence)
        await self._end_of(job)
        assert job.result is not None
        result: T = job.result.unwrap()
        return result

    async def run_soon(self, work: Callable[[Tx], T], seconds: float, fence: Fence | None = None) -> T:
        start = _Begin()
        job = _Job(lambda tx: work(tx) if start.begin() else None, fence)
        with trio.move_on_after(seconds):
            await self._end_of(job)
        if not job.done.is_set():
            if start.give_up():
                raise StoreError(f"the journal did not begin within {seconds:g} s")
            await job.done.wait()
        assert job.result is not None
        result: T = job.result.unwrap()
        return result

    async def _end_of(self, job: _Job) -> None:
        """Queue the job and wait until it has ended."""
        await trio.lowlevel.checkpoint_if_cancelled()  # cancelled here: the transaction never begins
        try:
            self._slots.acquire_nowait()
        except trio.WouldBlock:
            await self._slots.acquire()  # or here
        if self._closed:
            self._slots.release()
            raise StoreError("the store is closed")
        # Kept here too: if the thread dies, `_stop` fails those that it never reached.
        self._pending.add(job)
        self._jobs.put(job)
        await job.done.wait()  # cancelled here: the transaction still runs

    async def run_unlocked(self, work: Callable[[], T]) -> T:
        # A limiter of its own each time: what others do in Trio's default threads must not hold up the journal.
        return await trio.to_thread.run_sync(_translating, self._driver, work, limiter=trio.CapacityLimiter(1))

    def _serve(self) -> None:
        """The thread: commits batches until told to stop, then closes the connection."""
        is_open = True
        try:
            while is_open:
                batch, is_open = self._next_batch()
                if batch:
                    results = commit_together(self._driver, [job.work for job in batch], [job.fence for job in batch])
                    for job, result in zip(batch, results):
                        job.result = result
                    # Trio objects may only be touched in Trio's thread.
                    self._token.run_sync_soon(self._settle, batch)
                self._is_busy = len(batch) > 1
        finally:
            self._driver.close()

    def _next_batch(self) -> tuple[list[_Job], bool]:
        batch: list[_Job] = []
        # None is the end; what was queued before it is still done.
        job = self._jobs.get()
        if self._is_busy and self._jobs.qsize() < _ENOUGH:
            time.sleep(GATHER_SECONDS)
        while job is not None:
            batch.append(job)
            if len(batch) == MAX_BATCH:
                return batch, True
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return batch, True
        return batch, False

    def _settle(self, batch: list[_Job]) -> None:
        for job in batch:
            self._pending.discard(job)
            self._slots.release()
            if job.result is not None:
                self.permanent_failure.observe(job.result)
            job.done.set()

    def start(self) -> None:
        trio.lowlevel.start_thread_soon(self._serve, self._deliver, "oc-trio-journal")

    def _deliver(self, ended: Outcome[None]) -> None:
        self._token.run_sync_soon(self._stop, ended)

    def _stop(self, ended: Outcome[None]) -> None:
        """The thread has ended, by `aclose` or by an error: fails everything that still waits for it."""
        # The order matters: after this no work can be put behind the None that stops the thread.
        self._closed = True
        self._ended = ended
        for job in self._pending:
            job.result = Error(StoreError("the journal's writer has stopped"))
        self._settle(list(self._pending))
        self._stopped.set()

    async def aclose(self) -> None:
        """Accepts no more work, writes what is queued, joins the thread; raises the error that ended it, if any."""
        self._closed = True
        self._jobs.put(None)
        # Shielded: a cancelled gateway still writes what it has accepted. Bounded, because a hanging disk must not keep
        # the process for ever.
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
    """On exit, writes what is queued, closes the connection and joins the thread.

    There is no nursery around the block, because it would wrap each error of the block in an exception group.
    """
    engine = WriterEngine(driver)
    engine.start()
    try:
        yield engine
    finally:
        await engine.aclose()
