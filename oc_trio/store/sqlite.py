"""SQLite as a `Driver`: WAL mode, every commit synced to disk, the file readable by its owner only.

`synchronous=FULL` because acknowledged messages must survive a power cut; group commit makes that fast enough.
"""

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from oc_trio.errors import StoreError
from oc_trio.store.engine import Result
from oc_trio.store.state_files import make_file, new_file

_KEPT_STATEMENTS = 256  # compiled; there are about 200, and sqlite3 keeps 128 unless it is told
BUSY_MS = 5000  # a command-line reader or a backup holds the file for far less

_DAMAGED = "it is damaged: put a backup in its place, or move it away to begin with an empty one"
_NO_WRITING = "its folder can't be written: see to its owner, its mode and its file system"
# By SQLite's primary result codes; extended codes begin with the same two words.
_ADVICE = {
    "SQLITE_FULL": "make room on its disk",
    "SQLITE_IOERR": "its disk fails or is full",
    "SQLITE_READONLY": _NO_WRITING,
    "SQLITE_CANTOPEN": _NO_WRITING,
}
_PERMANENT = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
# Beginnings of messages that have no code, or the code of a wrong statement. The first quotes the row's text.
_NOT_UTF8 = "Could not decode to UTF-8"
_NO_TABLE = "no such table"
_NO_VALUE = "Error binding parameter"


def _is_damage(error: Exception) -> bool:
    return _primary(error) in _PERMANENT or str(error).startswith((_NOT_UTF8, _NO_TABLE))


def _primary(error: Exception) -> str:
    return "_".join(getattr(error, "sqlite_errorname", "").split("_")[:2])


def is_there(path: Path) -> bool:
    """Whether the journal's file exists. Raises StoreError, not OSError, if its folder may not be read."""
    try:
        return path.exists()
    except OSError as error:
        problem = f"can't look for the journal {path}: {error.strerror}"
        if isinstance(error, PermissionError):
            problem += "; run this as the user of the gateway, or as root"
        raise StoreError(problem) from error


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _give_functions(connection: sqlite3.Connection) -> None:
    """Registers `oc_now_ms`, the time of this database, and `oc_notify`, which tells nobody: there is no other process.

    Not where the connection's owner has registered others.
    """
    functions: tuple[tuple[str, int, Callable[..., int | None]], ...] = (
        ("oc_now_ms", 0, _now_ms),
        ("oc_notify", 1, lambda _topic: None),
    )
    for name, count, function in functions:
        if not _knows(connection, f"{name}({', '.join('?' * count)})"):
            connection.create_function(name, count, function)


def _knows(connection: sqlite3.Connection, call: str) -> bool:
    """Whether the connection has a function. Its list of functions has hundreds, and is slow."""
    try:
        connection.execute(f"EXPLAIN SELECT {call}", (None,) * call.count("?"))
    except sqlite3.OperationalError:
        return False
    return True


