"""Scheduled jobs that commands have added, beside those of the configuration file."""

from collections.abc import Callable, Collection

from attrs import evolve

from oc_trio.classes import frozen
from oc_trio.core.cron_jobs import MAX_JOBS, JobRefused, Once, ScheduledJob, free_id, too_many_jobs
from oc_trio.store.cron import record_last
from oc_trio.store.damage import WRONG_SHAPE, reading
from oc_trio.store.engine import Engine, Row, Tx

# The result of a job that has not run yet; its time is the one from which on it is due.
NOT_YET = "not run yet"
_SELECT = "SELECT id, body FROM cron_jobs"


def _job_of(row: Row) -> ScheduledJob:
    with reading("cron_jobs", f"id {row[0]}", WRONG_SHAPE):
        return ScheduledJob.from_json(row[1])


def _lock(tx: Tx) -> None:
    """Commands on several machines may add and change jobs at once: ids, their number, and fields that stay."""
    tx.lock("cron_jobs")


def _get(tx: Tx, job: str) -> ScheduledJob | None:
    row = tx.one(_SELECT + " WHERE id = ?", job)
    return _job_of(row) if row else None


def _add(tx: Tx, wanted: ScheduledJob, taken: Collection[str], now: int) -> ScheduledJob:
    _lock(tx)
    if wanted.origin:
        known = next((job for job in map(_job_of, tx.all(_SELECT)) if job.origin == wanted.origin), None)
        if known is not None:
            return known
    if tx.value("SELECT COUNT(*) FROM cron_jobs") >= MAX_JOBS:
        raise JobRefused(too_many_jobs())
    # Runs of jobs that are gone stay in the history for a while: their ids, of which those of posts are made, too.
    used = {
        row[0] for row in tx.all("SELECT id FROM cron_jobs UNION SELECT job FROM cron_runs UNION SELECT job FROM cron")
    }
    job = evolve(wanted, id=free_id(wanted.id, used.union(taken)), created_at=now)
    tx.run("INSERT INTO cron_jobs (id, body, created_at) VALUES (?, ?, ?)", job.id, job.to_json(), now)
    record_last(tx, job.id, now, NOT_YET)
    return job


def _change(tx: Tx, job: str, change: Callable[[ScheduledJob], ScheduledJob], now: int) -> ScheduledJob | None:
    _lock(tx)
    before = _get(tx, job)
    if before is None:
        return None
    after = change(before)
    tx.run("UPDATE cron_jobs SET body = ? WHERE id = ?", after.to_json(), job)
    if after.timing != before.timing or (after.enabled and not before.enabled):
        # What would have been due by the new times before now, or while it was disabled, was not missed.
        tx.run("UPDATE cron SET at = ? WHERE job = ? AND at < ?", now, job, now)
    return after


def _remove(tx: Tx, job: str) -> bool:
    _lock(tx)
    tx.run("DELETE FROM cron WHERE job = ?", job)
    return bool(tx.run("DELETE FROM cron_jobs WHERE id = ?", job))


def _retire(tx: Tx, job: ScheduledJob, delete: bool) -> None:
    _lock(tx)
    now = _get(tx, job.id)
    if now is None or now.timing != job.timing or not isinstance(now.timing, Once):
        return
    if delete:
        _remove(tx, job.id)
    else:
        tx.run("UPDATE cron_jobs SET body = ? WHERE id = ?", evolve(now, enabled=False).to_json(), job.id)


@frozen
class CronJobs:
    """Adds, changes and removes jobs."""

    _engine: Engine

    async def all(self) -> tuple[ScheduledJob, ...]:
        """In the order in which they were added."""
        rows = await self._engine.run(lambda tx: tx.all(_SELECT + " ORDER BY serial"))
        return tuple(map(_job_of, rows))

    async def add(self, job: ScheduledJob, now: int, taken: Collection[str] = ()) -> ScheduledJob:
        """Adds a job under a free id made of `job.id`, none of `taken`; it is due from `now` on. Raises JobRefused.

        One of the same `origin` stays as it is, and is returned.
        """
        return await self._engine.run(lambda tx: _add(tx, job, taken, now))

    async def change(self, job: str, change: Callable[[ScheduledJob], ScheduledJob], now: int) -> ScheduledJob | None:
        """The job as `change` makes it, None if there is none. New times, and those of one that is enabled, count from
        `now` on. What `change` raises comes out, and nothing is changed.
        """
        return await self._engine.run(lambda tx: _change(tx, job, change, now))

    async def remove(self, job: str) -> bool:
        """Removes a job; its history stays. False if there is none."""
        return await self._engine.run(lambda tx: _remove(tx, job))

    async def retire(self, job: ScheduledJob, *, delete: bool) -> None:
        """The one run of a job is over: deletes or disables it, unless it has got another time since."""
        await self._engine.run(lambda tx: _retire(tx, job, delete))
