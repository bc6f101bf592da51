from oc_trio.store.cron import CronRun
from oc_trio.store.store import Store


async def test_the_last_run_is_kept_per_job(store: Store) -> None:
    """A restart knows which runs were missed."""
    await store.cron.record_run("digest", 100, "delivered")
    await store.cron.record_run("alarm", 50)
    await store.cron.record_run("digest", 200, "failed")

    assert await store.cron.last_run("digest") == CronRun("digest", 200, "failed")
    assert await store.cron.last_run("never") is None
    assert await store.cron.all() == (CronRun("alarm", 50), CronRun("digest", 200, "failed"))
