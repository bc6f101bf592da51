"""`oc-trio restart`: the running gateway drains and starts anew, in the same process."""

import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from oc_trio.cli.exits import EX_CONFIG, EX_FAILED
from oc_trio.cli.options import config_option

if TYPE_CHECKING:
    from pathlib import Path

# Beyond the drain: sealing what was cut off, a new start, the first account live.
_MARGIN_SECONDS = 60.0
# A look is one request over a local socket; a restart takes seconds.
_LOOK_SECONDS = 0.2


@click.command("restart")
@config_option
@click.option("--no-wait", is_flag=True, help="Don't wait until it is back.")
def command(config_path: str | None, *, no_wait: bool) -> None:
    """Restart the running gateway: answers end or are taken up again, and the configuration is read anew.

    Under systemd and in containers, too: the process stays. A configuration with problems restarts nothing. SIGUSR1
    does the same; `oc-trio reload` rereads the configuration without a restart.

    Exit codes: 0 it is back, 1 it is not, 69 no gateway is running, 77 it is another user's, 78 the configuration is
    wrong.
    """
    from oc_trio.cli.admin_socket import ask_or_exit, send_signal_or_exit
    from oc_trio.config.load import load
    from oc_trio.errors import ConfigError
    from oc_trio.runtime.process.locations import admin_socket

    try:
        # Read before anything is stopped: a gateway that runs is worth more than one that can't start.
        loaded = load(config_path, os.environ, isolate=True, to_start=True)
    except ConfigError as error:
        click.echo(f"oc-trio: not restarted: {error}", err=True)
        sys.exit(EX_CONFIG)
    socket = admin_socket(loaded)
    before = ask_or_exit(socket)
    send_signal_or_exit(before["pid"], signal.SIGUSR1, "restart")
    if no_wait:
        click.echo(f"process {before['pid']} restarts")
        return
    seconds = loaded.config.gateway.drain + _MARGIN_SECONDS
    # The process stays, and its pid with it: only the time of its start shows that it began anew.
    status = _wait(socket, before["startedAt"], seconds)
    if status is None:
        click.echo(f"oc-trio: it is not back after {seconds:g} s; see its log", err=True)
        sys.exit(EX_FAILED)
    live = [one["account"] for one in status["accounts"] if one["state"] == "live"]
    click.echo(f"restarted: process {status['pid']}, live: {', '.join(live) or 'no account yet'}")


def _wait(socket: "Path", started: int, seconds: float) -> dict[str, Any] | None:
    """The status of the gateway that came after the one of `started`; None where there is none in time."""
    from oc_trio.cli.admin_socket import NoAnswerError, ask

    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            status = ask(socket)
        except NoAnswerError:
            # Its socket is closed for a moment while it starts anew.
            status = {"startedAt": started}
        if status["startedAt"] != started and status["phase"] == "serving":
            return status
        time.sleep(_LOOK_SECONDS)
    return None
