"""PostgreSQL as a `Driver`: one psycopg connection, all of whose waits are bounded, also where a pooler is in between.

Several processes may write at the same time; which of them may write for an account is in `fences`. psycopg comes with
the extra `postgres`.
"""

import functools
import re
import select
from collections.abc import Generator, Sequence
from typing import Any, TypeVar

from oc_trio.classes import frozen
from oc_trio.errors import RowLocked, StoreError, StoreUnusable
from oc_trio.store.engine import Result

try:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict
except ImportError as missing:
    raise StoreUnusable("PostgreSQL needs psycopg: install oc-trio with the extra `postgres`") from missing

T = TypeVar("T")

# Any number that is ours: the first half of the advisory lock's key, the schema is the second. Releases before leases
# held this lock for as long as they ran.
LOCK_CLASS = 1_869_898_345
# TCP keepalive ends a connection to a host that is gone, after 11 s without traffic or 10 s without an acknowledgement;
# what answers TCP but nothing else is left to `WaitLimits`.
SETTINGS = {
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "application_name": "oc-trio",
}
# Errors about the values of a row: bad characters, numbers out of range, too long for an index, constraints.
_OF_ROW = (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded)
# The server on the other end has become a standby, or ends: another connection may lead to another server.
_OF_SERVER = (
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.AdminShutdown,
    psycopg.errors.CrashShutdown,
    psycopg.errors.CannotConnectNow,
)


@frozen
class WaitLimits:
    """Milliseconds: of one statement, of the wait for a row that another process has locked, and of a pause within a
    transaction, after which the server undoes it (a process that was stopped must not hold others up). In seconds: of
    connecting, and without any answer from the server.
    """

    statement_ms: int
    lock_ms: int
    idle_ms: int
    connect_seconds: int
    silence_seconds: float


# The shorter wait has the better error: a lock's before the statement's, and both before a server counts as silent.
STATEMENT_TIMEOUT_MS = 10_000
JOURNAL = WaitLimits(STATEMENT_TIMEOUT_MS, 8000, 5000, 5, 12.0)
# Of renewals: two that fail must fit into a lease.
LEASES = WaitLimits(1500, 1000, 1500, 2, 2.0)
# A new index on years of messages takes its time; until then the server says nothing.
MIGRATIONS = WaitLimits(3_600_000, 20_000, 60_000, 5, 3_630.0)


@functools.lru_cache(maxsize=512)
def native(sql: str) -> bytes:
    return sql.replace("?", "%s").encode()


class _Silence(psycopg.OperationalError):
    """The server has not answered for too long."""


# By what psycopg awaits, and hands back when it is there: 1 to read, 2 to write.
_EVENTS = {1: select.POLLIN, 2: select.POLLOUT, 3: select.POLLIN | select.POLLOUT}


def _wait(steps: Generator[Any, Any, T], socket: int, seconds: float) -> T:
    """As psycopg's own `wait`, but for no longer than `seconds` without anything from the server."""
    poll = select.poll()
    try:
        awaited = next(steps)
        while True:
            poll.register(socket, _EVENTS[int(awaited)])
            found = poll.poll(seconds * 1000)
            if not found:
                raise _Silence(f"the server has not answered for {seconds:g} s")
            event = found[0][1]
            # After an error of the socket reading says which one.
            ready = (1 if event & ~select.POLLOUT else 0) | (2 if event & select.POLLOUT else 0)
            awaited = steps.send(ready)
    except StopIteration as end:
        value: T = end.value
        return value


