"""`oc-trio cron add | edit | rm | enable | disable`: changes the jobs of the journal; a running gateway follows."""

from typing import TYPE_CHECKING, Any

import click
from attrs import evolve

from oc_trio.cli.cron_journal import (
    EXIT_CODES,
    job_argument,
    job_line,
    json_option,
    tell_gateways,
    when_next,
    with_jobs,
)
from oc_trio.cli.cron_options import changed_job, job_of, job_options, read_texts, refuse_theirs, timing_of
from oc_trio.cli.edge import harmless
from oc_trio.cli.journal import now_ms, print_json
from oc_trio.cli.options import config_option

if TYPE_CHECKING:
    from collections.abc import Callable

    from oc_trio.core.cron_jobs import ScheduledJob
    from oc_trio.runtime.operator.jobs.cron_jobs import JobStates
    from oc_trio.store.store import Store


@click.command(epilog=EXIT_CODES)
@click.argument("schedule", metavar="[SCHEDULE|NAME]", required=False)
@click.argument("words", metavar="[PROMPT]", required=False)
@job_options
@click.option("--disabled", is_flag=True, help="Add it disabled.")
@config_option
@json_option
def add(schedule: str | None, words: str | None, config_path: str | None, *, as_json: bool, **options: Any) -> None:
    """Add a job: when (--at, --every or --cron), what (--message or --text) and where (--to).

    SCHEDULE in the place of an option is an expression, an interval such as 'every 10m', or a time as for --at. A job
    with --at runs once, and is removed when it is delivered. A running gateway knows it at once.
    """
    options = read_texts(_with_positions(options, schedule, words))
    now = now_ms()
    timing = timing_of(options, now)
    if timing is None:
        raise click.UsageError("When? Give one of --at, --every and --cron.")
    if not options["target"]:
        raise click.UsageError("Where? --to is missing, such as --to '#town-square' or --to @alice.")
    if not (options["prompt"] or options["text"]):
        raise click.UsageError(
            "What? --message asks an agent and posts its answer, --text posts the words as they are."
        )
    wanted = job_of(options, timing, disabled=options["disabled"])

    async def work(store: "Store", states: "JobStates") -> dict[str, Any]:
        from oc_trio.runtime.operator.jobs.cron_jobs import check_job, job_states

        check_job(wanted, states.loaded, now)
        job = await store.cron_jobs.add(wanted, now, states.loaded.config.cron.jobs)
        is_told = await tell_gateways(store, states.loaded)
        return {**(await job_states(store, states.loaded)).fields(job, now), "gatewayTold": is_told}

    fields = with_jobs(config_path, work, change=True)
    _print(fields, as_json=as_json, what="added")


def _with_positions(options: dict[str, Any], schedule: str | None, words: str | None) -> dict[str, Any]:
    """The options with what stands without one: a schedule and a prompt, or a name beside an option for the time."""
    if schedule is None:
        return options
    if words is not None and (options["text"] or options["prompt"] not in (None, words)):
        raise click.UsageError("What it says is given twice: once as a word, once by an option.")
    options = {**options, "prompt": options["prompt"] if words is None else words}
    if any(options[name] is not None for name in ("at", "every", "cron")):
        if options["name"] not in (None, schedule):
            raise click.UsageError(
                f"It is called {options['name']!r} and {schedule!r}: the time is given by an option."
            )
        return {**options, "name": schedule}
    plain = schedule.strip()
    if plain.lower().startswith("every "):
        placed: dict[str, Any] = {"every": plain}
    # Six as OpenClaw writes them, with seconds in front: `five_fields` says what becomes of those.
    elif plain.startswith("@") or len(plain.split()) in (5, 6):
        placed = {"cron": plain}
    else:
        placed = {"at": plain}
    return {**options, **placed}


