"""Runs transactions in the event loop, on a connection that the caller owns: for tests under a mock clock.

Trio's mock clock does not see worker threads, and their order is not reproducible; here the same seed gives the same
run. Tests simulate a crash by dropping the store and opening another one on the same connection.
"""

import sqlite3
from collections.abc import Callable
from typing import TypeVar

import trio

from oc_trio.lease import Fence
from oc_trio.store.commit import commit_together, store_error
from oc_trio.store.engine import Driver, PermanentFailure, Tx
from oc_trio.store.sqlite import SqliteDriver

T = TypeVar("T")


class InlineEngine:
    """See `engine.Engine`. Never use it in a serving gateway: a commit blocks the loop."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._driver = SqliteDriver.adopt(connection)
        self.permanent_failure = PermanentFailure()

    @property
    def driver(self) -> Driver:
        return self._driver

    async def run(self, work: Callable[[Tx], T], fence: Fence | None = None) -> T:
        await trio.lowlevel.checkpoint_if_cancelled()
        [result] = commit_together(self._driver, [work], [fence])
        self.permanent_failure.observe(result)
        # If cancelled here, the result is lost but the write is done: the same as with the writer thread.
        await trio.lowlevel.checkpoint()
        value: T = result.unwrap()
        return value

    async def run_soon(self, work: Callable[[Tx], T], seconds: float, fence: Fence | None = None) -> T:
        return await self.run(work, fence)  # it begins at once

    async def run_unlocked(self, work: Callable[[], T]) -> T:
        await trio.lowlevel.checkpoint()
        try:
            return work()
        except sqlite3.Error as error:
            raise store_error(self._driver, error) from error
