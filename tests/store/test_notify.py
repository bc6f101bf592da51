"""Other processes learn at once that the journal has something for them, where the database can tell them."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from functools import partial

import pytest
import trio

from oc_trio.store.engine import Tx
from oc_trio.store.leases import open_leases
from oc_trio.store.notify import LEASES, RELAYED, Notices, notify, run_notices
from oc_trio.store.store import Store, open_store
from oc_trio.wakeup import Wakeup
from tests.store.cluster import Cluster
from tests.store.rows import ACCOUNT
from tests.store.test_leases import NORTH
from tests.store.test_postgres import cut_connections


@asynccontextmanager
async def open_notices(url: str, reconnect_seconds: float = 2.0) -> AsyncIterator[Notices]:
    notices = Notices()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(run_notices, url, notices, reconnect_seconds=reconnect_seconds))
        yield notices
        nursery.cancel_scope.cancel()


async def listening(notices: Notices) -> None:
    """Wait until the connection is there: whoever follows is woken then, for what may have been missed."""
    begun = Wakeup()
    notices.follow("begun", begun.set)
    await begun.wait()
    assert notices.is_listening


@pytest.mark.postgres
async def test_a_lease_that_is_given_back_wakes_others(postgres_url: str) -> None:
    """Who follows it hears of it with the commit; of an epoch that was not held, nobody does."""
    leases_changed, relayed = Wakeup(), Wakeup()
    async with open_store(postgres_url), open_leases(postgres_url) as leases, open_notices(postgres_url) as notices:
        await listening(notices)
        notices.follow(LEASES, leases_changed.set)
        notices.follow(RELAYED, relayed.set)
        assert await leases.acquire(ACCOUNT, NORTH.id, 0) == 1
        await leases.release(ACCOUNT, NORTH.id, 1)

        await leases_changed.wait()

        assert not relayed.is_set


@pytest.mark.postgres
async def test_what_is_not_committed_is_not_told(postgres_url: str, cluster: Cluster) -> None:
    """A transaction that failed says nothing, nor does a journal in another schema."""
    heard: list[str] = []

    def fail(tx: Tx) -> None:
        notify(tx, "failed")
        raise ZeroDivisionError

    other_url = cluster.new_schema()
    async with open_store(postgres_url) as store, open_store(other_url) as other, open_notices(postgres_url) as notices:
        await listening(notices)
        last = Wakeup()
        for topic in ("failed", "other"):
            notices.follow(topic, partial(heard.append, topic))
        notices.follow("done", last.set)
        with pytest.raises(ZeroDivisionError):
            await store._engine.run(fail)
        await other._engine.run(lambda tx: notify(tx, "other"))
        await store._engine.run(lambda tx: notify(tx, "done"))
        await last.wait()
    assert heard == []


@pytest.mark.postgres
async def test_a_connection_that_was_cut_is_made_again(postgres_url: str) -> None:
    """Whoever follows looks then, for what may have been missed."""
    async with open_store(postgres_url), open_notices(postgres_url, reconnect_seconds=0.01) as notices:
        await listening(notices)
        missed = Wakeup()
        notices.follow(LEASES, missed.set)
        assert cut_connections(postgres_url) == 2
        await missed.wait()
        assert notices.is_listening


async def test_on_sqlite_there_is_nobody_to_tell(store: Store) -> None:
    """To notify is allowed everywhere, and costs nothing."""
    await store._engine.run(lambda tx: notify(tx, RELAYED))


async def test_the_owner_of_a_connection_may_take_notices() -> None:
    """As of the clock: several gateways may share a connection in a test."""
    heard: list[str] = []
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.create_function("oc_notify", 1, heard.append)
        async with open_store(connection) as store:
            await store._engine.run(lambda tx: notify(tx, RELAYED))
            await run_notices(connection, Notices())
    assert heard == [RELAYED]
