import threading

import psycopg
import pytest
import trio
from attrs import evolve

from oc_trio.errors import StoreError
from oc_trio.lease import Fence
from oc_trio.store.engine import Tx
from oc_trio.store.leases import Leases, open_leases
from oc_trio.store.postgres import LEASES, PostgresDriver, native
from oc_trio.store.store import open_store
from oc_trio.store.writer import open_writer
from tests.store.rows import ACCOUNT, admission
from tests.store.test_leases import NORTH, SOUTH

pytestmark = pytest.mark.postgres


def cut_connections(url: str, database: str = "postgres") -> int:
    """End every other connection of the gateway, as a restart of the server does; returns how many."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(
            "SELECT COUNT(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE application_name = 'oc-trio' AND datname = %s",
            [database],
        ).fetchone()
        assert row is not None
        return int(row[0])


async def test_a_cut_connection_is_replaced(postgres_url: str) -> None:
    """A connection that died while idle costs nobody an error."""
    async with open_store(postgres_url) as store:
        await store.admission.admit(admission("p1"))
        assert cut_connections(postgres_url) == 1

        assert (await store.admission.admit(admission("p2"))).fresh

        assert len(await store.obligations.open_for(ACCOUNT)) == 2


async def test_several_processes_share_a_journal(postgres_url: str) -> None:
    """Each sees at once what the others have written."""
    async with open_store(postgres_url) as first, open_store(postgres_url) as second:
        assert (await first.admission.admit(admission("p1"))).fresh
        assert not (await second.admission.admit(admission("p1"))).fresh
        assert await second.admission.seen(ACCOUNT, ["p1"]) == {"p1"}


async def test_a_takeover_waits_for_what_was_let_through(postgres_url: str) -> None:
    """A write whose fence was checked is committed before the next holder begins; meanwhile the lease is renewed."""
    order: list[str] = []
    written, go_on = threading.Event(), threading.Event()

    def slow(tx: Tx) -> None:
        tx.run("INSERT INTO cron (job, at, result) VALUES ('slow', 1, '')")
        written.set()
        go_on.wait(10)
        order.append("written")

    async with open_store(postgres_url) as store, open_leases(postgres_url) as leases:
        assert await leases.acquire(ACCOUNT, NORTH.id, 0) == 1
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.fenced(Fence(ACCOUNT, NORTH.id, 1))._engine.run, slow)
            await trio.to_thread.run_sync(written.wait)
            [row] = (await leases.beat(NORTH, {ACCOUNT: 1})).leases
            assert (row.holder, row.left_ms > 5000) == (NORTH.id, True)
            await leases.release(ACCOUNT, NORTH.id, 1)

            async def take_over() -> None:
                assert await leases.acquire(ACCOUNT, SOUTH.id, 1) == 2
                order.append("taken over")

            nursery.start_soon(take_over)
            await wait_for_lock(postgres_url)
            go_on.set()
        assert order == ["written", "taken over"]


async def test_a_takeover_gives_up_for_now(postgres_url: str) -> None:
    """A transaction of the last holder that doesn't end holds nobody up for longer than the limit."""
    driver = PostgresDriver(postgres_url, evolve(LEASES, lock_ms=30))
    with psycopg.connect(postgres_url) as other:
        async with open_store(postgres_url), open_writer(driver) as engine:
            leases = Leases(engine)
            assert await leases.acquire(ACCOUNT, NORTH.id, 0) == 1
            await leases.release(ACCOUNT, NORTH.id, 1)
            other.execute("SELECT 1 FROM leases FOR KEY SHARE")
            assert await leases.acquire(ACCOUNT, SOUTH.id, 1) is None
            other.rollback()
            assert await leases.acquire(ACCOUNT, SOUTH.id, 1) == 2


async def wait_for_lock(url: str) -> None:
    """Wait until some connection of the gateway waits for a row."""
    query = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'oc-trio' AND wait_event_type = 'Lock'"

    def wait() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while connection.execute(query).fetchone() is None:
                pass

    await trio.to_thread.run_sync(wait)


async def test_a_connection_cut_within_a_transaction_fails_it(postgres_url: str) -> None:
    """The work is undone and reported, the next one is done on a new connection."""
    async with open_store(postgres_url) as store:
        with pytest.raises(StoreError):
            await store._engine.run(lambda tx: tx.all("SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(1)"))
        await store.cron.record_run("job", 1)
        assert len(await store.cron.all()) == 1


UNREADABLE = [
    pytest.param("postgresql://oc:s3cret#x@localhost/db", id="password with a hash"),
    pytest.param("postgresql://oc:s3cret@localhost/db?nonsense=1", id="unknown parameter"),
    pytest.param("postgresql://oc:s3cret@localhost:1/db", id="nobody listens"),
    pytest.param("postgresql://oc:x@s3cret@localhost/db", id="password with an at"),
    pytest.param("postgresql://oc:x@s3cret/y@localhost/db", id="password with an at and a slash"),
    pytest.param("postgresql://oc:1/s3cret@localhost/db", id="password with a slash"),
]


@pytest.mark.parametrize("url", UNREADABLE)
async def test_a_bad_url_never_shows_its_password(url: str) -> None:
    """Whatever is wrong with it, the message can go to a log."""
    with pytest.raises(StoreError) as caught:
        async with open_store(url):
            pytest.fail("opened")

    assert "s3cret" not in str(caught.value)
    assert str(caught.value)
    assert "\n" not in str(caught.value)


async def test_copies_are_left_to_pg_dump(postgres_url: str) -> None:
    """There is nothing to copy or check from here."""
    async with open_store(postgres_url) as store:
        with pytest.raises(StoreError, match="pg_dump"):
            await store.backup("copy")
        assert await store.integrity_check() == ()


def test_marks_are_translated() -> None:
    """psycopg has its own mark."""
    assert native("a = ? AND b = ?") == b"a = %s AND b = %s"
