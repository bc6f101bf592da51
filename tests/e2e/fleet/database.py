"""The database of a fleet: PostgreSQL, a proxy to it for each gateway, and who held which lease when."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

import psycopg
import trio
from attrs import define, field, frozen

from tests.store.cluster import Cluster, binaries, open_cluster
from tests.store.pooler import open_pooler

T = TypeVar("T")
# Of PgBouncer to the server: fewer than three gateways hold of theirs.
POOL_SIZE = 6
# Not synchronous_commit=off: a crash of the server would then forget what it has confirmed, a whole admission.
SETTINGS = ("fsync=off", "max_connections=60")
# What the leases were at each change, by the database's clock; a trigger fills it.
_HISTORY = """
CREATE TABLE IF NOT EXISTS fleet_history (
    at BIGINT NOT NULL, account TEXT NOT NULL, holder TEXT NOT NULL, epoch BIGINT NOT NULL, pid BIGINT NOT NULL);
CREATE OR REPLACE FUNCTION note_lease() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' OR NEW.holder <> OLD.holder OR NEW.epoch <> OLD.epoch THEN
        INSERT INTO fleet_history VALUES (
            (EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::bigint, NEW.account, NEW.holder, NEW.epoch,
            coalesce((SELECT pid FROM processes WHERE id = NEW.holder), 0));
    END IF;
    RETURN NEW;
END $$;
DROP TRIGGER IF EXISTS note_lease ON leases;
INSERT INTO fleet_history
    SELECT since, account, holder, epoch, coalesce((SELECT pid FROM processes WHERE id = holder), 0) FROM leases;
CREATE TRIGGER note_lease AFTER INSERT OR UPDATE ON leases FOR EACH ROW EXECUTE FUNCTION note_lease();
"""


@frozen
class LeaseChange:
    """From `at` (milliseconds) on the account is held by the process `pid`, 0 for nobody."""

    at: int
    account: str
    epoch: int
    pid: int


@frozen
class Owed:
    """What the journal says that is not over: an obligation that is open, or one that did not end as delivered."""

    account: str
    trigger: str
    state: str
    reason: str


@define(eq=False)
class DatabaseProxy:
    """A TCP port on loopback before the database's unix socket. Cut: nobody gets through. Silent: nothing moves."""

    socket_path: str
    database: str
    port: int = 0
    is_cut: bool = False
    _moving: trio.Event = field(factory=trio.Event)
    _open: set[trio.CancelScope] = field(factory=set)

    def __attrs_post_init__(self) -> None:
        self._moving.set()

    def cut(self) -> None:
        self.is_cut = True
        for scope in self._open:
            scope.cancel()

    def silence(self) -> None:
        if self._moving.is_set():
            self._moving = trio.Event()

    def mend(self) -> None:
        self.is_cut = False
        self._moving.set()

    async def serve(self, client: trio.SocketStream) -> None:
        await trio.lowlevel.checkpoint()
        if self.is_cut:
            return
        with trio.CancelScope() as scope:
            self._open.add(scope)
            try:
                server = await trio.open_unix_socket(self.socket_path)
                async with client, server, trio.open_nursery() as nursery:
                    nursery.start_soon(self._forward, client, server, scope)
                    nursery.start_soon(self._forward, server, client, scope)
            except* (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
                pass  # either side may go at any time; the other one is closed then
            finally:
                self._open.discard(scope)

    async def _forward(self, source: trio.SocketStream, target: trio.SocketStream, scope: trio.CancelScope) -> None:
        async for chunk in source:
            await self._moving.wait()
            await target.send_all(chunk)
        await self._moving.wait()  # an end is no news either
        scope.cancel()


@define(eq=False)
class FleetDatabase:
    """A cluster with one database `name`; gateways reach it by `socket_path`, the server's or PgBouncer's."""

    cluster: Cluster
    name: str
    socket_path: str
    _nursery: trio.Nursery

    @property
    def url(self) -> str:
        return f"postgresql:///{self.name}?host={self.cluster.directory}&user=oc"

    async def proxy(self) -> DatabaseProxy:
        proxy = DatabaseProxy(self.socket_path, self.name)
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        proxy.port = listener.socket.getsockname()[1]
        await self._nursery.start(trio.serve_listeners, proxy.serve, [listener])
        return proxy

    async def restart(self, seconds: float) -> None:
        """Stop the server as a crash would, and start it again after a while."""
        await trio.to_thread.run_sync(self.cluster.stop)
        await trio.sleep(seconds)
        await trio.to_thread.run_sync(self.cluster.start, *SETTINGS)

    async def note_leases(self) -> bool:
        """Begin to keep the history; False while the table is not there."""
        return await self._run(_note_leases)

    async def lease_changes(self) -> tuple[LeaseChange, ...]:
        return tuple(await self._run(_lease_changes))

    async def owed(self) -> tuple[Owed, ...]:
        return tuple(await self._run(_owed))

    async def connections(self) -> int:
        return await self._run(_connections)

    async def _run(self, read: Callable[[psycopg.Connection], T]) -> T:
        def call() -> T:
            with psycopg.connect(self.url, autocommit=True, connect_timeout=5) as connection:
                return read(connection)

        return await trio.to_thread.run_sync(call)


def _exists(connection: psycopg.Connection, table: str) -> bool:
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (table,)).fetchone()
    return bool(row and row[0])


def _note_leases(connection: psycopg.Connection) -> bool:
    if not _exists(connection, "leases"):
        return False
    connection.execute(_HISTORY.encode())
    return True


def _lease_changes(connection: psycopg.Connection) -> list[LeaseChange]:
    if not _exists(connection, "fleet_history"):
        return []
    rows = connection.execute("SELECT at, account, epoch, pid FROM fleet_history ORDER BY at, epoch").fetchall()
    return [LeaseChange(*row) for row in rows]


def _owed(connection: psycopg.Connection) -> list[Owed]:
    sql = "SELECT account, trigger, state, outcome_reason FROM obligations WHERE state <> 'delivered' ORDER BY serial"
    return [Owed(*row) for row in connection.execute(sql).fetchall()]


def _connections(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()").fetchone()
    return int(row[0]) if row else 0


@contextmanager
def _open_server(cluster: Cluster, *, pooled: bool) -> Iterator[tuple[str, str]]:
    """The name of an empty database, and the socket of the server or pooler that leads to it."""
    if pooled:
        with open_pooler(cluster, POOL_SIZE) as url:
            parts = urlsplit(url)
            query = parse_qs(parts.query)
            yield parts.path.strip("/"), f"{query['host'][0]}/.s.PGSQL.{query['port'][0]}"
        return
    with psycopg.connect(cluster.url(), autocommit=True) as connection:
        connection.execute(b"CREATE DATABASE fleet")
    yield "fleet", f"{cluster.directory}/.s.PGSQL.5432"


@asynccontextmanager
async def open_database(*, pooled: bool = False) -> AsyncIterator[FleetDatabase]:
    programs = binaries()
    assert programs is not None, "PostgreSQL's server binaries (initdb, pg_ctl) are not installed"
    with open_cluster(programs, *SETTINGS) as cluster, _open_server(cluster, pooled=pooled) as (name, socket_path):
        async with trio.open_nursery() as nursery:
            yield FleetDatabase(cluster, name, socket_path, nursery)
            nursery.cancel_scope.cancel()
