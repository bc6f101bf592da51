"""`oc-trio status`: asks the running gateway for its status over its admin socket."""

import json
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from oc_trio.cli.exits import EX_CONFIG, EX_FAILED, EX_NOPERM, EX_UNAVAILABLE

if TYPE_CHECKING:
    from pathlib import Path

_SECONDS = 5.0


@click.command("status")
@click.option("--config", "config_path", metavar="PATH", help="Configuration file (or OC_TRIO_CONFIG).")
@click.option("--account", metavar="ID", help="Only this account.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(config_path: str | None, account: str | None, *, as_json: bool) -> None:
    """Say whether the gateway is running and which accounts are live.

    Exit codes: 0 live, 1 running but not live (with --account: that account), 69 no gateway is running, 77 its socket
    is another user's, 78 the configuration is wrong.
    """
    from oc_trio.config.load import load
    from oc_trio.errors import ConfigError
    from oc_trio.runtime.process.admin import admin_socket

    try:
        socket = admin_socket(load(config_path, os.environ, isolate=True, connect=False))
    except ConfigError as wrong:
        click.echo(f"oc-trio: {wrong}", err=True)
        sys.exit(EX_CONFIG)
    status = _ask(socket)
    if account is not None:
        status["accounts"] = [one for one in status["accounts"] if one["account"] == account.lower()]
    click.echo(json.dumps(status, indent=2, ensure_ascii=False) if as_json else "\n".join(_lines(status)))
    is_live = any(one["state"] == "live" for one in status["accounts"])
    sys.exit(0 if is_live and status["phase"] == "serving" else EX_FAILED)


def _ask(socket: "Path") -> dict[str, Any]:
    import httpx

    try:
        # Synchronous: one request needs no event loop.
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), timeout=_SECONDS) as http:
            answer = http.get("http://localhost/status.json").raise_for_status()
            status: dict[str, Any] = answer.json()
            return status
    except (httpx.HTTPError, ValueError) as problem:
        what, code = _refusal(problem)
        click.echo(f"oc-trio: {what} (asked at {socket})", err=True)
        sys.exit(code)


def _refusal(problem: Exception) -> tuple[str, int]:
    """What it means that the socket gave no status, and the exit code."""
    import httpx

    if not isinstance(problem, httpx.ConnectError):
        return f"the gateway does not answer ({type(problem).__name__})", EX_UNAVAILABLE
    cause: BaseException | None = problem
    while cause is not None:
        if isinstance(cause, PermissionError):
            return "you may not ask the gateway: run this as its user, or as root", EX_NOPERM
        cause = cause.__cause__ or cause.__context__
    return "no gateway is running", EX_UNAVAILABLE


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
