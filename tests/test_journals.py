"""Journals that tests use one after another: nothing of one test is there in the next."""

import sqlite3
from contextlib import closing

import pytest
import trio

from tests.journals import Journal, empty_journal

_ROW = "INSERT INTO cron VALUES ('job', 1, '')"
_ROWS = "SELECT count(*) FROM cron"


def _lend(*statements: str) -> Journal:
    """The journal that a test gets, after which it runs the statements."""

    async def use() -> Journal:
        async with empty_journal() as journal:
            assert journal.execute(_ROWS).fetchone() == (0,)
            for statement in statements:
                journal.execute(statement)
            return journal

    return trio.run(use)


@pytest.mark.parametrize(
    ("statements", "is_kept"),
    [
        ((_ROW,), True),
        (("BEGIN", _ROW), True),
        (("PRAGMA query_only = ON",), False),
        (("PRAGMA foreign_keys = ON",), False),
        (("CREATE TEMP TABLE other (x)",), False),
        (("ATTACH ':memory:' AS other",), False),
        (("DROP TABLE cron",), False),
        (("CREATE TRIGGER t BEFORE INSERT ON cron BEGIN SELECT RAISE(ABORT, 'no'); END",), False),
        (("DELETE FROM schema_version",), False),
    ],
    ids=[
        "rows",
        "a transaction",
        "read only",
        "a setting",
        "a table",
        "a database",
        "no table",
        "a trigger",
        "a schema",
    ],
)
def test_what_a_test_leaves_behind(statements: tuple[str, ...], is_kept: bool) -> None:
    """The next one finds an empty journal that it can write to."""
    first = _lend(*statements)
    following = [_lend(_ROW) for _ in range(3)]
    assert (first in following) is is_kept


def test_a_journal_that_was_read_into() -> None:
    """SQLite frees what compiled statements refer to, so its connection is for nobody else."""
    with closing(sqlite3.connect(":memory:")) as other:
        other.execute("CREATE TABLE other (x)")
        image = other.serialize()

    async def use() -> Journal:
        async with empty_journal() as journal:
            journal.deserialize(image)
            return journal

    assert trio.run(use) not in [_lend(_ROW) for _ in range(3)]


async def test_two_journals_of_one_test() -> None:
    """Tasks that still end may write to the first: the second is another one."""
    async with empty_journal() as first:
        pass
    first.execute(_ROW)
    async with empty_journal() as second:
        assert second is not first
        assert second.execute(_ROWS).fetchone() == (0,)


def test_a_journal_of_a_test_that_failed() -> None:
    """Its frames may be reading still."""

    async def fail() -> None:
        async with empty_journal() as journal:
            used.append(journal)
            raise ValueError

    used: list[Journal] = []
    with pytest.raises(ValueError):
        trio.run(fail)
    assert used[0] not in [_lend(_ROW) for _ in range(3)]
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        used[0].execute(_ROWS)


async def test_another_thread() -> None:
    """It is refused, and can't disturb whoever has the journal by then."""
    async with empty_journal() as journal:
        with pytest.raises(sqlite3.ProgrammingError, match="thread"):
            await trio.to_thread.run_sync(journal.execute, _ROWS)
