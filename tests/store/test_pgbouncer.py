"""The journal behind PgBouncer in transaction mode: each transaction may run on another connection of the server."""

from collections.abc import Iterator

import psycopg
import pytest
import trio

from oc_trio.errors import FenceRefused
from oc_trio.lease import Fence
from oc_trio.store.leases import LEASE_MS, open_leases
from oc_trio.store.notify import Notices, run_notices
from oc_trio.store.postgres import is_pooled
from oc_trio.store.store import open_store
from tests.store.cluster import Cluster
from tests.store.pooler import SERVER_CONNECTIONS, open_pooler, program
from tests.store.rows import ACCOUNT, admission
from tests.store.test_leases import NORTH, SOUTH, pass_time
from tests.store.test_postgres import cut_connections

pytestmark = [pytest.mark.postgres, pytest.mark.skipif(program() is None, reason="PgBouncer is not installed")]


@pytest.fixture
def pooled_url(cluster: Cluster) -> Iterator[str]:
    with open_pooler(cluster) as url:
        yield url


@pytest.mark.slow
async def test_many_processes_share_few_connections(pooled_url: str, cluster: Cluster) -> None:
    """Statements of all kinds, often enough to be prepared on a connection of one's own; nothing stays in a session."""
    async with open_store(pooled_url) as first, open_store(pooled_url) as second, open_leases(pooled_url) as leases:
        assert await leases.acquire(ACCOUNT, NORTH.id, 0) == 1
        north = first.fenced(Fence(ACCOUNT, NORTH.id, 1))

        async def write(number: int) -> None:
            for at in range(15):
                store = (north, second)[number % 2]
                await store.admission.admit(admission(f"p{number}-{at}"))
                await store.cron.record_run(f"job{number}", at)
                assert len(await store.cron.all()) <= 6
                if number == 0:
                    [row] = (await leases.beat(NORTH, {ACCOUNT: 1})).leases
                    assert row.left_ms > LEASE_MS - 3000

        async with trio.open_nursery() as nursery:
            for number in range(6):
                nursery.start_soon(write, number)

        assert len(await second.obligations.open_for(ACCOUNT)) == 90
        await pass_time(second, LEASE_MS)
        assert await leases.acquire(ACCOUNT, SOUTH.id, 1) == 2
        with pytest.raises(FenceRefused):
            await north.cron.record_run("job", 99)
        # The next user of a server's connection finds it as it was.
        with psycopg.connect(pooled_url, autocommit=True) as other:
            assert is_pooled(other)
            for _ in range(SERVER_CONNECTIONS):
                assert other.execute("SHOW statement_timeout").fetchone() == ("0",)
                assert other.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)


async def test_its_server_connections_may_go(pooled_url: str, cluster: Cluster) -> None:
    """The database restarts behind the pooler: a transaction may fail, the next one is done."""
    database = pooled_url.partition("///")[2].partition("?")[0]
    async with open_store(pooled_url) as store:
        await store.cron.record_run("job", 1)
        assert cut_connections(cluster.url(), database) >= 1
        await store.cron.record_run("job", 2)
        assert [run.at for run in await store.cron.all()] == [2]


async def test_notices_do_not_come_through_it(pooled_url: str) -> None:
    """That is found out and said, and nobody waits for them."""
    async with open_store(pooled_url):
        notices = Notices()
        await run_notices(pooled_url, notices)
        assert not notices.is_listening
