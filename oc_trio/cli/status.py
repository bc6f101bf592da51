"""`oc-trio status`: asks the running gateway for its status over its admin socket."""

import json
import sys
from datetime import UTC, datetime
from typing import Any

import click

from oc_trio.cli.exits import EX_FAILED


@click.command("status")
@click.option("--config", "config_path", metavar="PATH", help="Configuration file (or OC_TRIO_CONFIG).")
@click.option("--account", metavar="ID", help="Only this account.")
@click.option("--deep", "--all", "deep", is_flag=True, help="Ask each account's Mattermost, too, with the bot's token.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(config_path: str | None, account: str | None, *, deep: bool, as_json: bool) -> None:
    """Say whether the gateway is running and which accounts are live.

    Exit codes: 0 live, 1 running but not live (with --account: that account; with --deep also: a server refuses or
    can't be reached), 69 no gateway is running, 77 its socket is another user's, 78 the configuration is wrong.
    """
    from oc_trio.cli.admin_socket import ask_or_exit, load_unconnected
    from oc_trio.cli.channels import probe_fields, probe_lines, probed
    from oc_trio.runtime.process.admin import admin_socket

    status = ask_or_exit(admin_socket(load_unconnected(config_path)))
    if account is not None:
        status["accounts"] = [one for one in status["accounts"] if one["account"] == account.lower()]
    probes = probed(config_path, account) if deep else ()
    if as_json:
        probing = {"probes": [probe_fields(probe) for probe in probes]} if deep else {}
        click.echo(json.dumps({**status, **probing}, indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join([*_lines(status), *probe_lines(probes)]))
    is_live = any(one["state"] == "live" for one in status["accounts"])
    is_well = is_live and status["phase"] == "serving" and not any(probe.problem for probe in probes)
    sys.exit(0 if is_well else EX_FAILED)


def _lines(status: dict[str, Any]) -> list[str]:
    since = datetime.fromtimestamp(status["startedAt"] / 1000, UTC)
    lines = [
        f"oc_trio {status['version']}, process {status['pid']}: {status['phase']} since {since:%Y-%m-%d %H:%M} UTC"
    ]
    for one in status["accounts"]:
        bot = f" as @{one['bot']}" if one["bot"] else ""
        lines.append(f"  {one['account']}: {one['state']}{bot}" + (f": {one['detail']}" if one["detail"] else ""))
        lines += [f"    {note}" for note in one.get("notes", ())]
    lines += [f"  not asked for {pause['seconds']:g} s: {pause['what']}" for pause in status.get("pauses", ())]
    if status["stuck"]:
        lines.append(f"  stuck: {', '.join(status['stuck'])}")
    journal = status["journal"]
    if "error" in journal:
        lines.append(f"  journal: {journal['error']}")
    elif journal:
        lines.append(
            f"  journal: {journal['database']}, {journal['size'] / 1048576:.1f} MiB, "
            f"{journal['open_obligations']} answers owed, {journal['outbox_queued']} posts waiting, "
            f"{journal['pairing_pending']} people waiting to be let in"
        )
    return lines
