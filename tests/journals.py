"""Empty journals in memory, on connections that tests use one after another.

SQLite compiles each statement once for each connection, and that is most of what a test's statements cost.
"""

import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from typing import Any

import trio

from oc_trio.store.store import open_store

_KEPT_STATEMENTS = 1000  # more than the journal has; sqlite3 keeps 128 unless it is told
_DESCRIPTIONS = (
    "SELECT name, sql FROM sqlite_master",
    "SELECT name, sql FROM sqlite_temp_master",
    "SELECT * FROM schema_version",
    "SELECT * FROM schema_compatibility",
    "PRAGMA database_list",
    "PRAGMA foreign_keys",
    "PRAGMA query_only",
)


class Journal(sqlite3.Connection):
    """A connection that tells of changes: looking for them at every moment would cost a third of a test.

    `now_ms` is the database's clock and `notify` hears what other processes are told: a test replaces these, since new
    functions would have all statements compiled again. It is for one thread, as any connection that doesn't say else.
    """

    now_ms: Callable[[], int]
    notify: Callable[[str], None]
    description: list[Any]  # of its schema and settings
    is_changed = False  # as its description does not tell: it is not for other tests then
    _seen = 0
    _change: trio.Event | None = None

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        cursor = super().execute(sql, parameters)
        if self._change is not None and self.total_changes != self._seen:
            self._change.set()
            self._change = None
        return cursor

    def create_function(self, *args: Any, **more: Any) -> None:
        super().create_function(*args, **more)
        self.is_changed = True

    def deserialize(self, *args: Any, **more: Any) -> None:
        """For a connection that has compiled nothing yet: SQLite frees what statements and cursors still refer to.

        To go back to an earlier state, copy it with `backup`.
        """
        super().deserialize(*args, **more)
        self.is_changed = True

    async def changed(self, seen: int) -> None:
        """Wait until there are other `total_changes` than those that were `seen`."""
        if self.total_changes != seen:
            return
        if self._change is None:
            self._seen, self._change = seen, trio.Event()
        await self._change.wait()

    def begin_anew(self) -> None:
        """Forget the test before."""
        self.now_ms, self.notify, self.is_changed, self._change = _real_ms, _tell_nobody, False, None


# Each with the run of Trio that had it. Until that is over, tasks may write to it that are only then cancelled.
_used: list[tuple[trio.lowlevel.TrioToken, Journal]] = []
_template: list[bytes] = []  # an empty journal, once the first test has made one


async def template() -> bytes:
    """An empty journal's file. The migrations run once per process; `tests/store/test_migrations.py` is for them."""
    await trio.lowlevel.checkpoint()
    if not _template:
        with closing(sqlite3.connect(":memory:")) as connection:
            async with open_store(connection):
                _template.append(connection.serialize())
    return _template[0]


def _describe(journal: Journal) -> list[Any]:
    return [journal.execute(sql).fetchall() for sql in _DESCRIPTIONS]


async def _new() -> Journal:
    journal = sqlite3.connect(":memory:", isolation_level=None, factory=Journal, cached_statements=_KEPT_STATEMENTS)
    journal.deserialize(await template())
    journal.description = _describe(journal)
    journal.create_function("oc_now_ms", 0, lambda: journal.now_ms())
    journal.create_function("oc_notify", 1, lambda topic: journal.notify(topic))
    return journal


def _tell_nobody(_topic: str) -> None:
    """There is no other process."""


def _real_ms() -> int:
    return time.time_ns() // 1_000_000


def _is_emptied(journal: Journal) -> bool:
    """Whether a journal that a test has used is as a new one again."""
    if journal.is_changed:
        return False
    try:
        journal.rollback()
        journal.isolation_level = None
        journal.set_trace_callback(None)
        if _describe(journal) != journal.description:
            return False
        for name, sql in journal.description[0]:
            if sql is not None and sql.startswith("CREATE TABLE") and not name.startswith("schema_"):
                journal.execute(f"DELETE FROM {name}")
    except sqlite3.Error:  # closed, for instance
        return False
    return True


async def _next(run: trio.lowlevel.TrioToken) -> Journal:
    for entry in [entry for entry in _used if entry[0] is not run]:
        _used.remove(entry)
        if _is_emptied(entry[1]):
            return entry[1]
        entry[1].close()
    return await _new()


@asynccontextmanager
async def empty_journal() -> AsyncIterator[Journal]:
    """A migrated journal without rows, until the end of the test."""
    run, is_over = trio.lowlevel.current_trio_token(), False
    journal = await _next(run)
    journal.begin_anew()
    try:
        yield journal
        is_over = True
    finally:
        # Frames of a failed test may be reading still: that journal is for nobody else.
        if is_over:
            _used.append((run, journal))
        else:
            journal.close()
