"""Jobs that commands have added, and the history of runs."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from attrs import evolve

from oc_trio.core.cron_jobs import MAX_JOBS, Interval, JobRefused, Once, ScheduledJob
from oc_trio.core.cron_runs import RunState, run_by_hand, scheduled_run
from oc_trio.core.ledger import silent
from oc_trio.errors import StoreUnusable
from oc_trio.ids import ChannelId, OutboxId, PostId, TurnId
from oc_trio.store.cron_jobs import NOT_YET
from oc_trio.store.migrations import MIGRATIONS, migrate
from oc_trio.store.retention import Retention
from oc_trio.store.sqlite import SqliteDriver
from oc_trio.store.store import Store, open_store
from oc_trio.store.writer import open_writer
from tests.store.rows import ACCOUNT, TOWN, admission, outgoing, turn

DAILY = ScheduledJob("Daily news", Interval(86_400_000, 0), "#town", text="news")
ONCE = ScheduledJob("tea", Once(500), "@alice", text="tea")


async def test_a_job_gets_an_id_of_its_own(store: Store) -> None:
    """None of the file's, of other jobs, or of what is in the history; it is due from when it was added."""
    first = await store.cron_jobs.add(DAILY, 100)
    second = await store.cron_jobs.add(DAILY, 200, {"daily-news-2"})
    assert (first.id, second.id, second.created_at) == ("daily-news", "daily-news-3", 200)
    assert await store.cron_jobs.all() == (first, second)
    last = await store.cron.last_run("daily-news")
    assert last is not None
    assert (last.at, last.result) == (100, NOT_YET)
    await store.cron_runs.record(scheduled_run("daily-news", ACCOUNT, 300))
    assert await store.cron_jobs.remove("daily-news")
    assert not await store.cron_jobs.remove("daily-news")
    assert await store.cron.last_run("daily-news") is None
    assert (await store.cron_jobs.add(DAILY, 400)).id == "daily-news-2"


async def test_what_was_imported_is_not_imported_again(store: Store) -> None:
    """The job of the same origin stays, however it was changed since."""
    job = await store.cron_jobs.add(evolve(DAILY, origin="openclaw:1"), 100)
    changed = await store.cron_jobs.change(job.id, lambda before: evolve(before, text="more"), 150)
    assert await store.cron_jobs.add(evolve(DAILY, origin="openclaw:1"), 200) == changed


async def test_new_times_count_from_now(store: Store) -> None:
    """So do those of a job that was disabled; other changes leave the last run alone."""
    job = await store.cron_jobs.add(DAILY, 100)

    async def last() -> int:
        run = await store.cron.last_run(job.id)
        assert run is not None
        return run.at

    await store.cron_jobs.change(job.id, lambda before: evolve(before, text="more"), 200)
    assert await last() == 100
    await store.cron_jobs.change(job.id, lambda before: evolve(before, timing=Interval(60_000, 0)), 300)
    assert await last() == 300
    await store.cron_jobs.change(job.id, lambda before: evolve(before, enabled=False), 400)
    assert await last() == 300
    await store.cron_jobs.change(job.id, lambda before: evolve(before, enabled=True), 500)
    assert await last() == 500
    assert await store.cron_jobs.change("nobody", lambda before: before, 600) is None


async def test_a_refused_change_changes_nothing(store: Store) -> None:
    """If the change raises, its error comes out and the job stays as it was."""
    job = await store.cron_jobs.add(DAILY, 100)

    def refuse(_before: ScheduledJob) -> ScheduledJob:
        raise JobRefused("no")

    with pytest.raises(JobRefused, match="no"):
        await store.cron_jobs.change(job.id, refuse, 200)
    assert await store.cron_jobs.all() == (job,)


async def test_a_job_that_has_run_once_goes(store: Store) -> None:
    """Unless it has got another time since; one that failed stays, disabled."""
    job = await store.cron_jobs.add(ONCE, 100)
    await store.cron_jobs.change(job.id, lambda before: evolve(before, timing=Once(900)), 200)
    await store.cron_jobs.retire(job, delete=True)
    [later] = await store.cron_jobs.all()
    assert later.enabled
    await store.cron_jobs.retire(later, delete=False)
    assert [each.enabled for each in await store.cron_jobs.all()] == [False]
    await store.cron_jobs.retire(later, delete=True)
    assert await store.cron_jobs.all() == ()


async def test_there_is_a_most_of_jobs() -> None:
    """Something adds them in a loop."""
    with closing(sqlite3.connect(":memory:")) as memory:
        async with open_store(memory) as store:
            rows = [(f"j{number}", DAILY.to_json(), 0) for number in range(MAX_JOBS)]
            memory.executemany("INSERT INTO cron_jobs (id, body, created_at) VALUES (?, ?, ?)", rows)
            with pytest.raises(JobRefused, match="oc-trio cron rm"):
                await store.cron_jobs.add(DAILY, 1)


async def test_a_damaged_job_is_named(store: Store) -> None:
    """A damaged row is named with its table and key, as in every other table."""
    job = await store.cron_jobs.add(DAILY, 100)
    await store._engine.run(lambda tx: tx.run("UPDATE cron_jobs SET body = '{' WHERE id = ?", job.id))
    with pytest.raises(StoreUnusable, match="cron_jobs, id daily-news"):
        await store.cron_jobs.all()
    assert any("cron_jobs, id daily-news" in problem for problem in await store.integrity_check())