class _Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that does not wait for ever for a server that has gone silent."""

    silence_seconds = 0.0

    def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
        if self.silence_seconds:
            return _wait(gen, self.pgconn.socket, self.silence_seconds)
        return super().wait(gen, *args, **options)


class PostgresDriver:
    """See `engine.Driver`."""

    name = "postgres"
    serial = "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
    # Not now(), which is the time of the transaction's beginning: it may have waited for a lock since.
    now_sql = "(EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::bigint"
    # As in `postgres_listener`.
    notify_sql = "SELECT pg_notify(left('oc_trio ' || current_schema(), 63), ?)"
    lock_sql = "SELECT pg_advisory_xact_lock(hashtext('oc_trio ' || current_schema()), hashtext(?))"
    for_update = " FOR UPDATE"
    # Doesn't hold up the renewal of a lease, which changes no key column, but whoever takes it over, by `for_update`.
    for_key_share = " FOR KEY SHARE"
    errors: tuple[type[Exception], ...] = (psycopg.Error,)

    def __init__(self, url: str, limits: WaitLimits = JOURNAL) -> None:
        self._url = url
        self._limits = limits
        self._connection: _Connection | None = None
        self._begin = b"BEGIN"
        # An answer did not come, or not whole: what the connection answers next might be about an earlier statement.
        self._is_doubtful = False

    def connect(self) -> _Connection:
        """A new connection. Raises psycopg's errors, and StoreUnusable for a URL that can't be read."""
        url_settings = self._url_settings()
        # What the operator wrote into the URL goes before our own.
        ours = SETTINGS | {"connect_timeout": str(self._limits.connect_seconds)}
        settings = {key: value for key, value in ours.items() if key not in url_settings}
        # autocommit: transactions begin only where `begin` says so.
        connection = _Connection.connect(self._url, autocommit=True, **settings)  # type: ignore[arg-type]
        connection.silence_seconds = self._limits.silence_seconds
        try:
            self._set_limits(connection)
        except psycopg.Error:
            connection.close()
            raise
        self._is_doubtful = False
        return connection

    def _set_limits(self, connection: _Connection) -> None:
        limits = {
            "statement_timeout": self._limits.statement_ms,
            "lock_timeout": self._limits.lock_ms,
            "idle_in_transaction_session_timeout": self._limits.idle_ms,
        }
        if is_pooled(connection):
            # The next transaction may be another server connection's: nothing may be kept in a session. Statements that
            # psycopg prepares by itself are such a thing.
            connection.prepare_threshold = None
            local = [f"SET LOCAL {name} = {value}" for name, value in limits.items()]
            self._begin = "; ".join(["BEGIN", *local]).encode()
        else:
            connection.execute("; ".join(f"SET {name} = {value}" for name, value in limits.items()).encode())
            self._begin = b"BEGIN"

    def _url_settings(self) -> dict[str, object]:
        """Parses the URL ourselves: libpq's error messages quote parts of it, which may be parts of the password."""
        try:
            settings: dict[str, object] = {**conninfo_to_dict(self._url)}
        except psycopg.Error:
            settings = {"port": "unreadable"}
        # A second @ belongs to the password: libpq would take the rest for the host, and quote it in its error.
        is_cut = self._url.partition("?")[0].count("@") > 1
        if is_cut or not re.fullmatch(r"[0-9,]*", str(settings.get("port", ""))):
            raise StoreUnusable("the store's URL can't be read: special characters in its password must be %-encoded")
        return settings

    def lock_schema(self) -> None:
        assert self._connection is not None
        lock = "SELECT pg_advisory_xact_lock(%s::int, hashtext(current_schema()))"
        try:
            self._connection.execute(lock, (LOCK_CLASS,))
        except psycopg.errors.LockNotAvailable:
            raise RowLocked(
                f"another gateway is using the PostgreSQL database {self._connection.info.dbname}, and is of a release "
                "that shares it with nobody, or changes its schema right now: stop the older one"
            ) from None

    def problem(self, error: Exception) -> str:
        return " ".join(str(error).split())  # libpq's messages have several lines

    def is_permanent(self, error: Exception) -> bool:
        return False  # operators repair the server while we retry, and its error codes don't tell what is permanent

    def is_conflict(self, error: Exception) -> bool:
        return isinstance(error, (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure))

    def is_locked(self, error: Exception) -> bool:
        return isinstance(error, psycopg.errors.LockNotAvailable)

    def refusal(self, error: Exception) -> str:
        is_unknown_type = isinstance(error, psycopg.ProgrammingError) and str(error).startswith("cannot adapt type")
        return type(error).__name__ if is_unknown_type or isinstance(error, _OF_ROW) else ""

    def begin(self) -> None:
        if self._connection is not None and not self._connection.closed:
            try:
                self._connection.execute(self._begin, prepare=False)
            except psycopg.OperationalError:
                # The connection died while idle, before this transaction did anything: connect again.
                self.close()
            else:
                return
        self.close()
        self._connection = self.connect()
        self._connection.execute(self._begin, prepare=False)

    def execute(self, sql: str, params: Sequence[object] = ()) -> Result:
        assert self._connection is not None
        try:
            # None, not an empty sequence: with parameters psycopg would take each % of the statement for a placeholder.
            cursor = self._connection.execute(native(sql), params or None)
        except (_Silence, *_OF_SERVER):
            self._is_doubtful = True
            raise
        return (cursor.fetchall() if cursor.description else []), cursor.rowcount

    def commit(self) -> None:
        self.execute("COMMIT")

    def rollback(self) -> None:
        if self._connection is None:
            return
        if self._is_doubtful:
            self.close()
            return
        try:
            self._connection.execute("ROLLBACK")
        except psycopg.Error:
            self.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def backup(self, target: str, *, replace: bool = False) -> None:
        raise StoreError(f"PostgreSQL is copied with pg_dump, not to {target}")

    def check(self) -> tuple[str, ...]:
        # PostgreSQL checks its own files.
        return ()

    def size(self) -> int:
        return 0


def is_pooled(connection: psycopg.Connection[tuple[Any, ...]]) -> bool:
    """Whether there is a pooler such as PgBouncer in between: it gives its clients process ids of its own."""
    row = connection.execute("SELECT pg_backend_pid()", prepare=False).fetchone()
    return row is None or row[0] != connection.info.backend_pid
