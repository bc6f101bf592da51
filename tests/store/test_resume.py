from oc_trio.store.resume import ResumePoint
from oc_trio.store.store import Store
from tests.store.rows import ACCOUNT, OTHER


async def test_a_resume_point_is_the_latest_saved(store: Store) -> None:
    """One point per account; clearing it forgets it."""
    await store.resume.save(ACCOUNT, "conn-1", 7, 100)
    await store.resume.save(ACCOUNT, "conn-2", 3, 200)
    assert await store.resume.load(ACCOUNT) == ResumePoint("conn-2", 3, 200)
    assert await store.resume.load(OTHER) is None

    await store.resume.clear(ACCOUNT)

    assert await store.resume.load(ACCOUNT) is None