async def test_a_run_has_one_row(store: Store) -> None:
    """However often it is recorded; one by hand does not count as the job's last run."""
    await store.cron.record_run("news", 50, NOT_YET)
    run = scheduled_run("news", ACCOUNT, 100)
    await store.cron_runs.record(evolve(run, state=RunState.QUEUED, ran_at=101))
    done = evolve(run, state=RunState.DELIVERED, ran_at=101, ended_at=102, posts=(PostId("p1"),), channel_id=TOWN)
    await store.cron_runs.record(done)
    by_hand = run_by_hand("news", ACCOUNT, 200, "x")
    await store.cron_runs.record(by_hand)
    assert await store.cron_runs.list(10) == (by_hand, done)
    assert await store.cron_runs.list(1, "news") == (by_hand,)
    assert await store.cron_runs.list(10, "other") == ()
    assert await store.cron_runs.latest() == {"news": by_hand}
    assert await store.cron_runs.wanted() == (by_hand,)
    last = await store.cron.last_run("news")
    assert last is not None
    assert (last.at, last.result) == (100, "posted p1")


async def test_a_job_that_changes_while_it_runs(store: Store) -> None:
    """Its new times count from the change on; one that was removed does not come back."""
    job = await store.cron_jobs.add(DAILY, 100)
    run = scheduled_run(job.id, ACCOUNT, 200)
    await store.cron_jobs.change(job.id, lambda before: evolve(before, timing=Interval(60_000, 0)), 300)
    await store.cron_runs.record(evolve(run, state=RunState.DELIVERED, posts=(PostId("p1"),)))
    last = await store.cron.last_run(job.id)
    assert last is not None
    assert (last.at, last.result) == (300, "posted p1")
    await store.cron_jobs.remove(job.id)
    await store.cron_runs.record(evolve(run, state=RunState.FAILED, reason="late"))
    assert await store.cron.all() == ()


async def test_the_outbox_says_what_became_of_posts(store: Store) -> None:
    """A restart in between has delivered them, or they were refused."""
    run = evolve(scheduled_run("news", ACCOUNT, 100), state=RunState.QUEUED, ran_at=100)
    await store.cron_runs.record(run)
    assert await store.cron_runs.get(run.id) == run
    await store.outbox.put([outgoing(f"{run.id}.0"), outgoing(f"{run.id}.1"), outgoing("cron.news.1000.0")])
    for number in (0, 1):
        await store.outbox.mark_sending(OutboxId(f"{run.id}.{number}"), 101)
    await store.outbox.confirm(OutboxId(f"{run.id}.0"), PostId("p1"), 102)
    assert await store.cron_runs.get(run.id) == run
    await store.outbox.mark_dead(OutboxId(f"{run.id}.1"), "403", 103)
    ended = await store.cron_runs.get(run.id)
    assert ended is not None
    assert (ended.state, ended.posts, ended.reason, ended.ended_at) == (RunState.FAILED, (PostId("p1"),), "403", 103)
    assert ended.channel_id


async def test_the_obligation_says_what_became_of_a_prompt(store: Store) -> None:
    """While its turn runs it is asked; then it is what the turn was."""
    run = evolve(
        scheduled_run("news", ACCOUNT, 100), state=RunState.ASKED, ran_at=100, reason="main", channel_id=ChannelId("c")
    )
    await store.cron_runs.record(run)
    admitted = await store.admission.admit(admission(run.trigger))
    assert admitted.obligation is not None
    await store.turns.begin(turn("t"), [admitted.obligation.id], 110)
    assert (await store.cron_runs.latest())["news"].state is RunState.ASKED
    await store.turns.end(TurnId("t"), silent("NO_REPLY"), 120)
    [ended] = await store.cron_runs.list(5)
    assert (ended.state, ended.ended_at, ended.channel_id) == (RunState.SILENT, 120, "c")


async def test_old_runs_go(store: Store) -> None:
    """Runs are pruned by age and by number; one that is still to be made stays."""
    for at in (100, 200, 300):
        run = evolve(scheduled_run("news", ACCOUNT, at), state=RunState.SKIPPED, ran_at=at)
        await store.cron_runs.record(run)
    await store.cron_runs.record(run_by_hand("news", ACCOUNT, 50, "x"))
    assert await store.prune(1000, Retention(ended_ms=850)) == 1
    assert await store.prune(1000, Retention(cron_rows=1)) == 1
    assert [run.due_at for run in await store.cron_runs.list(10)] == [50, 300]


async def test_an_older_journal_opens(tmp_path: Path) -> None:
    """One of schema 2 keeps the last runs, and gets the new tables; a copy of it stays."""
    path = tmp_path / "journal"
    async with open_writer(SqliteDriver(path)) as engine:
        await migrate(engine, copy_to=None, migrations=MIGRATIONS[:2])
        await engine.run(lambda tx: tx.run("INSERT INTO cron (job, at, result) VALUES ('news', 100, 'posted p1')"))
    async with open_store(path) as store:
        assert [each.job for each in await store.cron.all()] == ["news"]
        assert (await store.cron_jobs.add(evolve(DAILY, id="news"), 200)).id == "news-2"
        assert await store.cron_runs.list(5) == ()
    assert (tmp_path / "journal.before-v3").exists()
