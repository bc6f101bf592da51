"""`oc-trio logs`: the newest lines of the running gateway's log, asked for over its admin socket."""

import json
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from oc_trio.cli.edge import harmless
from oc_trio.cli.exits import EX_INTERRUPTED
from oc_trio.cli.options import config_option

if TYPE_CHECKING:
    from pathlib import Path

# A gateway that restarts is back by then; one that was stopped is not waited for.
_GIVE_UP_SECONDS = 60.0
_COLOURS = {"error": "red", "critical": "red", "warning": "yellow", "debug": "bright_black"}


@click.command("logs")
@config_option
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--limit", "-n", default=200, show_default=True, type=click.IntRange(1, 1000), help="Earlier lines.")
@click.option(
    "--interval", default=1000, show_default=True, type=click.IntRange(50), metavar="MS", help="To ask again."
)
@click.option("--json", "as_json", is_flag=True, help="Print each line as JSON.")
@click.option("--plain", "--no-color", "plain", is_flag=True, help="No colours.")
@click.option("--local-time/--utc", default=True, help="The clock of the times; local without either.")
def command(
    config_path: str | None,
    limit: int,
    interval: int,
    *,
    follow: bool,
    as_json: bool,
    plain: bool,
    local_time: bool,
) -> None:
    """Print what the running gateway logged: the newest 1000 lines are kept.

    Exit codes: 0 done, 69 no gateway is running, 77 its socket is another user's, 78 the configuration is wrong.
    """
    print_log(
        config_path,
        limit=limit,
        as_json=as_json,
        seconds=interval / 1000 if follow else None,
        plain=plain,
        is_local=local_time,
    )


def print_log(
    config_path: str | None,
    *,
    limit: int,
    as_json: bool,
    seconds: float | None = None,
    plain: bool = False,
    is_local: bool = True,
) -> None:
    """Print the lines there are; with `seconds`, ask again so often. Ends the process where nobody answers."""
    from oc_trio.cli.admin_socket import load_unconnected
    from oc_trio.runtime.process.locations import admin_socket

    def show(event: Mapping[str, Any]) -> None:
        click.echo(json.dumps(event, ensure_ascii=False) if as_json else _line(event, plain=plain, is_local=is_local))

    socket = admin_socket(load_unconnected(config_path))
    try:
        _print(socket, limit, seconds, show)
    except KeyboardInterrupt:
        sys.exit(EX_INTERRUPTED)


def _print(socket: "Path", limit: int, seconds: float | None, show: Any) -> None:
    from oc_trio.cli.admin_socket import NoAnswerError, ask

    last, started, gone_since = 0, 0, 0.0
    while True:
        try:
            answer = ask(socket, f"/logs.json?after={last}&limit={limit}")
            if started and answer["startedAt"] != started:
                # Another process, which counts from 1 again.
                answer = ask(socket, "/logs.json")
            gone_since, started = 0.0, answer["startedAt"]
            for line in answer["lines"]:
                last = line["number"]
                show(line["event"])
            # All that came since the last look, as far as the gateway keeps it.
            limit = 1000
        except NoAnswerError as refusal:
            if not started:
                click.echo(f"oc-trio: {refusal}. Its log went to standard error: journalctl -u oc-trio", err=True)
                sys.exit(refusal.exit_code)
            if not gone_since:
                gone_since = time.monotonic()
                click.echo("oc-trio: the gateway has stopped; waiting for it", err=True)
            elif time.monotonic() - gone_since > _GIVE_UP_SECONDS:
                click.echo(f"oc-trio: {refusal}", err=True)
                sys.exit(refusal.exit_code)
        if seconds is None:
            return
        time.sleep(seconds)


def _line(event: Mapping[str, Any], *, plain: bool, is_local: bool) -> str:
    """One event as a line: time, level, what, and the rest as name=value."""
    rest = {name: value for name, value in event.items() if name not in ("timestamp", "level", "event", "exception")}
    level = f"{event.get('level', ''):7}"
    if not plain:
        level = click.style(level, fg=_COLOURS.get(str(event.get("level")), "green"))
    pairs = "".join(
        f" {name}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for name, value in rest.items()
    )
    text = harmless(f"{event.get('event', '')}{pairs}")
    trace = f"\n{event['exception']}" if isinstance(event.get("exception"), str) else ""
    return f"{_clock(str(event.get('timestamp', '')), is_local=is_local)} {level} {text}{trace}"


def _clock(text: str, *, is_local: bool) -> str:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{at.astimezone() if is_local else at:%Y-%m-%d %H:%M:%S%z}"
