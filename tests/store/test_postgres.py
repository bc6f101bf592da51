import psycopg
import pytest

from oc_trio.errors import StoreError
from oc_trio.store.postgres import native
from oc_trio.store.store import open_store
from tests.store.rows import ACCOUNT, admission

pytestmark = pytest.mark.postgres


def cut_connections(url: str) -> int:
    """End every other connection of the gateway, as a restart of the server does; returns how many."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(
            "SELECT COUNT(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE application_name = 'oc-trio'"
        ).fetchone()
        assert row is not None
        return int(row[0])


async def test_a_cut_connection_is_replaced(postgres_url: str) -> None:
    """A connection that died while idle costs nobody an error, and the lock is taken again."""
    async with open_store(postgres_url) as store:
        await store.admission.admit(admission("p1"))
        assert cut_connections(postgres_url) == 1

        assert (await store.admission.admit(admission("p2"))).fresh

        assert len(await store.obligations.open_for(ACCOUNT)) == 2
        with pytest.raises(StoreError, match="another gateway"):
            async with open_store(postgres_url):
                pytest.fail("opened twice")


async def test_a_gateway_that_lost_its_lock_can_not_write(postgres_url: str) -> None:
    """When a second gateway took over in between, the first is refused at its next write."""
    async with open_store(postgres_url) as first:
        cut_connections(postgres_url)
        async with open_store(postgres_url) as second:
            with pytest.raises(StoreError, match="another gateway is using the PostgreSQL database"):
                await first.admission.admit(admission("p1"))
            assert await second.admission.seen(ACCOUNT, ["p1"]) == frozenset()

        assert (await first.admission.admit(admission("p1"))).fresh


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
