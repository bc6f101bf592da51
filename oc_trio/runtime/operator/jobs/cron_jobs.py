"""Scheduled jobs for commands: finds one by what people call it, checks what they want, and says how it stands."""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import evolve

from oc_trio.classes import frozen
from oc_trio.config.cron_fields import cron_error, is_timezone
from oc_trio.config.load import Loaded
from oc_trio.config.parse import nearest
from oc_trio.core.chat_commands import THINK_LEVELS
from oc_trio.core.cron_jobs import (
    LONGEST_NAME,
    MAX_JOBS,
    Expression,
    Interval,
    JobRefused,
    JobSource,
    Once,
    ScheduledJob,
    free_id,
    iso,
    spelled_timing,
    too_many_jobs,
)
from oc_trio.core.cron_runs import JobRun
from oc_trio.core.openclaw_jobs import CarriedJob
from oc_trio.core.targets import parse_target
from oc_trio.errors import UnknownTarget
from oc_trio.runtime.policies import entries
from oc_trio.runtime.schedule.cron_times import next_due
from oc_trio.runtime.schedule.job_table import account_of, all_jobs
from oc_trio.store.cron import CronRun
from oc_trio.store.cron_jobs import NOT_YET
from oc_trio.store.store import Store

# A prompt or a message; what is longer was piped in by mistake.
_LONGEST_TEXT = 100_000
# How many ids a sentence has.
_NAMED = 20


@frozen
class JobStates:
    """All jobs of file and journal, with what is known of their last runs."""

    loaded: Loaded
    jobs: tuple[ScheduledJob, ...]
    last: Mapping[str, CronRun]
    runs: Mapping[str, JobRun]

    def find(self, name: str) -> ScheduledJob:
        """The job of that id, or the one that is called so, in any case. Raises JobRefused."""
        # A whole id before any name: somebody may have called another job so.
        for job in self.jobs:
            if job.id == name:
                return job
        matches = [job for job in self.jobs if name.casefold() in (job.label.casefold(), job.id.casefold())]
        if not matches:
            raise JobRefused(f"there is no job {name}; there are: {_named(self.jobs)}")
        if len(matches) > 1:
            raise JobRefused(f"several jobs are called {name}: {_named(matches)}; name one by its id")
        return matches[0]

    def added(self, name: str, what: str) -> ScheduledJob:
        """As `find`, a job that commands may change. Raises JobRefused for one of the file."""
        job = self.find(name)
        if job.source is JobSource.FILE:
            raise JobRefused(
                f"{job.id} is a job of the configuration file: {what} cron.jobs.{job.id} in {self.loaded.path}, then "
                "`oc-trio reload`"
            )
        return job

    def fields(self, job: ScheduledJob, now: int) -> dict[str, Any]:
        """The job for machines; times are ISO 8601 in UTC, empty for never."""
        timing, problem = job.timing, job_problem(job, self.loaded)
        # Both: a run by hand is in the history, and the schedule goes by its own last one.
        last, run = self.last.get(job.id), self.runs.get(job.id)
        is_on = job.enabled and self.loaded.config.cron.enabled
        due = next_due(timing, max(now, last.at if last else 0)) if is_on and not problem else None
        if isinstance(timing, Once) and is_on and last is not None and last.at < timing.at <= now:
            due = timing.at  # missed, and made up for when a gateway runs
        return {
            "id": job.id,
            "name": job.label,
            "description": job.description,
            "source": job.source.value,
            "enabled": is_on,
            "schedule": spelled_timing(timing),
            "expression": timing.expression if isinstance(timing, Expression) else "",
            "timezone": timing.timezone if isinstance(timing, Expression) else "UTC",
            "at": iso(timing.at) if isinstance(timing, Once) else "",
            "everyMs": timing.every if isinstance(timing, Interval) else None,
            "target": job.target,
            "account": account_of(job, self.loaded),
            "kind": "prompt" if job.prompt else "message",
            "text": job.prompt or job.text,
            "agent": job.agent,
            "model": job.model,
            "thinking": job.thinking,
            "timeoutSeconds": job.time_limit,
            "conversation": job.conversation,
            "missed": job.missed.value,
            "keepAfterRun": job.keep if isinstance(timing, Once) else None,
            "origin": job.origin,
            "next": iso(due) if due is not None else "",
            "last": iso(run.ran_at or run.due_at) if run else iso(last.at) if last and last.result != NOT_YET else "",
            "result": run.result if run else last.result if last else "",
            "problem": problem,
        }


async def job_states(store: Store, loaded: Loaded) -> JobStates:
    """Read all jobs. Raises StoreError."""
    last = {each.job: each for each in await store.cron.all()}
    return JobStates(loaded, all_jobs(loaded, await store.cron_jobs.all()), last, await store.cron_runs.latest())


def job_problem(job: ScheduledJob, loaded: Loaded) -> str:
    """Why a job can't run with this configuration; empty where it can."""
    known_agents = [str(agent) for agent in entries(loaded.config)]
    account = account_of(job, loaded)
    if account not in loaded.accounts:
        usable = ", ".join(loaded.accounts) or "none"
        return f"account {account} is not configured, or can't run; usable: {usable}"
    if job.agent and job.agent not in known_agents:
        return f"there is no agent {job.agent}; configured: {', '.join(known_agents)}"
    if job.model and job.model not in (known := known_models(loaded)):
        guess = nearest(job.model, known)
        return f"there is no model {job.model} here" + (f"; did you mean {guess}?" if guess else _listed(known))
    return ""


