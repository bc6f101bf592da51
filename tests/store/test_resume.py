from oc_trio.store.resume import ResumePointRow
from oc_trio.store.store import Store
from tests.store.rows import ACCOUNT, OTHER


async def test_a_resume_point_is_the_latest_saved(store: Store) -> None:
    """One point per account, the last one saved."""
    await store.resume.save(ACCOUNT, "conn-1", 7, 100)
    await store.resume.save(ACCOUNT, "conn-2", 3, 200)
    assert await store.resume.load(ACCOUNT) == ResumePointRow("conn-2", 3, 200)
    assert await store.resume.load(OTHER) is None