@click.command(epilog=EXIT_CODES)
@job_argument
@job_options
@click.option("--enable/--disable", "enabled", default=None, help="Enable or disable it.")
@click.option("--clear-agent", is_flag=True, help="The default agent.")
@click.option("--clear-account", is_flag=True, help="The default account.")
@click.option("--clear-model", is_flag=True, help="The agent's own model.")
@click.option("--clear-thinking", is_flag=True, help="The agent's own thinking level.")
@config_option
@json_option
def edit(job: str, config_path: str | None, *, as_json: bool, **options: Any) -> None:
    """Change what the options say of JOB; everything else stays. A new time counts from now on."""
    options = read_texts(options)
    for name in ("agent", "account", "model", "thinking"):
        if options[name] is not None and options[f"clear_{name}"]:
            raise click.UsageError(f"--{name} and --clear-{name} exclude each other.")
    if all(value in (None, False) for value in options.values()):
        raise click.UsageError("Nothing is to be changed: name an option.")
    timing = timing_of(options, now_ms()) if any(options[name] for name in ("at", "every", "cron")) else None
    if timing is None and options["tz"]:
        timing_of({**options, "cron": "* * * * *"}, 0)  # refuses a zone that is none

    fields = _changed(job, config_path, lambda before: changed_job(before, options, timing), "edit")
    _print(fields, as_json=as_json, what="changed")


@click.command(epilog=EXIT_CODES)
@job_argument
@config_option
@json_option
def enable(job: str, config_path: str | None, *, as_json: bool) -> None:
    """Have JOB run again; what fell due while it was disabled is not made up for."""
    fields = _changed(job, config_path, lambda before: evolve(before, enabled=True), "set enabled = true in")
    _print(fields, as_json=as_json, what="enabled")


@click.command(epilog=EXIT_CODES)
@job_argument
@config_option
@json_option
def disable(job: str, config_path: str | None, *, as_json: bool) -> None:
    """Keep JOB, but don't run it."""
    fields = _changed(job, config_path, lambda before: evolve(before, enabled=False), "set enabled = false in")
    _print(fields, as_json=as_json, what="disabled")


def _changed(
    job: str, config_path: str | None, change: "Callable[[ScheduledJob], ScheduledJob]", in_file: str
) -> dict[str, Any]:
    """The job for machines, as `change` makes it."""

    async def work(store: "Store", states: "JobStates") -> dict[str, Any]:
        from oc_trio.core.cron_jobs import JobRefused
        from oc_trio.runtime.operator.jobs.cron_jobs import check_job, job_states

        scheduled, now = states.added(job, in_file), now_ms()

        def checked(before: "ScheduledJob") -> "ScheduledJob":
            after = change(before)
            # One that is only disabled may be wrong, by a change of the configuration.
            return after if after == evolve(before, enabled=False) else check_job(after, states.loaded, now)

        after = await store.cron_jobs.change(scheduled.id, checked, now)
        if after is None:
            raise JobRefused(f"{scheduled.id} is gone")
        is_told = await tell_gateways(store, states.loaded)
        return {**(await job_states(store, states.loaded)).fields(after, now), "gatewayTold": is_told}

    return with_jobs(config_path, work, change=True)


@click.command(epilog=EXIT_CODES)
@job_argument
@config_option
@json_option
def rm(job: str, config_path: str | None, *, as_json: bool) -> None:
    """Remove JOB; the history of its runs stays. What is being posted is posted."""

    async def work(store: "Store", states: "JobStates") -> dict[str, Any]:
        scheduled = states.added(job, "remove")
        removed = await store.cron_jobs.remove(scheduled.id)
        return {
            "id": scheduled.id,
            "name": scheduled.label,
            "removed": removed,
            "gatewayTold": await tell_gateways(store, states.loaded),
        }

    fields = with_jobs(config_path, work, change=True)
    if as_json:
        print_json(fields)
    else:
        click.echo(f"removed {harmless(fields['id'])}")


def _print(fields: dict[str, Any], *, as_json: bool, what: str) -> None:
    if as_json:
        print_json(fields)
    else:
        click.echo(f"{what} {job_line(fields)}{when_next(fields, is_told=fields['gatewayTold'])}")


for _command in (add, edit):
    refuse_theirs(_command, jobs=True)
for _command in (enable, disable, rm):
    refuse_theirs(_command)