class SqliteDriver:
    """See `engine.Driver`. Without `create`, a missing file is an error."""

    name = "sqlite"
    serial = "INTEGER PRIMARY KEY"
    now_sql = "oc_now_ms()"
    notify_sql = "SELECT oc_notify(?)"
    # A transaction has the whole file from its beginning.
    lock_sql = ""
    for_update = ""
    for_key_share = ""
    errors: tuple[type[Exception], ...] = (sqlite3.Error,)

    def __init__(self, path: Path | None, *, create: bool = True) -> None:
        self._path = path
        self._create = create
        self._connection: sqlite3.Connection | None = None
        self._adopted = False

    @classmethod
    def adopt(cls, connection: sqlite3.Connection) -> "SqliteDriver":
        """Uses a connection that the caller owns: `close` leaves it open. An open transaction is rolled back."""
        driver = cls(None)
        driver._adopted = True
        driver._connection = connection
        if connection.in_transaction:
            connection.rollback()  # first, because setting isolation_level commits
        connection.isolation_level = None
        _give_functions(connection)
        return driver

    def _connect(self) -> sqlite3.Connection:
        assert self._path is not None
        if not is_there(self._path):
            if not self._create:
                raise StoreError(f"there is no journal at {self._path}: the gateway has not run with this state yet")
            self._make_file(self._path)
        # isolation_level None: transactions begin only where `begin` says so.
        connection = sqlite3.connect(
            self._path, isolation_level=None, timeout=BUSY_MS / 1000, cached_statements=_KEPT_STATEMENTS
        )
        try:
            # With a write-ahead log, readers such as `oc-trio status` and backups don't block the writer.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA temp_store = MEMORY")
            _give_functions(connection)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    @staticmethod
    def _make_file(path: Path) -> None:
        """Mode 0600, for the journal holds command tokens. SQLite gives its -wal and -shm files the same mode."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            make_file(path)
        except OSError as error:
            raise StoreError(f"can't make {path}: {error.strerror}") from error

    def problem(self, error: Exception) -> str:
        name = _primary(error)
        advice = _DAMAGED if _is_damage(error) else _ADVICE.get(name, "")
        where = f" ({self._path})" if self._path is not None else ""
        text = "a text is not UTF-8" if str(error).startswith(_NOT_UTF8) else str(error)
        return f"{text}{where}" + (f": {advice}" if advice else "")

    def is_permanent(self, error: Exception) -> bool:
        return _is_damage(error)

    def is_conflict(self, error: Exception) -> bool:
        return False

    def is_locked(self, error: Exception) -> bool:
        return False

    def refusal(self, error: Exception) -> str:
        is_unknown_type = isinstance(error, sqlite3.ProgrammingError) and str(error).startswith(_NO_VALUE)
        if is_unknown_type or isinstance(error, (sqlite3.DataError, sqlite3.IntegrityError)):
            return getattr(error, "sqlite_errorname", "") or type(error).__name__
        return ""

    def begin(self) -> None:
        if self._connection is None:
            self._connection = self._connect()
        # IMMEDIATE takes the write lock now: a later upgrade from a read lock could fail with SQLITE_BUSY.
        self._connection.execute("BEGIN IMMEDIATE")

    def execute(self, sql: str, params: Sequence[Any] = ()) -> Result:
        assert self._connection is not None
        cursor = self._connection.execute(sql, params)
        rows = cursor.fetchall()
        return rows, cursor.rowcount

    def commit(self) -> None:
        self.execute("COMMIT")

    def rollback(self) -> None:
        # SQLite itself has already rolled back after a full disk or an I/O error.
        if self._connection is not None and self._connection.in_transaction:
            try:
                self._connection.rollback()
            except sqlite3.Error:
                self.close()

    def close(self) -> None:
        if self._connection is not None and not self._adopted:
            self._connection.close()
            self._connection = None

    def lock_schema(self) -> None:
        """Nothing to do: a transaction has the whole file."""

    @contextlib.contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        """A separate connection, so that a long read does not block the writer; the adopted one if there is one."""
        if self._path is None:
            assert self._connection is not None
            yield self._connection
            return
        connection = sqlite3.connect(self._path, timeout=BUSY_MS / 1000)
        try:
            yield connection
        finally:
            connection.close()

    def backup(self, target: str, *, replace: bool = False) -> None:
        with (
            new_file(Path(target), replace=replace) as draft,
            self._reader() as source,
            contextlib.closing(sqlite3.connect(draft)) as copy,
        ):
            source.backup(copy)

    def check(self) -> tuple[str, ...]:
        with self._reader() as reader:
            lines = tuple(str(row[0]) for row in reader.execute("PRAGMA integrity_check"))
        return () if lines == ("ok",) else lines

    def size(self) -> int:
        if self._path is None:
            return 0
        # The write-ahead log counts too: it holds what was not yet copied back into the file.
        parts = (self._path, Path(f"{self._path}-wal"))
        return sum(part.stat().st_size for part in parts if part.exists())
