"""A write is refused once another process serves the account, on each database."""

import pytest
import trio

from oc_trio.errors import FenceRefused
from oc_trio.lease import Fence
from oc_trio.store.leases import LEASE_MS
from oc_trio.store.store import Store
from tests.store.rows import ACCOUNT, OTHER, admission
from tests.store.test_leases import NORTH, SOUTH, pass_time


async def test_a_former_holder_writes_nothing(store: Store) -> None:
    """It may read; the new holder writes."""
    assert await store.leases.acquire(ACCOUNT, NORTH.id, 0) == 1
    north = store.fenced(Fence(ACCOUNT, NORTH.id, 1))
    assert (await north.admission.admit(admission("p1"))).fresh
    await pass_time(store, LEASE_MS)
    assert (await north.admission.admit(admission("p2"))).fresh

    assert await store.leases.acquire(ACCOUNT, SOUTH.id, 1) == 2

    with pytest.raises(FenceRefused, match="another process serves the account default"):
        await north.admission.admit(admission("p3"))
    assert [item.trigger for item in await north.obligations.open_for(ACCOUNT)] == ["p1", "p2"]
    assert (await store.fenced(Fence(ACCOUNT, SOUTH.id, 2)).admission.admit(admission("p3"))).fresh


@pytest.mark.parametrize(
    "fence",
    [
        pytest.param(Fence(ACCOUNT, NORTH.id, 2), id="another epoch"),
        pytest.param(Fence(ACCOUNT, SOUTH.id, 1), id="another holder"),
        pytest.param(Fence(OTHER, NORTH.id, 1), id="no lease"),
    ],
)
async def test_only_the_very_fence_will_do(store: Store, fence: Fence) -> None:
    """Holder and epoch have to be those of the row."""
    assert await store.leases.acquire(ACCOUNT, NORTH.id, 0) == 1
    with pytest.raises(FenceRefused):
        await store.fenced(fence).cron.record_run("job", 1)
    assert await store.cron.all() == ()


async def test_what_was_given_back_is_refused(store: Store) -> None:
    """A process that has released a lease writes nothing more for the account."""
    assert await store.leases.acquire(ACCOUNT, NORTH.id, 0) == 1
    await store.leases.release(ACCOUNT, NORTH.id, 1)
    with pytest.raises(FenceRefused):
        await store.fenced(Fence(ACCOUNT, NORTH.id, 1)).cron.record_run("job", 1)


async def test_one_refused_write_among_many(store: Store) -> None:
    """What is committed together is refused one by one, also after one that failed for another reason."""
    assert await store.leases.acquire(ACCOUNT, NORTH.id, 0) == 1
    assert await store.leases.acquire(OTHER, NORTH.id, 0) == 1
    good, late = store.fenced(Fence(ACCOUNT, NORTH.id, 1)), store.fenced(Fence(OTHER, NORTH.id, 0))
    refused: list[int] = []
    failed: list[int] = []

    async def write(number: int) -> None:
        chosen = (good, late, store)[number % 3]
        try:
            if number == 3:
                await good._engine.run(lambda tx: tx.run("INSERT INTO cron VALUES ('half', 1, '')") and 1 // 0)
            await chosen.cron.record_run(f"job{number}", number)
        except FenceRefused:
            refused.append(number)
        except ZeroDivisionError:
            failed.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(12):
            nursery.start_soon(write, number)

    assert sorted(refused) == [1, 4, 7, 10]
    assert failed == [3]
    assert sorted(run.at for run in await store.cron.all()) == [0, 2, 5, 6, 8, 9, 11]


async def test_reads_lock_nothing(store: Store) -> None:
    """A read needs no lease at all: it is refused nowhere."""
    assert await store.fenced(Fence(ACCOUNT, "nobody", 9)).cron.all() == ()
