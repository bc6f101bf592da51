"""Checks the scheduled jobs for `oc-trio doctor`: what keeps one from running, and what became of its last run."""

from collections.abc import Iterator

from oc_trio.config.load import Loaded
from oc_trio.core.cron_jobs import JobSource, ScheduledJob
from oc_trio.core.cron_runs import RunState
from oc_trio.runtime.operator.findings import Finding, Level
from oc_trio.runtime.operator.jobs.cron_jobs import JobStates, job_problem, job_states
from oc_trio.runtime.schedule.job_table import jobs_of_file
from oc_trio.store.store import Store


async def check_jobs(loaded: Loaded, store: Store | None) -> tuple[Finding, ...]:
    """A finding for each enabled job that is not well, one for all that are; none without jobs. Without a journal only
    the file's are known. Raises StoreError.
    """
    states = JobStates(loaded, jobs_of_file(loaded), {}, {}) if store is None else await job_states(store, loaded)
    wanted = [job for job in states.jobs if job.enabled and loaded.config.cron.enabled]
    findings = [finding for job in wanted for finding in _findings(states, job)]
    well = len(wanted) - len(findings)
    if well:
        findings.insert(0, Finding(Level.OK, "scheduled jobs", f"{well} can run", "job.ok"))
    return tuple(findings)


def _findings(states: JobStates, job: ScheduledJob) -> Iterator[Finding]:
    subject, run = f"job {job.id}", states.runs.get(job.id)
    problem = job_problem(job, states.loaded)
    if problem:
        is_files = job.source is JobSource.FILE
        fix = f"correct cron.jobs.{job.id}" if is_files else f"`oc-trio cron edit {job.id}`, or configure what it names"
        yield Finding(Level.WARNING, subject, problem, "job.unfit", fix)
    elif run is not None and run.state is RunState.FAILED:
        fix = f"`oc-trio cron runs {job.id}` has all runs; `oc-trio cron run {job.id}` tries it now"
        yield Finding(Level.WARNING, subject, f"its last run failed: {run.reason}", "job.failed", fix)
