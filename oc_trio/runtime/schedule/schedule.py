"""Runs an account's scheduled jobs when they are due, and those that somebody runs by hand.

The jobs of file and journal are looked at again whenever they change. Of the runs that fell into downtime, the job's
`missed` says whether one is made up for. A job that runs is not run beside itself: what falls due meanwhile is left
out.
"""

from collections.abc import Mapping

import trio
from attrs import evolve, field

from oc_trio.classes import define
from oc_trio.core.cron_jobs import JobSource, Once, Run, ScheduledJob, Skip, Wait, due_now
from oc_trio.core.cron_runs import STALE_MS, JobRun, RunState, scheduled_run
from oc_trio.errors import StoreError, StoreUnusable
from oc_trio.ids import AccountId
from oc_trio.runtime.schedule.cron_times import latest_due, next_due
from oc_trio.runtime.schedule.job_runner import JobRunner
from oc_trio.runtime.schedule.job_table import JobTable, account_of
from oc_trio.store.cron_jobs import NOT_YET
from oc_trio.telemetry.log import get_logger
from oc_trio.wakeup import Wakeup

log = get_logger(part="schedule")

MISSED = "the gateway was not running"
STALE = "nobody ran it in time"
UNKNOWN = "the running gateway knows no such job; after a change of the file: oc-trio reload"
# Short naps instead of one long sleep: the wall clock may be set, a suspended machine stops Trio's clock, and another
# machine may have changed the jobs.
_LOOK_SECONDS = 30.0