def known_models(loaded: Loaded) -> tuple[str, ...]:
    """Every `provider/model` that the configuration has."""
    providers = loaded.config.models.providers
    return tuple(sorted(f"{name}/{model.id}" for name, it in providers.items() for model in it.models))


def _listed(names: Sequence[str]) -> str:
    return f"; configured: {', '.join(names)}" if names else "; none is configured by name"


def check_job(job: ScheduledJob, loaded: Loaded, now: int) -> ScheduledJob:
    """The job, fit to be kept. Raises JobRefused with the first thing that is wrong with it."""
    _check_timing(job, now)
    if len(job.name) > LONGEST_NAME or not job.name.isprintable():
        raise JobRefused(f"--name is one line of at most {LONGEST_NAME} characters")
    if max(len(job.text), len(job.prompt)) > _LONGEST_TEXT or len(job.description) > _LONGEST_TEXT:
        raise JobRefused(f"it says more than {_LONGEST_TEXT:,} characters")
    if not job.target:
        raise JobRefused("--to is missing: where it goes, such as --to '#town-square' or --to @alice")
    try:
        parse_target(job.target)
    except UnknownTarget as problem:
        raise JobRefused(f"--to: {problem}") from None
    if bool(job.text.strip()) == bool(job.prompt.strip()):
        raise JobRefused(
            "there is nothing to say: --message asks an agent and posts its answer, --text posts the words as they are"
        )
    if job.text and (given := [name for name in ("agent", "model", "thinking") if getattr(job, name)]):
        raise JobRefused(f"--{given[0]} is for --message: with --text no agent is asked")
    if job.thinking and job.thinking not in THINK_LEVELS:
        raise JobRefused(f"--thinking {job.thinking}: there is {', '.join(THINK_LEVELS)}")
    if problem_text := job_problem(job, loaded):
        raise JobRefused(problem_text)
    return job


def _check_timing(job: ScheduledJob, now: int) -> None:
    timing = job.timing
    if isinstance(timing, Expression):
        if error := cron_error(timing.expression):
            raise JobRefused(f"--cron {timing.expression!r} {error}; such as '0 9 * * mon-fri'")
        if not is_timezone(timing.timezone):
            raise JobRefused(f"--tz {timing.timezone} is not a known time zone; such as Europe/Berlin")
    if isinstance(timing, Once) and job.enabled and timing.at <= now:
        raise JobRefused(f"the time of {job.label} is past ({iso(timing.at)}); give it another one by --at")


@frozen
class ImportedJob:
    """What came of one job of another program: `state` is new, known, refused, or internal where it made the job for
    itself.
    """

    name: str
    origin: str
    state: str
    id: str = ""
    schedule: str = ""
    target: str = ""
    differences: tuple[str, ...] = ()
    refusal: str = ""


def _named(jobs: Sequence[ScheduledJob]) -> str:
    """Ids for a sentence, not all of a thousand."""
    more = f" and {len(jobs) - _NAMED} more (oc-trio cron list)" if len(jobs) > _NAMED else ""
    return (", ".join(job.id for job in jobs[:_NAMED]) or "none") + more


async def import_jobs(
    store: Store, states: JobStates, carried: Sequence[CarriedJob], now: int, *, dry_run: bool
) -> tuple[ImportedJob, ...]:
    """Add the jobs that are not here yet; with `dry_run` only say what would be done. Raises StoreError."""
    # By where a job came from and not by its name, so that an import can be repeated after a rename.
    known = {job.origin: job for job in states.jobs if job.origin}
    taken = {job.id for job in states.jobs}
    room = MAX_JOBS - len(await store.cron_jobs.all())
    imported = []
    for each in carried:
        if each.origin in known:
            job = known[each.origin]
            imported.append(
                ImportedJob(each.name, each.origin, "known", job.id, spelled_timing(job.timing), job.target)
            )
            continue
        if each.job is None:
            state = "internal" if each.is_internal else "refused"
            imported.append(ImportedJob(each.name, each.origin, state, refusal=each.refusal))
            continue
        job, differences = each.job, each.differences
        if job.model and job.model not in known_models(states.loaded):
            differences = (*differences, f"asks its agent's own model: {job.model} is not configured here")
            # The job is worth more than its model: without it the agent's own answers.
            job = evolve(job, model="")
        try:
            check_job(job, states.loaded, now)
            if room <= 0:
                raise JobRefused(too_many_jobs())
            if dry_run:
                job = evolve(job, id=free_id(job.id, taken))
            else:
                job = await store.cron_jobs.add(job, now, states.loaded.config.cron.jobs)
        except JobRefused as problem:
            imported.append(ImportedJob(each.name, each.origin, "refused", refusal=f"can't be kept: {problem}"))
            continue
        room -= 1
        taken.add(job.id)
        imported.append(
            ImportedJob(each.name, each.origin, "new", job.id, spelled_timing(job.timing), job.target, differences)
        )
    return tuple(imported)
