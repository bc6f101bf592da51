"""`oc-trio cron import`: OpenClaw's jobs become jobs of the journal, once each."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from oc_trio.cli.cron_journal import EXIT_CODES, json_option, tell_gateways, with_jobs
from oc_trio.cli.cron_options import refuse_theirs
from oc_trio.cli.edge import harmless
from oc_trio.cli.exits import EX_FAILED, EX_PARTIAL
from oc_trio.cli.journal import fail, now_ms, print_json
from oc_trio.cli.options import config_option
from oc_trio.config.paths import expanded

if TYPE_CHECKING:
    from oc_trio.runtime.operator.jobs.cron_jobs import ImportedJob, JobStates
    from oc_trio.store.store import Store

_LONGEST_REASON = 400  # what a job names may be of any length


@click.command("import", epilog=f"{EXIT_CODES} 3: some jobs were not carried over, and are named.")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--to", "target", metavar="TARGET", help="Where jobs go that name no place.")
@click.option("--tz", "timezone", metavar="ZONE", help="Time zone of expressions that name none; UTC.")
@click.option("--dry-run", is_flag=True, help="Say what would be done; change nothing.")
@config_option
@json_option
def import_(
    path: Path, target: str | None, timezone: str | None, config_path: str | None, *, dry_run: bool, as_json: bool
) -> None:
    """Take over OpenClaw's jobs: PATH is its folder (~/.openclaw), its state/openclaw.sqlite, or a jobs.json.

    What a job does differently here is said, and what can't be carried over is refused, job by job. A job that was
    imported before stays as it is. Nothing of OpenClaw's is changed: disable its jobs there.
    """
    from oc_trio.config.cron_fields import is_timezone
    from oc_trio.core.openclaw_jobs import ImportRules, carry_over
    from oc_trio.store.openclaw_cron import read_openclaw_jobs
    from oc_trio.store.openclaw_pairing import UnreadableState

    if timezone and not is_timezone(timezone):
        raise click.BadParameter(f"{timezone} is not a known time zone; such as Europe/Berlin", param_hint="--tz")
    now = now_ms()
    try:
        rules = ImportRules(now, target or "", timezone or "")
        carried = [carry_over(raw, rules) for raw in read_openclaw_jobs(expanded(path))]
    except UnreadableState as problem:
        fail(str(problem))
        return

    async def work(store: "Store", states: "JobStates") -> "tuple[ImportedJob, ...]":
        from oc_trio.runtime.operator.jobs.cron_jobs import import_jobs

        imported = await import_jobs(store, states, carried, now, dry_run=dry_run)
        if not dry_run:
            # A running gateway looks at the jobs now, rather than within half a minute.
            await tell_gateways(store, states.loaded)
        return imported

    imported = with_jobs(config_path, work, change=not dry_run)
    if as_json:
        print_json({"dryRun": dry_run, "jobs": [_plain(one) for one in imported]})
    elif not imported:
        click.echo("there are no jobs there")
    for one in () if as_json else imported:
        click.echo(harmless(_line(one, dry_run=dry_run)), err=one.state == "refused")
        for difference in one.differences:
            click.echo(harmless(f"    {difference}"))
    # OpenClaw's own jobs have no use here: leaving them out is no failure.
    wanted = [one for one in imported if one.state != "internal"]
    refused = sum(one.state == "refused" for one in wanted)
    sys.exit(0 if not refused else EX_FAILED if refused == len(wanted) else EX_PARTIAL)


def _line(one: "ImportedJob", *, dry_run: bool) -> str:
    match one.state:
        case "refused":
            return f"oc-trio: {one.name} {one.refusal[:_LONGEST_REASON]}"
        case "internal":
            return f"left out: {one.name} {one.refusal}"
        case "known":
            return f"{one.name} is here already: {one.id}"
        case _:
            return f"{one.name} {'would become' if dry_run else 'is now'} {one.id}  {one.schedule}  -> {one.target}"


def _plain(one: "ImportedJob") -> dict[str, Any]:
    return {
        "name": one.name,
        "origin": one.origin,
        "state": one.state,
        "id": one.id,
        "schedule": one.schedule,
        "target": one.target,
        "differences": list(one.differences),
        "problem": one.refusal,
    }


refuse_theirs(import_)
