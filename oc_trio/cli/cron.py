"""`oc-trio cron`: lists the scheduled jobs with their last and next runs, shows the history, and runs one by hand."""

import sys
from typing import TYPE_CHECKING, Any

import click

from oc_trio.cli.cron_change import add, disable, edit, enable, rm
from oc_trio.cli.cron_import import import_
from oc_trio.cli.cron_journal import (
    EXIT_CODES,
    job_argument,
    job_line,
    json_option,
    run_fields,
    tell_gateways,
    with_jobs,
)
from oc_trio.cli.cron_options import refuse_theirs
from oc_trio.cli.edge import harmless
from oc_trio.cli.exits import EX_FAILED, EX_PARTIAL, EX_UNAVAILABLE
from oc_trio.cli.journal import now_ms, print_json, print_table, when
from oc_trio.cli.options import config_option
from oc_trio.cli.spellings import SpelledGroup

if TYPE_CHECKING:
    from oc_trio.core.cron_jobs import ScheduledJob
    from oc_trio.core.cron_runs import JobRun
    from oc_trio.runtime.operator.jobs.cron_jobs import JobStates
    from oc_trio.store.store import Store

_RUN_EXIT_CODES = (
    "Exit codes: 0 posted, 1 refused or failed, 2 wrong usage, 3 only a part is posted, 65 the journal is damaged or "
    "of a newer release, 69 the server can't be reached or it is not over yet, 75 the journal can't be read, 77 the "
    "token is refused, 78 configuration."
)
# With a filter so many are looked at: the failed ones of a while may lie far behind the newest.
_MAX_RUNS = 1000
_STATES = ["wanted", "running", "queued", "asked", "delivered", "silent", "failed", "skipped"]


@click.group(name="cron", epilog=EXIT_CODES, cls=SpelledGroup)
def command() -> None:
    """List, change and run scheduled jobs: those of the configuration file, and those that are added here."""


@command.command("list", epilog=EXIT_CODES)
@click.option("--all", is_flag=True, expose_value=False, hidden=True)
@click.option("--agent", metavar="ID", help="Only jobs of this agent.")
@config_option
@json_option
def list_(agent: str | None, config_path: str | None, *, as_json: bool) -> None:
    """Each job with where it is written, its schedule, its last run and its next one."""

    async def read(_store: "Store", states: "JobStates") -> tuple[bool, list[dict[str, Any]]]:
        wanted = [job for job in states.jobs if agent in (None, job.agent)]
        return states.loaded.config.cron.enabled, [states.fields(job, now_ms()) for job in wanted]

    is_on, jobs = with_jobs(config_path, read)
    if as_json:
        print_json({"enabled": is_on, "jobs": jobs})
        return
    if not jobs:
        click.echo("there are no jobs")
    for fields in jobs:
        click.echo(f"{job_line(fields)}  [{fields['source']}]")
        result = harmless(fields["result"]) or "-"
        click.echo(f"    next {fields['next'] or 'never'}; last {fields['last'] or 'never'}: {result}")
        if fields["problem"]:
            click.echo(f"    {harmless(fields['problem'])}")


@command.command("show", epilog=EXIT_CODES)
@job_argument
@config_option
@json_option
def show(job: str, config_path: str | None, *, as_json: bool) -> None:
    """All of one job: JOB is its id, or what it is called."""

    async def read(_store: "Store", states: "JobStates") -> dict[str, Any]:
        return states.fields(states.find(job), now_ms())

    fields = with_jobs(config_path, read)
    if as_json:
        print_json(fields)
        return
    for name, value in fields.items():
        if value not in (None, ""):
            click.echo(harmless(f"{name}: {value}"))


@command.command("get", epilog=EXIT_CODES, hidden=True)
@job_argument
@config_option
@click.option("--json", is_flag=True, expose_value=False, help="As it is without this.")
@click.pass_context
def get(ctx: click.Context, job: str, config_path: str | None) -> None:
    """As `show --json`."""
    ctx.invoke(show, job=job, config_path=config_path, as_json=True)


@command.command("runs", epilog=EXIT_CODES)
@click.argument("job", metavar="[JOB]", required=False)
@click.option("--id", "job_id", metavar="JOB", help="The same as JOB.", hidden=True)
@click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(1, _MAX_RUNS), metavar="N", help="The newest."
)
@click.option("--status", "state", type=click.Choice([*_STATES, "ok", "error", "all"]), help="Only runs like that.")
@click.option("--run-id", metavar="ID", help="Only this run.")
@config_option
@json_option
def runs(
    job: str | None,
    job_id: str | None,
    limit: int,
    state: str | None,
    run_id: str | None,
    config_path: str | None,
    *,
    as_json: bool,
) -> None:
    """What became of the runs of JOB, or of all jobs, newest first: where it was posted, or why not.

    Runs of a job that is gone stay for as long as messages do (store.retentionDays).
    """
    named = job or job_id
    wanted = {"ok": ("delivered", "silent"), "error": ("failed",), "all": tuple(_STATES)}.get(state or "all", (state,))

    async def read(store: "Store", states: "JobStates") -> "tuple[list[JobRun], dict[str, ScheduledJob]]":
        from oc_trio.ids import OutboxId

        by_id = {each.id: each for each in states.jobs}
        if run_id:
            one = await store.cron_runs.get(OutboxId(run_id))
            return [one] if one else [], by_id
        # What a run became may be known by the outbox alone, so that states are looked at afterwards.
        most = limit if len(wanted) == len(_STATES) else _MAX_RUNS
        history = await store.cron_runs.list(most, named or "")
        if named and not history:
            history = await store.cron_runs.list(most, states.find(named).id)
        return [run for run in history if run.state.value in wanted][:limit], by_id

    history, by_id = with_jobs(config_path, read)
    if as_json:
        print_json({"runs": [run_fields(run, by_id.get(run.job)) for run in history]})
    elif not history:
        click.echo("no runs" + (f" of {named}" if named else ""))
    else:
        rows: list[tuple[str, ...]] = [
            (when(run.due_at), run.job, "by hand" if run.by_hand else "", harmless(_outcome(run))) for run in history
        ]
        print_table(("DUE (UTC)", "JOB", "", "OUTCOME"), rows)


