"""The interface to a database: transactions (`Tx`), database drivers (`Driver`), and engines that run transactions.

Knows no table. `commit` runs transactions.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn, Protocol, TypeVar

import trio
from outcome import Error, Outcome

from oc_trio.errors import StoreUnusable
from oc_trio.lease import Fence

Row = tuple[Any, ...]
Result = tuple[list[Row], int]
T = TypeVar("T")


@functools.lru_cache(maxsize=512)
def expand_lists(sql: str, sizes: tuple[int, ...]) -> str:
    """Replaces each `??` by one `?` per value of its list; an empty list becomes NULL, which matches nothing."""
    for size in sizes:
        # `IN ()` is a syntax error in PostgreSQL.
        sql = sql.replace("??", ", ".join("?" * size) if size else "NULL", 1)
    return sql


_ROWS = 50  # in one statement: far fewer values than any release of SQLite takes


def in_parts(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """The rows, in order, as many at a time as one statement is given."""
    for start in range(0, len(rows), _ROWS):
        yield rows[start : start + _ROWS]


def rows_of(count: int, width: int) -> str:
    """The placeholders of an INSERT of `count` rows with `width` values each: `(?, ?), (?, ?)`."""
    return ", ".join([f"({', '.join('?' * width)})"] * count)


class Tx:
    """A transaction in progress. `?` stands for a value, `??` for a tuple of values (`id IN (??)`).

    `before_write` is called before each statement that may write, and raises where it must not.
    """

    __slots__ = ("_before_write", "_driver", "_execute")

    def __init__(self, driver: "Driver", before_write: Callable[[], None] | None = None) -> None:
        self._driver = driver
        self._execute = driver.execute
        self._before_write = before_write

    def _call(self, sql: str, params: tuple[Any, ...]) -> Result:
        # A lock on the lease's row would make each read a write, which is synced to disk.
        if self._before_write is not None and not sql.startswith("SELECT"):
            self._before_write()
        if "??" in sql:
            sql = expand_lists(sql, tuple(len(value) for value in params if isinstance(value, tuple)))
            params = tuple(item for value in params for item in (value if isinstance(value, tuple) else (value,)))
        return self._execute(sql, params)

    def all(self, sql: str, *params: Any) -> list[Row]:
        return self._call(sql, params)[0]

    def one(self, sql: str, *params: Any) -> Row | None:
        rows = self._call(sql, params)[0]
        return rows[0] if rows else None

    def value(self, sql: str, *params: Any) -> Any:
        """The first column of the first row, None if there is no row."""
        row = self.one(sql, *params)
        return row[0] if row else None

    def run(self, sql: str, *params: Any) -> int:
        """Executes a statement; returns the number of rows that it changed."""
        return self._call(sql, params)[1]

    def notify(self, topic: str) -> None:
        """See `notify.notify`."""
        self._execute(self._driver.notify_sql, (topic,))

    def lock(self, name: str) -> None:
        """Lets no other transaction go beyond the same line until this one has ended: for rules that span several rows
        which any process may write.
        """
        if self._driver.lock_sql:
            self._execute(self._driver.lock_sql, (name,))


class Driver(Protocol):
    """One connection, used by one thread at a time; `begin` connects when there is no live connection.

    `errors` are the exceptions of the database's own library. `serial` is the DDL of a counting primary key, `now_sql`
    an expression for the database's time in milliseconds, `notify_sql` a statement that has other processes told of a
    topic at the commit, `lock_sql` one that waits for a named lock of transactions (empty where they run one after the
    other anyway). `for_update` and `for_key_share` are put behind a SELECT and lock its rows to the end of the
    transaction: against any other lock, and against `for_update`.
    """

    name: str
    serial: str
    now_sql: str
    notify_sql: str
    lock_sql: str
    for_update: str
    for_key_share: str
    errors: tuple[type[Exception], ...]

    def problem(self, error: Exception) -> str:
        """One of `errors` as one line for an operator, with what to do about it if that is known."""
        ...

    def is_permanent(self, error: Exception) -> bool:
        """Whether one of `errors` is permanent: retrying can't help."""
        ...

    def is_conflict(self, error: Exception) -> bool:
        """Whether one of `errors` undid a transaction only because of another one: it can be run again at once."""
        ...

    def is_locked(self, error: Exception) -> bool:
        """Whether one of `errors` says that another transaction held a row for longer than is waited."""
        ...

    def refusal(self, error: Exception) -> str:
        """The database's error code if one of `errors` is about the values of a row; empty for any other."""
        ...

    def begin(self) -> None: ...

    def execute(self, sql: str, params: Sequence[Any] = ()) -> Result: ...

    def commit(self) -> None: ...

    def rollback(self) -> None:
        """Rolls the open transaction back, if any. Never raises: a connection that can't roll back is closed."""
        ...

    def close(self) -> None: ...

    def lock_schema(self) -> None:
        """Within a transaction: waits until no other process changes the schema, and keeps it so to its end.

        Raises StoreError where another process goes on for too long.
        """
        ...

    def backup(self, target: str, *, replace: bool = False) -> None:
        """Copies the committed state to a new file, or with `replace` over an earlier copy; may run in any thread."""
        ...

    def check(self) -> tuple[str, ...]:
        """The problems that the database's own integrity check finds; empty if none."""
        ...

    def size(self) -> int:
        """Bytes on disk, 0 if unknown."""
        ...


class Engine(Protocol):
    """Runs transactions. What `work` wrote is durable when `run` returns.

    With a `fence` a `work` that writes raises FenceRefused, unless the fence's holder has the account's lease with that
    epoch. A `work` may be called several times, and only its last call counts: it must change nothing but the database.
    Cancelling a `run` cancels only the wait: the transaction has then either not begun, or is committed as a whole.
    Raises StoreError, and whatever `work` raises; in both cases nothing that `work` wrote is kept.
    """

    @property
    def driver(self) -> Driver: ...

    async def run(self, work: Callable[[Tx], T], fence: Fence | None = None) -> T: ...

    async def run_soon(self, work: Callable[[Tx], T], seconds: float, fence: Fence | None = None) -> T:
        """As `run`, but raises StoreError where the transaction has not begun after `seconds`, and then it never will.

        One that has begun is waited for however long it takes: only its end says whether it was committed. A deadline
        around `run` would leave that open.
        """
        ...

    async def run_unlocked(self, work: Callable[[], T]) -> T:
        """Runs blocking `work` outside any transaction, while others go on: backups and integrity checks."""
        ...

    @property
    def permanent_failure(self) -> "PermanentFailure": ...


class PermanentFailure:
    """Remembers the first StoreUnusable that any transaction ended with, and wakes whoever waits for it.

    A damaged page is met by whichever task happens to read it; the task that waits here stops the whole gateway.
    """

    def __init__(self) -> None:
        self._failed = trio.Event()
        self._problem = ""

    def observe(self, result: Outcome[Any]) -> None:
        if isinstance(result, Error) and isinstance(result.error, StoreUnusable) and not self._failed.is_set():
            self._problem = str(result.error)
            self._failed.set()

    async def wait(self) -> NoReturn:
        """Raises StoreUnusable once a transaction has ended with it; never returns."""
        await self._failed.wait()
        raise StoreUnusable(self._problem)