@define(eq=False)
class Schedule:
    """One account's."""

    runner: JobRunner
    table: JobTable
    account: AccountId
    # Jobs that run, and runs by hand that have begun.
    _busy: set[str] = field(init=False, factory=set)
    # What fell due while its job ran is not run afterwards: the time from which on a job's next one counts.
    _since: dict[str, int] = field(init=False, factory=dict)
    # Jobs of which that was logged.
    _never_due: set[str] = field(init=False, factory=set)
    _is_failing: bool = field(init=False, default=False)

    async def run(self) -> None:
        """Run jobs when they are due; ends by cancellation. Raises StoreError."""
        # From before the first look: what changes while it reads the jobs is looked at again.
        with self.table.watch() as changed:
            # Runs end with it: what was asked or queued by then goes on after the next start.
            async with trio.open_nursery() as nursery:
                while True:
                    until = await self._look(nursery, changed)
                    with trio.move_on_after(min(max(until - self.runner.now(), 0) / 1000, _LOOK_SECONDS)):
                        await changed.wait()

    async def _look(self, nursery: trio.Nursery, changed: Wakeup) -> int:
        """Start what is due; returns when the next run is, or when to look again."""
        # Before the reads: they may take long, and the next look is not to be later for that.
        soon = self.runner.now() + int(_LOOK_SECONDS * 1000)
        store = self.runner.requests.services.store
        try:
            # All jobs, other accounts' too: only then is a run by hand of an unknown job told from one of another
            # account.
            jobs = {job.id: job for job in await self.table.jobs(store)}
            last = {each.job: each.at for each in await store.cron.all()}
            wanted = await store.cron_runs.wanted()
        except StoreUnusable:
            raise
        except StoreError as problem:
            # A journal that is away for a while: whatever has to be written there fails by itself.
            if not self._is_failing:
                log.warning("the scheduled jobs can't be read", problem=str(problem))
            self._is_failing = True
            return soon
        self._is_failing = False
        loaded = self.table.loaded()
        own = {name: job for name, job in jobs.items() if account_of(job, loaded) == self.account}
        # Before the schedule's own switch: a run by hand works with `cron.enabled = false`, too.
        for run in wanted:
            await self._take(run, jobs, own, nursery, changed)
        if not loaded.config.cron.enabled:
            return soon
        # A job that was removed and added again begins anew, and the table stays small.
        self._since = {name: at for name, at in self._since.items() if name in own}
        return min([soon, *[await self._plan(job, last, nursery, changed) or soon for job in own.values()]])

    async def _plan(
        self, job: ScheduledJob, last: Mapping[str, int], nursery: trio.Nursery, changed: Wakeup
    ) -> int | None:
        """Start the job if it is due; returns when it is next, None where that is not known."""
        if job.id in self._busy or not job.enabled:
            return None
        now = self.runner.now()
        if job.id not in last:
            # A new job runs at its next time, and not for all the times before it was configured.
            await self.runner.requests.services.store.cron.record_run(job.id, now, NOT_YET)
        after = max(last.get(job.id, now), self._since.get(job.id, 0))
        if isinstance(job.timing, Once) and after >= job.timing.at:
            await self._retire(job)
            return None
        first = next_due(job.timing, after)
        # Looked for only when something is due: most looks find nothing, and only the next time is cached.
        latest = latest_due(job.timing, now) if first is not None and first <= now else None
        match due_now(first, latest, now, job.missed):
            case Wait(until):
                if until is None and job.id not in self._never_due:
                    self._never_due.add(job.id)
                    log.warning("a scheduled job is never due", job=job.id)
                return until
            case Run(at):
                self._start(job, scheduled_run(job.id, self.account, at), nursery, changed)
            case Skip(at):
                await self._leave_out(scheduled_run(job.id, self.account, at), RunState.SKIPPED, MISSED)
                return now
        return None

    async def _leave_out(self, run: JobRun, state: RunState, reason: str) -> None:
        """Write down that a run was not made, unless a crash came after it was: then its posts say so."""
        begun = await self.runner.begun(run)
        if begun is None:
            log.info("a scheduled run was left out", job=run.job, why=reason)
        await self.runner.record(begun or evolve(run, state=state, reason=reason))

    async def _take(
        self,
        run: JobRun,
        jobs: Mapping[str, ScheduledJob],
        own: Mapping[str, ScheduledJob],
        nursery: trio.Nursery,
        changed: Wakeup,
    ) -> None:
        """Start a run by hand, or say why not."""
        if run.job in own:
            if self.runner.now() - run.due_at > STALE_MS:
                await self._leave_out(run, RunState.SKIPPED, STALE)
            elif run.id not in self._busy:
                self._start(own[run.job], run, nursery, changed)
        # Only whose run it is: other processes may have another configuration, and with it other jobs.
        elif run.job not in jobs and (run.account == self.account or run.account not in self.table.loaded().accounts):
            await self._leave_out(run, RunState.FAILED, UNKNOWN)

    def _start(self, job: ScheduledJob, run: JobRun, nursery: trio.Nursery, changed: Wakeup) -> None:
        """One by hand goes beside the schedule, and does not change it."""
        key = run.id if run.by_hand else job.id
        self._busy.add(key)

        async def make() -> None:
            await self.runner.run(job, evolve(run, account=self.account))
            if not run.by_hand:
                # Before the job counts as idle again, or the look that this wakes would start what fell due meanwhile.
                self._since[job.id] = max(run.due_at, latest_due(job.timing, self.runner.now()) or run.due_at)
            self._busy.discard(key)
            changed.set()

        nursery.start_soon(make)

    async def _retire(self, job: ScheduledJob) -> None:
        """Delete or disable a job whose one run is over; what is still being posted or answered is waited for."""
        store = self.runner.requests.services.store
        assert isinstance(job.timing, Once)
        run = await store.cron_runs.get(scheduled_run(job.id, self.account, job.timing.at).id)
        # A prompt's run ends with its answer, and it may fail until then.
        if run is not None and not run.state.is_end:
            return
        # One that failed stays, disabled, so that somebody can see it and run it by hand.
        is_done = run is not None and run.state in (RunState.DELIVERED, RunState.SILENT)
        if job.source is JobSource.JOURNAL:
            await store.cron_jobs.retire(job, delete=is_done and not job.keep)
