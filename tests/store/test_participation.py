from oc_trio.ids import ThreadRoot
from oc_trio.store.store import Store
from tests.store.rows import ACCOUNT, LAB, OTHER, ROOT, TOWN


async def test_participation_lasts_from_the_latest_answer(store: Store) -> None:
    """An answer counts at and after its time, an older record doesn't shorten it."""
    await store.participation.record(ACCOUNT, TOWN, ROOT, 100)
    await store.participation.record(ACCOUNT, TOWN, ROOT, 50)

    assert await store.participation.active(ACCOUNT, TOWN, ROOT, 100)
    assert not await store.participation.active(ACCOUNT, TOWN, ROOT, 101)

    await store.participation.record(ACCOUNT, TOWN, ROOT, 150)
    assert await store.participation.active(ACCOUNT, TOWN, ROOT, 150)


async def test_participation_is_of_one_account_channel_and_thread(store: Store) -> None:
    """Anything else is another thread."""
    await store.participation.record(ACCOUNT, TOWN, ROOT, 100)

    assert not await store.participation.active(OTHER, TOWN, ROOT, 0)
    assert not await store.participation.active(ACCOUNT, LAB, ROOT, 0)
    assert not await store.participation.active(ACCOUNT, TOWN, ThreadRoot("other"), 0)
