"""`oc-trio cron`: lists the scheduled messages with their last and next runs, and runs one by hand."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from oc_trio.cli.edge import EXIT_CODES, run
from oc_trio.cli.exits import EX_FAILED, EX_PARTIAL
from oc_trio.cli.spellings import SpelledGroup

if TYPE_CHECKING:
    from oc_trio.config.load import Loaded
    from oc_trio.store.cron import CronRun

_config = click.option("--config", "config_path", metavar="PATH", help="Configuration file (or OC_TRIO_CONFIG).")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(name="cron", epilog=EXIT_CODES, cls=SpelledGroup)
def command() -> None:
    """List and run scheduled messages."""


@command.command("list", epilog=EXIT_CODES)
@_config
@_json
def list_(config_path: str | None, *, as_json: bool) -> None:
    """Each job with its schedule, its last run and its next one."""

    async def main(loaded: "Loaded") -> int:
        last = {run.job: run for run in await _runs(loaded)}
        jobs = [_fields(loaded, name, last.get(name)) for name in loaded.config.cron.jobs]
        if as_json:
            click.echo(json.dumps({"enabled": loaded.config.cron.enabled, "jobs": jobs}, ensure_ascii=False))
            return 0
        for job in jobs:
            state = "" if job["enabled"] else "  (disabled)"
            click.echo(f"{job['name']}{state}  {job['expression']}  {job['timezone']}  -> {job['target']}")
            click.echo(f"    next {job['next'] or 'never'}; last {job['last'] or 'never'}: {job['result'] or '-'}")
        return 0

    run(config_path, main)


@command.command("run", epilog=EXIT_CODES)
@click.argument("name")
@_config
@_json
def run_(name: str, config_path: str | None, *, as_json: bool) -> None:
    """Run the job NAME now, once, from here: a prompt is answered without tools and without memory.

    The schedule is not changed by it.
    """

    async def main(loaded: "Loaded") -> int:
        from oc_trio.runtime.account.outbound_client import dependencies_for, pick_account
        from oc_trio.runtime.operator.run_cron_job import pick_job, run_job_now

        account = pick_account(loaded, pick_job(loaded, name).account or None)
        sent = await run_job_now(loaded, name, await dependencies_for(account))
        code = 0 if sent.is_complete else EX_PARTIAL if sent.posts else EX_FAILED
        problems = [*sent.problems, *(each.problem for each in sent.attachments if each.problem)]
        fields = {
            "ok": code == 0,
            "account": sent.account,
            "channelId": sent.channel_id,
            "postIds": list(sent.posts),
            "problems": problems,
        }
        if as_json:
            click.echo(json.dumps(fields, ensure_ascii=False))
        else:
            click.echo(f"posted in {sent.channel_id}: {' '.join(sent.posts)}")
            for problem in problems:
                click.echo(f"oc-trio: {problem}", err=True)
        return code

    run(config_path, main)


async def _runs(loaded: "Loaded") -> "tuple[CronRun, ...]":
    """The last runs in the journal; none before the first start of a gateway."""
    from pathlib import Path

    from oc_trio.runtime.process.start import journal_location
    from oc_trio.store.store import POSTGRES, open_store

    location = journal_location(loaded, create=False)
    if not location.startswith(POSTGRES) and not Path(location).exists():  # noqa: ASYNC240 - before anything else runs
        return ()
    async with open_store(location, exclusive=False) as store:
        return await store.cron.all()


def _fields(loaded: "Loaded", name: str, last: "CronRun | None") -> dict[str, Any]:
    import time

    from oc_trio.runtime.account.cron_times import next_run

    job = loaded.config.cron.jobs[name]
    due = next_run(job.expression, job.timezone, int(time.time() * 1000))
    is_on = job.enabled and loaded.config.cron.enabled
    return {
        "name": name,
        "enabled": is_on,
        "expression": job.expression,
        "timezone": job.timezone,
        "target": job.target,
        "account": job.account or loaded.default_account,
        "kind": "message" if job.message else "prompt",
        "missed": job.missed.value,
        "next": _clock(due) if is_on else "",
        "last": _clock(last.at) if last else "",
        "result": last.result if last else "",
    }


def _clock(at: int | None) -> str:
    return "" if at is None else datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="seconds")