def _outcome(run: "JobRun") -> str:
    return run.result + (f" in {run.channel_id}" if run.posts and run.channel_id else "")


@command.command("run", epilog=_RUN_EXIT_CODES)
@job_argument
@click.option("--wait/--no-wait", default=True, help="Wait until it is over, which is the default, or not.")
@click.option("--wait-timeout", default="10m", show_default=True, metavar="DURATION", help="The longest to wait.")
@click.option("--force", is_flag=True, hidden=True, expose_value=False, help="It runs it also where it is not due.")
@click.option("--poll-interval", default="500ms", metavar="DURATION", help="How often to look.", hidden=True)
@config_option
@json_option
def run_(
    job: str, wait_timeout: str, poll_interval: str, config_path: str | None, *, wait: bool, as_json: bool
) -> None:
    """Run JOB now, once, also one that is disabled: by the running gateway, or from here where none runs.

    From here a prompt is answered without tools and without memory. The schedule is not changed by it.
    """
    seconds, every = _seconds(wait_timeout, "--wait-timeout"), max(_seconds(poll_interval, "--poll-interval"), 0.05)

    async def main(store: "Store", states: "JobStates") -> "tuple[JobRun, str, int]":
        from uuid import uuid4

        from oc_trio.core.cron_runs import run_by_hand
        from oc_trio.runtime.account.outbound_client import pick_account
        from oc_trio.runtime.operator.jobs.run_cron_job import wait_for_run
        from oc_trio.runtime.schedule.job_table import account_of

        scheduled = states.find(job)
        pick_account(states.loaded, scheduled.account or None)
        # Short, as people type it behind --run-id.
        run = run_by_hand(scheduled.id, account_of(scheduled, states.loaded), now_ms(), uuid4().hex[:12])
        # Asked before anything is written: without a gateway the run is made here, and a row in the journal would wait
        # for one.
        if not await tell_gateways(store, states.loaded):
            return await _run_here(store, states, scheduled, run)
        await store.cron_runs.record(run)
        # Now that there is something to see.
        await tell_gateways(store, states.loaded)
        run = await wait_for_run(store, run, seconds=seconds if wait else 0, every=every)
        return run, "gateway", 0

    run, by, code = with_jobs(config_path, main, change=True, connect=True)
    if not run.state.is_end and wait:
        code = EX_UNAVAILABLE
    elif run.state.value in ("failed", "skipped"):
        code = code or (EX_PARTIAL if run.posts else EX_FAILED)
    problems = [run.reason] if run.reason and run.state.is_end else []
    if as_json:
        fields = run_fields(run, None)
        ok = code == 0 and (run.state.is_end or not wait)
        print_json({"ok": ok, "by": by, **fields, "runId": run.id, "problems": problems})
        sys.exit(code)
    if run.posts:
        click.echo(f"posted in {run.channel_id}: {' '.join(run.posts)}")
    elif run.state.value == "silent":
        click.echo("the agent had nothing to say")
    elif not run.state.is_end:
        click.echo(f"{'not over yet' if wait else 'begun'}: oc-trio cron runs {run.job}", err=wait)
    for problem in problems:
        click.echo(f"oc-trio: {harmless(problem)}", err=True)
    sys.exit(code)


async def _run_here(
    store: "Store", states: "JobStates", job: "ScheduledJob", run: "JobRun"
) -> "tuple[JobRun, str, int]":
    """The run, made by this process, with the exit code for what stopped it."""
    from oc_trio.cli.edge import exit_code
    from oc_trio.runtime.account.outbound_client import dependencies_for, pick_account
    from oc_trio.runtime.operator.jobs.run_cron_job import run_job_now

    loaded = states.loaded
    dependencies = await dependencies_for(pick_account(loaded, job.account or None))
    run, problem = await run_job_now(store, loaded, job, run, dependencies)
    return run, "command", 0 if problem is None else exit_code(problem)


def _seconds(text: str, option: str) -> float:
    from oc_trio.core.cron_times import BadTime, duration

    try:
        return duration(text) / 1000
    except BadTime as problem:
        raise click.BadParameter(f"{text!r} {problem}.", param_hint=option) from None


for _command in (add, edit, rm, enable, disable, import_):
    command.add_command(_command)
command.add_command(add, "create")
command.add_command(rm, "remove")
for _command in (list_, show, get):
    refuse_theirs(_command)
refuse_theirs(runs, only=("--offset", "--query", "--sort", "--delivery-status"))
refuse_theirs(run_, only=("--due",))
