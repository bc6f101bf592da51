"""`oc-trio reload`: the running gateway reads its configuration again, and this says what came of it."""

import json
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from oc_trio.cli.exits import EX_CONFIG, EX_FAILED
from oc_trio.cli.options import config_option

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

# An account that changes has its drain first: `gateway.drainSeconds`, at most ten minutes without a warning.
_SECONDS = 660.0
# An account that was started anew connects and catches up in seconds; after this it is told that it has not yet.
_LIVE_SECONDS = 15.0
# Between two looks at the gateway's status: somebody waits.
_LOOK_SECONDS = 0.1
_MOST_KEYS = 20
_ENDED = ("auth_failed", "failed")


@click.command("reload")
@config_option
@click.option("--no-wait", is_flag=True, help="Don't wait for what comes of it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(config_path: str | None, *, no_wait: bool, as_json: bool) -> None:
    """Make the running gateway read its configuration again, and say what changed.

    As SIGHUP, but with an answer: changed accounts finish their answers and start anew, the others are not touched. A
    configuration with any problem changes nothing, and the gateway goes on with the old one.

    Exit codes: 0 it is in effect, 1 an account is not live with it or the public port can't be had, 69 no gateway is
    running, 77 it is another user's, 78 the configuration is wrong.
    """
    from oc_trio.cli.admin_socket import ask_or_exit, find_socket, send_signal_or_exit
    from oc_trio.cli.edge import harmless

    # Whatever this finds wrong with the file, the gateway is asked: its variables and its user may be others.
    socket, _ = find_socket(config_path)
    before = ask_or_exit(socket)
    send_signal_or_exit(before["pid"], signal.SIGHUP, "reload")
    if no_wait or "reload" not in before:
        older = "" if no_wait else "; it is of an older release, so see its log for what came of it"
        click.echo(f"process {before['pid']} reads its configuration again{older}")
        return
    status = _wait(socket, before)
    found = status["reload"]
    if as_json:
        click.echo(json.dumps({**found, "pid": status["pid"], "accounts": _states(status)}, indent=2))
    elif found["problems"]:
        click.echo("oc-trio: not reloaded; the gateway goes on with the configuration that it had:", err=True)
        for problem in found["problems"]:
            click.echo(harmless(f"  {problem}"), err=True)
    else:
        click.echo(harmless("\n".join(_lines(status))))
    if found["problems"]:
        sys.exit(EX_CONFIG)
    if _not_live(status) or status.get("listener", {}).get("error"):
        sys.exit(EX_FAILED)


def _wait(socket: "Path", before: "Mapping[str, Any]") -> dict[str, Any]:
    """The status after a reload that began after `before`, when its accounts are live or have had their time.

    A reload that ran already may have read the file before it was changed. Ends the command where none ends in time.
    """
    from oc_trio.cli.admin_socket import ask_or_exit

    until = time.monotonic() + _SECONDS
    until_live = 0.0
    while time.monotonic() < until:
        status = ask_or_exit(socket)
        if status["startedAt"] != before["startedAt"]:
            click.echo("oc-trio: the gateway was started anew meanwhile, with the configuration as it is", err=True)
            sys.exit(EX_FAILED)
        if status["reload"]["ended"] > before["reload"]["begun"]:
            until_live = until_live or time.monotonic() + _LIVE_SECONDS
            if not _connecting(status) or time.monotonic() > until_live:
                return status
        time.sleep(_LOOK_SECONDS)
    click.echo(f"oc-trio: the gateway is still at it after {_SECONDS:g} s; see its log", err=True)
    sys.exit(EX_FAILED)


def _states(status: "Mapping[str, Any]") -> dict[str, str]:
    return {one["account"]: one["state"] for one in status["accounts"]}


def _not_live(status: "Mapping[str, Any]") -> list[str]:
    """The accounts that the reload has started, and that are not live, nor another process's to serve."""
    states, found = _states(status), status["reload"]
    return [name for name in (*found["started"], *found["restarted"]) if states.get(name) not in ("live", "standby")]


def _connecting(status: "Mapping[str, Any]") -> list[str]:
    """Those of `_not_live` that may be in a moment; a refused token is tried again much later."""
    return [name for name in _not_live(status) if _states(status).get(name) not in _ENDED]


def _lines(status: "Mapping[str, Any]") -> "Iterator[str]":
    found, accounts = status["reload"], {one["account"]: one for one in status["accounts"]}
    nothing = not found["changed"] and not found["started"] and not found["restarted"] and not found["stopped"]
    yield f"reloaded: process {status['pid']}" + (", nothing differs from what it had" if nothing else "")
    if keys := found["changed"]:
        more = f" and {len(keys) - _MOST_KEYS} more" if len(keys) > _MOST_KEYS else ""
        yield f"  changed: {', '.join(keys[:_MOST_KEYS])}{more}"
    for what in ("started", "restarted"):
        for name in found[what]:
            one = accounts.get(name, {"state": "stopped", "detail": ""})
            detail = f": {one['detail']}" if one["detail"] and one["state"] != "live" else ""
            yield f"  {what}: {name}, {one['state']}{detail}"
    for what, label in (("stopped", "stopped"), ("kept", "not touched")):
        if found[what]:
            yield f"  {label}: {', '.join(found[what])}"
    for section in found["at_next_start"]:
        yield f"  {section} takes effect at the next start only: `oc-trio restart`"
    if error := status.get("listener", {}).get("error"):
        yield f"  no public port: {error}"
    yield from (f"  warning: {warning}" for warning in found["warnings"])
