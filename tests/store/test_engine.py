import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outcome import Error, Value

from oc_trio.errors import RowRefused, StoreError
from oc_trio.store.commit import commit_together
from oc_trio.store.engine import Driver, Tx, expand_lists
from oc_trio.store.sqlite import SqliteDriver

TABLE = "CREATE TABLE t (n INTEGER PRIMARY KEY, parent INTEGER REFERENCES t DEFERRABLE INITIALLY DEFERRED)"


@pytest.fixture
def driver() -> Iterator[Driver]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(TABLE)
        connection.execute("PRAGMA foreign_keys = ON")
        yield SqliteDriver.adopt(connection)


def numbers(driver: Driver) -> list[int]:
    [result] = commit_together(driver, [lambda tx: [row[0] for row in tx.all("SELECT n FROM t ORDER BY n")]])
    found: list[int] = result.unwrap()
    return found


def test_works_share_a_commit_and_see_each_other(driver: Driver) -> None:
    """Works run in order in one transaction."""
    results = commit_together(
        driver, [lambda tx: tx.run("INSERT INTO t (n) VALUES (1)"), lambda tx: tx.value("SELECT COUNT(*) FROM t")]
    )

    assert results == [Value(1), Value(1)]


def test_a_failing_work_spoils_no_other(driver: Driver) -> None:
    """What a failing work had written is undone, what its neighbours wrote is kept."""

    def half(tx: Tx) -> None:
        tx.run("INSERT INTO t (n) VALUES (2)")
        raise LookupError("a mistake of the caller")

    def twice(tx: Tx) -> None:
        tx.run("INSERT INTO t (n) VALUES (4)")
        tx.run("INSERT INTO t (n) VALUES (1)")

    first, failed, third, broken = commit_together(
        driver,
        [
            lambda tx: tx.run("INSERT INTO t (n) VALUES (1)"),
            half,
            lambda tx: tx.run("INSERT INTO t (n) VALUES (3)"),
            twice,
        ],
    )

    assert (first, third) == (Value(1), Value(1))
    assert isinstance(failed, Error)
    assert isinstance(failed.error, LookupError)
    assert isinstance(broken, Error)
    assert isinstance(broken.error, RowRefused)
    assert "SQLITE_CONSTRAINT" in str(broken.error)
    assert numbers(driver) == [1, 3]


def test_a_lone_failing_work_leaves_nothing(driver: Driver) -> None:
    """Without a savepoint the whole transaction is undone."""

    def half(tx: Tx) -> None:
        tx.run("INSERT INTO t (n) VALUES (2)")
        raise LookupError

    [failed] = commit_together(driver, [half])

    assert isinstance(failed, Error)
    assert numbers(driver) == []


def test_a_failing_commit_fails_all(driver: Driver) -> None:
    """Nobody is told that a write is durable when the commit failed."""
    results = commit_together(
        driver,
        [
            lambda tx: tx.run("INSERT INTO t (n) VALUES (1)"),
            lambda tx: tx.run("INSERT INTO t (n, parent) VALUES (2, 99)"),
        ],
    )

    assert [type(result.error) for result in results if isinstance(result, Error)] == [StoreError, StoreError]
    assert numbers(driver) == []


@pytest.mark.slow
@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_what_is_kept_is_what_succeeded(plan: list[bool]) -> None:
    """Whatever fails between them, exactly the works that succeeded are in the database."""

    def work(number: int, good: bool) -> Callable[[Tx], None]:
        def run(tx: Tx) -> None:
            tx.run("INSERT INTO t (n) VALUES (?)", number)
            if not good:
                tx.run("INSERT INTO t (n) VALUES (?)", number)

        return run

    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)")
        driver = SqliteDriver.adopt(connection)
        results = commit_together(driver, [work(number, good) for number, good in enumerate(plan)])

        assert [isinstance(result, Value) for result in results] == plan
        assert numbers(driver) == [number for number, good in enumerate(plan) if good]


SPREADS = [
    pytest.param("a = ?", (), "a = ?", id="no list"),
    pytest.param("a IN (??)", (3,), "a IN (?, ?, ?)", id="three"),
    pytest.param("a IN (??)", (0,), "a IN (NULL)", id="nothing matches nothing"),
    pytest.param("a IN (??) AND b = ? AND c IN (??)", (1, 2), "a IN (?) AND b = ? AND c IN (?, ?)", id="two lists"),
]


@pytest.mark.parametrize(("sql", "sizes", "expected"), SPREADS)
def test_lists_spread_into_marks(sql: str, sizes: tuple[int, ...], expected: str) -> None:
    """`??` becomes a mark for each value."""
    assert expand_lists(sql, sizes) == expected
