"""A database that answers nothing, restarts, or waits for a process that was stopped: all waits are bounded."""

import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from attrs import define, evolve, field

from oc_trio.errors import StoreError
from oc_trio.lease import Fence
from oc_trio.store.engine import Tx
from oc_trio.store.fences import FencedEngine
from oc_trio.store.leases import open_leases
from oc_trio.store.postgres import JOURNAL, LEASES, PostgresDriver
from oc_trio.store.store import open_store
from oc_trio.store.writer import open_writer
from tests.store.cluster import Cluster, binaries, open_cluster
from tests.store.rows import ACCOUNT
from tests.store.test_leases import NORTH, SOUTH

pytestmark = pytest.mark.postgres


@define(eq=False)
class Line:
    """A unix socket before the cluster's. A connection that was hushed takes what is sent and passes nothing on."""

    cluster: Cluster
    connections: list[list[bool]] = field(factory=list)

    def hush(self) -> None:
        """Have the connections of now go silent; later ones work."""
        for hushed in self.connections:
            hushed.append(True)

    async def serve(self, client: trio.SocketStream) -> None:
        hushed: list[bool] = []
        self.connections.append(hushed)
        server = await trio.open_unix_socket(str(self.cluster.directory / ".s.PGSQL.5432"))
        async with client, server, trio.open_nursery() as nursery:
            nursery.start_soon(self._pass_on, client, server, hushed, nursery.cancel_scope)
            nursery.start_soon(self._pass_on, server, client, hushed, nursery.cancel_scope)

    async def _pass_on(
        self, source: trio.SocketStream, target: trio.SocketStream, hushed: list[bool], scope: trio.CancelScope
    ) -> None:
        try:
            async for chunk in source:
                if not hushed:
                    await target.send_all(chunk)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # either side may go at any time; the other one is closed then
        scope.cancel()


@asynccontextmanager
async def open_line(cluster: Cluster, directory: Path) -> AsyncIterator[Line]:
    line = Line(cluster)
    with trio.socket.socket(socket.AF_UNIX) as listener:
        await listener.bind(str(directory / ".s.PGSQL.5432"))
        listener.listen()
        async with trio.open_nursery() as nursery:
            await nursery.start(trio.serve_listeners, line.serve, [trio.SocketListener(listener)])
            yield line
            nursery.cancel_scope.cancel()


async def test_a_silent_connection_is_given_up(cluster: Cluster, postgres_url: str, tmp_path: Path) -> None:
    """It takes what is sent and PostgreSQL never answers: between transactions nobody notices, within one it fails."""
    url = postgres_url.replace(str(cluster.directory), str(tmp_path))
    driver = PostgresDriver(url, evolve(JOURNAL, silence_seconds=0.05))
    async with open_line(cluster, tmp_path) as line, open_writer(driver) as engine:

        def work(tx: Tx) -> int:
            tx.one("SELECT 1")
            line.hush()
            return int(tx.value("SELECT 2"))

        assert await engine.run(lambda tx: tx.value("SELECT 1")) == 1
        line.hush()
        assert await engine.run(lambda tx: tx.value("SELECT 1")) == 1
        with pytest.raises(StoreError, match=r"has not answered for 0\.05 s"):
            await engine.run(work)
        assert await engine.run(lambda tx: tx.value("SELECT 3")) == 3
        assert len(line.connections) == 3


def test_renewals_give_up_before_the_lease_ends() -> None:
    """Two tries that fail, each with a new connection, fit into the time that a lease is sure."""
    one_try = LEASES.connect_seconds + LEASES.silence_seconds
    assert max(LEASES.statement_ms, LEASES.lock_ms) / 1000 < LEASES.silence_seconds
    assert one_try <= 4
    assert JOURNAL.idle_ms < JOURNAL.lock_ms < JOURNAL.statement_ms < JOURNAL.silence_seconds * 1000


async def test_a_process_that_was_stopped_holds_nobody_up(postgres_url: str) -> None:
    """It sleeps within a transaction: the server undoes that, so that another process can take the account over; what
    the first does when it wakes is refused.
    """
    sleeps, wakes = threading.Event(), threading.Event()

    def sleep(tx: Tx) -> None:
        tx.run("INSERT INTO cron (job, at, result) VALUES ('half', 1, '')")
        sleeps.set()
        wakes.wait(10)
        tx.run("INSERT INTO cron (job, at, result) VALUES ('other half', 1, '')")

    driver = PostgresDriver(postgres_url, evolve(JOURNAL, idle_ms=50))
    async with open_store(postgres_url) as store, open_writer(driver) as engine, open_leases(postgres_url) as leases:
        assert await leases.acquire(ACCOUNT, NORTH.id, 0) == 1
        north = FencedEngine(engine, Fence(ACCOUNT, NORTH.id, 1))

        async def serve() -> None:
            with pytest.raises(StoreError, match="idle-in-transaction timeout"):
                await north.run(sleep)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            await trio.to_thread.run_sync(sleeps.wait)
            await leases.release(ACCOUNT, NORTH.id, 1)
            while (epoch := await leases.acquire(ACCOUNT, SOUTH.id, 1)) is None:
                pass
            assert epoch == 2
            wakes.set()
        assert await store.cron.all() == ()


@pytest.mark.slow
async def test_a_database_that_restarts_is_found_again() -> None:
    """While it is away everything fails in words; then the journal, its leases and other processes go on."""
    programs = binaries()
    assert programs is not None
    with open_cluster(programs) as cluster:
        url = cluster.new_schema()
        async with open_store(url) as store, open_leases(url) as leases:
            assert await leases.acquire(ACCOUNT, NORTH.id, 0) == 1
            north = store.fenced(Fence(ACCOUNT, NORTH.id, 1))
            await north.cron.record_run("job", 1)
            cluster.stop()
            for _ in range(2):
                with pytest.raises(StoreError, match="postgres: "):
                    await north.cron.record_run("job", 2)
                with pytest.raises(StoreError, match="postgres: "):
                    await leases.beat(NORTH, {ACCOUNT: 1})
            cluster.start()
            [row] = (await leases.beat(NORTH, {ACCOUNT: 1})).leases
            assert row.left_ms > 5000
            await north.cron.record_run("job", 3)
            assert [run.at for run in await store.cron.all()] == [3]
