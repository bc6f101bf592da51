"""Who may serve an account: on each database, by the database's clock."""

import json

import pytest

from oc_trio.core.membership import Membership, ProcessInfo
from oc_trio.ids import AccountId
from oc_trio.store.leases import FORGET_MS, LEASE_MS
from oc_trio.store.store import Store
from tests.store.rows import ACCOUNT, OTHER

NORTH = ProcessInfo("p-north", "north", 11, "1.0", 1000, "unix:/run/north", accounts=(ACCOUNT, OTHER))
SOUTH = ProcessInfo("p-south", "south", 12, "1.1", 2000)


async def pass_time(store: Store, milliseconds: int) -> None:
    """Let the rows be as old as if that much time had passed by the database's clock."""
    engine = store._engine
    await engine.run(lambda tx: tx.run("UPDATE leases SET deadline = deadline - ?", milliseconds))
    await engine.run(lambda tx: tx.run("UPDATE processes SET deadline = deadline - ?", milliseconds))


def holders(membership: Membership) -> dict[AccountId, tuple[str, int]]:
    return {row.account: (row.holder, row.epoch) for row in membership.leases}


async def test_a_lease_has_one_holder(store: Store) -> None:
    """Nobody else gets it before it has expired; the next holder's epoch is another one."""
    assert await store.leases.acquire(ACCOUNT, NORTH.id, 0) == 1
    assert await store.leases.acquire(ACCOUNT, SOUTH.id, 0) is None
    assert await store.leases.acquire(ACCOUNT, SOUTH.id, 1) is None
    [row] = (await store.leases.read()).leases
    assert (row.holder, row.epoch, row.is_free) == (NORTH.id, 1, False)
    assert LEASE_MS - 2000 < row.left_ms <= LEASE_MS

    await pass_time(store, LEASE_MS)

    [row] = (await store.leases.read()).leases
    assert (row.holder, row.is_free) == (NORTH.id, True)
    assert await store.leases.acquire(ACCOUNT, SOUTH.id, 0) is None
    assert await store.leases.acquire(ACCOUNT, SOUTH.id, 1) == 2
    assert await store.leases.acquire(ACCOUNT, NORTH.id, 1) is None


async def test_a_beat_renews_what_is_held(store: Store) -> None:
    """By its epoch, of all accounts at once; what somebody else has is left alone and shows in the rows."""
    third = AccountId("third")
    for account in (ACCOUNT, OTHER):
        assert await store.leases.acquire(account, NORTH.id, 0) == 1
    assert await store.leases.acquire(third, SOUTH.id, 0) == 1
    await pass_time(store, LEASE_MS - 10)

    seen = await store.leases.beat(NORTH, {ACCOUNT: 1, OTHER: 7, third: 1})

    left = {row.account: row.left_ms for row in seen.leases}
    assert left[ACCOUNT] > LEASE_MS - 2000
    assert left[OTHER] <= 10
    assert left[third] <= 10
    assert holders(seen) == {ACCOUNT: (NORTH.id, 1), OTHER: (NORTH.id, 1), third: (SOUTH.id, 1)}


async def test_a_late_beat_takes_nothing_back(store: Store) -> None:
    """Who slept through the end of a lease, and finds it with another holder, doesn't renew it."""
    assert await store.leases.acquire(ACCOUNT, NORTH.id, 0) == 1
    await pass_time(store, LEASE_MS)
    assert await store.leases.acquire(ACCOUNT, SOUTH.id, 1) == 2

    seen = await store.leases.beat(NORTH, {ACCOUNT: 1})

    assert holders(seen) == {ACCOUNT: (SOUTH.id, 2)}


async def test_what_is_given_back_is_free_at_once(store: Store) -> None:
    """The epoch stays, so that the next one is new; nobody gives back what is another's."""
    assert await store.leases.acquire(ACCOUNT, NORTH.id, 0) == 1
    await store.leases.release(ACCOUNT, SOUTH.id, 1)
    await store.leases.release(ACCOUNT, NORTH.id, 2)
    assert holders(await store.leases.read()) == {ACCOUNT: (NORTH.id, 1)}

    await store.leases.release(ACCOUNT, NORTH.id, 1)

    [row] = (await store.leases.read()).leases
    assert (row.holder, row.epoch, row.is_free) == ("", 1, True)
    assert await store.leases.acquire(ACCOUNT, SOUTH.id, 1) == 2


async def test_who_leaves_gives_all_back(store: Store) -> None:
    """And is no process of this journal any more."""
    await store.leases.beat(NORTH, {})
    await store.leases.beat(SOUTH, {})
    for account in (ACCOUNT, OTHER):
        await store.leases.acquire(account, NORTH.id, 0)

    await store.leases.leave(NORTH.id)

    seen = await store.leases.read()
    assert [row.id for row in seen.processes] == [SOUTH.id]
    assert holders(seen) == {ACCOUNT: ("", 1), OTHER: ("", 1)}


async def test_processes_say_who_they_are(store: Store) -> None:
    """Each is listed in the order of their starts with what it last said; the dead for a while."""
    await store.leases.beat(SOUTH, {})
    await store.leases.beat(NORTH, {})
    await pass_time(store, LEASE_MS + 5)
    draining = ProcessInfo(NORTH.id, "north", 11, "1.0", 1000, draining=True)

    first, second = (await store.leases.beat(draining, {})).processes

    assert (first.id, first.draining, first.accounts, first.is_alive) == (NORTH.id, True, (), True)
    assert (second.host, second.pid, second.version, second.schema) == ("south", 12, "1.1", store.schema)
    assert not second.is_alive
    await pass_time(store, FORGET_MS + LEASE_MS + 5)
    assert [row.id for row in (await store.leases.beat(SOUTH, {})).processes] == [SOUTH.id]


async def test_a_process_names_its_accounts(store: Store) -> None:
    """They come back as they went in."""
    [row] = (await store.leases.beat(NORTH, {})).processes
    assert row.accounts == (ACCOUNT, OTHER)
    assert json.loads(await store._engine.run(lambda tx: tx.value("SELECT accounts FROM processes"))) == [
        ACCOUNT,
        OTHER,
    ]


@pytest.mark.parametrize("location", ["inline"], indirect=True)
async def test_the_clock_is_the_databases(store: Store) -> None:
    """Whoever owns the connection may give it a clock of its own."""
    connection = store._engine.driver._connection  # type: ignore[attr-defined]
    connection.create_function("oc_now_ms", 0, lambda: 500)
    assert (await store.leases.beat(NORTH, {})).now_ms == 500
    assert await store.leases.acquire(ACCOUNT, NORTH.id, 0) == 1
    connection.create_function("oc_now_ms", 0, lambda: 499 + LEASE_MS)
    assert await store.leases.acquire(ACCOUNT, SOUTH.id, 1) is None
    connection.create_function("oc_now_ms", 0, lambda: 500 + LEASE_MS)
    assert await store.leases.acquire(ACCOUNT, SOUTH.id, 1) == 2
