"""PostgreSQL as a `Driver`: one psycopg connection, which both writes and holds the lock of the gateway.

If the connection is lost, so is the lock: a gateway without the lock cannot write. psycopg comes with the extra
`postgres`.
"""

import functools
import re
from collections.abc import Sequence

from oc_trio.errors import StoreError, StoreUnusable
from oc_trio.store.engine import Result

try:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict
except ImportError as missing:
    raise StoreUnusable("PostgreSQL needs psycopg: install oc-trio with the extra `postgres`") from missing

# Any number that is ours: the first half of the advisory lock's key, the schema is the second.
LOCK_CLASS = 1_869_898_345
# TCP keepalive ends a half-open connection within about a minute; a statement that hangs blocks the whole journal.
SETTINGS = {
    "connect_timeout": "5",
    "keepalives_idle": "20",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
    "application_name": "oc-trio",
}
# Errors about the values of a row: bad characters, numbers out of range, too long for an index, constraints.
_OF_ROW = (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded)
STATEMENT_TIMEOUT_MS = 30_000
LOCK_WAIT_MS = 1000


@functools.lru_cache(maxsize=512)
def native(sql: str) -> bytes:
    return sql.replace("?", "%s").encode()


class PostgresDriver:
    """See `engine.Driver`. `exclusive` takes the lock: without it the connection is a reader beside the gateway."""

    name = "postgres"
    serial = "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
    # Not now(), which is the time of the transaction's beginning: it may have waited for a lock since.
    now_sql = "(EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::bigint"
    for_update = " FOR UPDATE"
    # Doesn't hold up the renewal of a lease, which changes no key column, but whoever takes it over, by `for_update`.
    for_key_share = " FOR KEY SHARE"
    errors: tuple[type[Exception], ...] = (psycopg.Error,)

    def __init__(self, url: str, *, exclusive: bool = True) -> None:
        self._url = url
        self._exclusive = exclusive
        self._connection: psycopg.Connection | None = None

    def _connect(self) -> psycopg.Connection:
        url_settings = self._url_settings()
        # What the operator wrote into the URL goes before our own.
        settings = {key: value for key, value in SETTINGS.items() if key not in url_settings}
        # autocommit: transactions begin only where `begin` says so.
        connection = psycopg.connect(self._url, autocommit=True, **settings)  # type: ignore[arg-type]
        try:
            connection.execute(f"SET statement_timeout = {STATEMENT_TIMEOUT_MS}".encode())
            if self._exclusive:
                self._lock(connection)
        except (psycopg.Error, StoreError):
            connection.close()
            raise
        return connection

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

    @staticmethod
    def _lock(connection: psycopg.Connection) -> None:
        """Takes a session-level advisory lock, which the server releases when this connection ends.

        Waits a second for it, because the server takes a moment to notice that the previous gateway has gone.
        """
        connection.execute(f"SET lock_timeout = {LOCK_WAIT_MS}".encode())
        try:
            connection.execute("SELECT pg_advisory_lock(%s::int, hashtext(current_schema()))", (LOCK_CLASS,))
        except psycopg.errors.LockNotAvailable:
            raise StoreError(
                f"another gateway is using the PostgreSQL database {connection.info.dbname}; "
                "stop it, or give this one a database or schema of its own"
            ) from None
        connection.execute("SET lock_timeout = 0")

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
                self._connection.execute("BEGIN")
            except psycopg.OperationalError:
                # The connection died while idle, before this transaction did anything: connect again.
                self.close()
            else:
                return
        self._connection = self._connect()
        self._connection.execute("BEGIN")

    def execute(self, sql: str, params: Sequence[object] = ()) -> Result:
        assert self._connection is not None
        # None, not an empty sequence: with parameters psycopg would take each % of the statement for a placeholder.
        cursor = self._connection.execute(native(sql), params or None)
        return (cursor.fetchall() if cursor.description else []), cursor.rowcount

    def commit(self) -> None:
        self.execute("COMMIT")

    def rollback(self) -> None:
        if self._connection is None:
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
