"""The seam to a database: transactions (`Tx`), what a database must offer (`Driver`), who runs them (`Engine`).

Foreign errors become `StoreError` here and nowhere else. Knows no table.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, Protocol, TypeVar

import trio
from outcome import Error, Outcome, capture

from oc_trio.errors import RowRefused, StoreError, StoreUnusable

Row = tuple[Any, ...]
Result = tuple[list[Row], int]
T = TypeVar("T")


@functools.lru_cache(maxsize=512)
def spread(sql: str, sizes: tuple[int, ...]) -> str:
    """Replace each `??` by as many marks as its list has values; an empty list matches nothing."""
    for size in sizes:
        sql = sql.replace("??", ", ".join("?" * size) if size else "NULL", 1)
    return sql


class Tx:
    """A transaction in progress. `?` marks a value, `??` a tuple of values (`id IN (??)`)."""

    __slots__ = ("_execute",)

    def __init__(self, execute: Callable[[str, Sequence[Any]], Result]) -> None:
        self._execute = execute

    def _call(self, sql: str, params: tuple[Any, ...]) -> Result:
        if "??" in sql:
            sql = spread(sql, tuple(len(value) for value in params if isinstance(value, tuple)))
            params = tuple(item for value in params for item in (value if isinstance(value, tuple) else (value,)))
        return self._execute(sql, params)

    def all(self, sql: str, *params: Any) -> list[Row]:
        return self._call(sql, params)[0]

    def one(self, sql: str, *params: Any) -> Row | None:
        rows = self._call(sql, params)[0]
        return rows[0] if rows else None

    def value(self, sql: str, *params: Any) -> Any:
        """The first column of the first row, None without a row."""
        row = self.one(sql, *params)
        return row[0] if row else None

    def run(self, sql: str, *params: Any) -> int:
        """The number of rows that changed."""
        return self._call(sql, params)[1]


class Driver(Protocol):
    """One connection, used by one thread at a time; `begin` connects when there is no live connection.

    `errors` are the exceptions of the database's own library. `serial` is the DDL of a counting primary key.
    """

    name: str
    serial: str
    errors: tuple[type[Exception], ...]

    def problem(self, error: Exception) -> str:
        """One of `errors` in one line for an operator, with what to do about it where that is known."""
        ...

    def is_lasting(self, error: Exception) -> bool:
        """Whether one of `errors` will be met again however often it is tried."""
        ...

    def refusal(self, error: Exception) -> str:
        """The database's code for one of `errors` that is about the values of a row; empty for any other."""
        ...

    def begin(self) -> None: ...

    def execute(self, sql: str, params: Sequence[Any] = ()) -> Result: ...

    def commit(self) -> None: ...

    def rollback(self) -> None:
        """Undo the open transaction, if any; raises nothing: a connection that can't undo is closed."""
        ...

    def close(self) -> None: ...

    def backup(self, target: str, *, replace: bool = False) -> None:
        """Copy the committed state to a new file, or with `replace` over an earlier one; may run in any thread."""
        ...

    def check(self) -> tuple[str, ...]:
        """What the database finds wrong with itself; empty when sound."""
        ...

    def size(self) -> int:
        """Bytes on disk, 0 where that isn't known."""
        ...


class Engine(Protocol):
    """Runs transactions. What `run` was handed is durable when it returns.

    Cancelling a `run` cancels the wait only: the transaction then either never began or takes place as a whole.
    Raises StoreError, and whatever `work` raises; either way nothing of that `work` is kept.
    """

    @property
    def driver(self) -> Driver: ...

    async def run(self, work: Callable[[Tx], T]) -> T: ...

    async def outside(self, work: Callable[[], T]) -> T:
        """Run `work` outside any transaction, where it may block: copies and checks."""
        ...

    @property
    def lasting(self) -> "LastingFailure": ...


class LastingFailure:
    """The first transaction that failed with StoreUnusable, whoever caught that.

    Damage shows itself in the middle of a run, to whichever task reads the damaged page.
    """

    def __init__(self) -> None:
        self._met = trio.Event()
        self._problem = ""

    def look_at(self, result: Outcome[Any]) -> None:
        if isinstance(result, Error) and isinstance(result.error, StoreUnusable) and not self._met.is_set():
            self._problem = str(result.error)
            self._met.set()

    async def wait(self) -> NoReturn:
        """Raises StoreUnusable as soon as there is reason to; never returns."""
        await self._met.wait()
        raise StoreUnusable(self._problem)


def _work_error(driver: Driver, error: Exception) -> StoreError:
    """Of one work, whose values are known to be at fault or not."""
    if code := driver.refusal(error):
        # Without its words and its cause: a database likes to quote the row, and rows hold people's words.
        return RowRefused(f"{driver.name} refuses what a row would hold: {code}")
    return store_error(driver, error)


def store_error(driver: Driver, error: Exception) -> StoreError:
    kind = StoreUnusable if driver.is_lasting(error) else StoreError
    failure = kind(f"{driver.name}: {driver.problem(error) or type(error).__name__}")
    failure.__cause__ = error
    return failure


def _run_one(driver: Driver, tx: Tx, work: Callable[[Tx], Any], nested: bool) -> Outcome[Any]:
    if nested:
        driver.execute("SAVEPOINT job")
    result: Outcome[Any] = capture(work, tx)
    if nested:
        if isinstance(result, Error):
            driver.execute("ROLLBACK TO SAVEPOINT job")
        driver.execute("RELEASE SAVEPOINT job")
    if isinstance(result, Error) and isinstance(result.error, driver.errors):
        return Error(_work_error(driver, result.error))
    return result


def commit_together(driver: Driver, works: Sequence[Callable[[Tx], Any]]) -> list[Outcome[Any]]:
    """Run several works in one commit, in order; one that fails doesn't spoil the others.

    When the connection or the commit itself fails, nothing of any of them is kept and each gets the StoreError.
    """
    tx = Tx(driver.execute)
    try:
        driver.begin()
        # A lone work needs no savepoint: its failure undoes the whole transaction.
        results = [_run_one(driver, tx, work, nested=len(works) > 1) for work in works]
        if len(works) == 1 and isinstance(results[0], Error):
            driver.rollback()
        else:
            driver.commit()
    except driver.errors as error:
        driver.rollback()
        return [Error(store_error(driver, error)) for _ in works]
    except StoreError as error:
        driver.rollback()
        return [Error(type(error)(str(error))) for _ in works]
    return results
