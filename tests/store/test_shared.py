"""What several processes do to one journal at the same moment (PostgreSQL, READ COMMITTED)."""

import threading
from collections.abc import AsyncIterator, Callable

import psycopg
import pytest
import trio

from oc_trio.core.cron_jobs import ScheduledJob
from oc_trio.store.commit import MAX_TRIES
from oc_trio.store.engine import Tx
from oc_trio.store.pairing import RequestState
from oc_trio.store.store import Store, open_store
from tests.store.rows import ACCOUNT, ANNA, admission
from tests.store.test_cron_jobs import DAILY
from tests.store.test_postgres import wait_for_lock

pytestmark = pytest.mark.postgres


@pytest.fixture
async def stores(postgres_url: str) -> AsyncIterator[tuple[Store, Store]]:
    async with open_store(postgres_url) as first, open_store(postgres_url) as second:
        yield first, second


async def test_a_deadlock_costs_nobody_an_error(stores: tuple[Store, Store]) -> None:
    """The database undoes one of two transactions that wait for each other; it is run again, by itself."""
    both = threading.Barrier(2, timeout=10)
    tries: list[str] = []

    def crosswise(own: str, others: str) -> Callable[[Tx], None]:
        def work(tx: Tx) -> None:
            tries.append(own)
            tx.run("UPDATE cron SET result = ? WHERE job = ?", own, own)
            if tries.count(own) == 1:
                both.wait()
            tx.run("UPDATE cron SET result = ? WHERE job = ?", own, others)

        return work

    for name in ("a", "b"):
        await stores[0].cron.record_run(name, 1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stores[0]._engine.run, crosswise("a", "b"))
        nursery.start_soon(stores[1]._engine.run, crosswise("b", "a"))

    # One that is run again may meet the other one a second time.
    assert 3 <= len(tries) <= 2 * MAX_TRIES
    # Both rows are of one that was run again: it is the last.
    [last] = {run.result for run in await stores[0].cron.all()}
    assert last in tries[2:]


async def test_jobs_that_are_added_at_once_get_ids_of_their_own(stores: tuple[Store, Store]) -> None:
    """As they do one after the other."""
    added: list[ScheduledJob] = []

    async def add(store: Store) -> None:
        added.append(await store.cron_jobs.add(DAILY, 1))

    async with trio.open_nursery() as nursery:
        for number in range(6):
            nursery.start_soon(add, stores[number % 2])
    assert len({each.id for each in added}) == 6
    assert len(await stores[0].cron_jobs.all()) == 6


async def test_who_is_let_in_at_once_is_let_in_once(stores: tuple[Store, Store]) -> None:
    """A request, its approval and a grant on two machines: nobody gets an error, and one of them did it."""
    done: list[bool] = []

    async def ask(store: Store) -> None:
        answer = await store.pairing.request(ACCOUNT, ANNA, "anna", "CODE", 1, 1000, 5)
        assert answer.state is not RequestState.FULL

    async def grant(store: Store) -> None:
        done.append(await store.pairing.grant(ACCOUNT, ANNA, "anna", 2))

    async def approve(store: Store) -> None:
        done.append(await store.pairing.approve(ACCOUNT, "CODE", 2) is not None)

    async with trio.open_nursery() as nursery:
        for number in range(9):
            nursery.start_soon((ask, grant, approve)[number % 3], stores[number % 2])
    assert done.count(True) == 1
    assert await stores[0].pairing.approved(ACCOUNT) == {ANNA}


async def test_a_nonce_is_used_once(stores: tuple[Store, Store]) -> None:
    """Whichever process it arrives at, and at whichever it is tried again."""
    won: list[str] = []

    async def claim(number: int) -> None:
        is_mine, value = await stores[number % 2].claims.claim("click", "nonce", 1, 1000, str(number))
        if is_mine:
            won.append(value)
        else:
            assert won == [] or value == won[0]

    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(claim, number)
    assert len(won) == 1


async def test_pruning_spares_what_another_process_just_renewed(postgres_url: str, stores: tuple[Store, Store]) -> None:
    """A row that was chosen for its age, and has another one by now, stays."""
    await stores[0].claims.claim("hook", "key", 1, 10, "first")
    with psycopg.connect(postgres_url) as other:
        other.execute("UPDATE claims SET expires_at = 100000 WHERE scope = 'hook'")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stores[0].prune, 5000)
            await wait_for_lock(postgres_url)
            other.commit()
    assert await stores[0].claims.is_taken("hook", "key", 5000)


async def test_all_may_prune_at_once(stores: tuple[Store, Store]) -> None:
    """Each deletes what it finds; together they delete all that is old, and nothing twice."""
    for number in range(50):
        await stores[0].admission.admit(admission(f"p{number}", decision="ignore", session=None))
    removed: list[int] = []

    async def prune(store: Store) -> None:
        removed.append(await store.prune(10**15))

    async with trio.open_nursery() as nursery:
        for store in stores:
            nursery.start_soon(prune, store)
    assert sum(removed) >= 50
    assert (await stores[0].stats()).seen == 0
