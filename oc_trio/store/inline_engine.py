"""Transactions in the event loop itself, on a connection that the caller owns: for runs under a mock clock.

Worker threads are invisible to a mock clock and order themselves as they please; here the same seed gives the same
run. A crash is played by abandoning the store and opening another one on the same connection.
"""

import sqlite3
from collections.abc import Callable
from typing import TypeVar

import trio

from oc_trio.store.engine import Driver, LastingFailure, Tx, commit_together, store_error
from oc_trio.store.sqlite import SqliteDriver

T = TypeVar("T")


class InlineEngine:
    """See `engine.Engine`. Never use it in a serving gateway: a commit blocks the loop."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._driver = SqliteDriver.adopt(connection)
        self.lasting = LastingFailure()

    @property
    def driver(self) -> Driver:
        return self._driver

    async def run(self, work: Callable[[Tx], T]) -> T:
        await trio.lowlevel.checkpoint_if_cancelled()
        [result] = commit_together(self._driver, [work])
        self.lasting.look_at(result)
        # A cancelled wait loses the answer, not the write: the same as with the writer thread.
        await trio.lowlevel.checkpoint()
        value: T = result.unwrap()
        return value

    async def outside(self, work: Callable[[], T]) -> T:
        await trio.lowlevel.checkpoint()
        try:
            return work()
        except sqlite3.Error as error:
            raise store_error(self._driver, error) from error
