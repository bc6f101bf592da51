"""Shared by the commands of `oc-trio cron`: the jobs of file and journal, the word to the gateway, and output."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from oc_trio.cli.edge import harmless
from oc_trio.cli.journal import now_ms, with_journal

if TYPE_CHECKING:
    from oc_trio.config.load import Loaded
    from oc_trio.core.cron_jobs import ScheduledJob
    from oc_trio.core.cron_runs import JobRun
    from oc_trio.runtime.operator.jobs.cron_jobs import JobStates
    from oc_trio.store.store import Store

EXIT_CODES = (
    "Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 65 the journal is damaged or of a newer release, 75 it "
    "can't be read, 78 configuration."
)

T = TypeVar("T")

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
job_argument = click.argument("job", metavar="JOB")


def with_jobs(
    config_path: str | None,
    work: "Callable[[Store, JobStates], Awaitable[T]]",
    *,
    change: bool = False,
    connect: bool = False,
) -> T:
    """What `work` returns, given the journal and all jobs. A journal that there is not yet is made with `change`, and
    empty without.
    """

    async def main(store: "Store", loaded: "Loaded") -> T | click.ClickException:
        from oc_trio.runtime.operator.jobs.cron_jobs import job_states

        try:
            return await work(store, await job_states(store, loaded))
        except click.ClickException as wrong:
            # A nursery would put it into a group.
            return wrong

    # A reading command must leave no journal behind where no gateway ever ran.
    result = with_journal(config_path, main, connect=connect, create=True, dry_run=not change)
    if isinstance(result, click.ClickException):
        raise result
    return result


async def tell_gateways(store: "Store", loaded: "Loaded") -> bool:
    """Have the running gateways look at the jobs now; False where there is none. They look every half minute, too."""
    from uuid import uuid4

    from oc_trio.cli.admin_socket import NoAnswerError, ask
    from oc_trio.core.relayed import NoticeKind
    from oc_trio.runtime.process.locations import admin_socket

    try:
        # It tells the others.
        ask(admin_socket(loaded), "/cron/changed", "POST")
    except NoAnswerError:
        if not any(process.is_alive for process in (await store.leases.read()).processes):
            return False
        # None on this machine, but on others.
        await store.relayed.announce(uuid4().hex, NoticeKind.JOBS.value, "", now_ms())
    return True


def job_line(fields: dict[str, Any]) -> str:
    """A job for people, without its runs."""
    name = f" ({fields['name']})" if fields["name"] != fields["id"] else ""
    state = "" if fields["enabled"] else " (disabled)"
    return harmless(f"{fields['id']}{name}{state}  {fields['schedule']}  -> {fields['target']}")


def when_next(fields: dict[str, Any], *, is_told: bool) -> str:
    """What follows from a change, for people."""
    if not fields["next"]:
        return "" if not fields["enabled"] else "; it is never due"
    return f"; next {fields['next']}" + ("" if is_told else ", once a gateway runs")


def run_fields(run: "JobRun", job: "ScheduledJob | None") -> dict[str, Any]:
    """A run for machines; times are ISO 8601 in UTC, empty for never."""
    from oc_trio.core.cron_jobs import iso

    return {
        "id": run.id,
        "job": run.job,
        "name": job.label if job else run.job,
        "due": iso(run.due_at),
        "ran": iso(run.ran_at) if run.ran_at else "",
        "ended": iso(run.ended_at) if run.ended_at else "",
        "byHand": run.by_hand,
        "state": run.state.value,
        "account": run.account,
        "channelId": run.channel_id,
        "postIds": list(run.posts),
        "reason": "" if run.state.value == "asked" else run.reason,
        "trigger": run.trigger,
    }
