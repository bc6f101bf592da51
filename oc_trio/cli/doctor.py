"""`oc-trio doctor`: checks everything that a start needs, and says how to mend what is wrong."""

import json
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from oc_trio.cli.exits import EX_CONFIG, EX_FAILED, EX_PARTIAL
from oc_trio.cli.options import config_option

if TYPE_CHECKING:
    from collections.abc import Iterable

    from oc_trio.config.load import Loaded
    from oc_trio.errors import ConfigError
    from oc_trio.runtime.operator.doctor import Depth
    from oc_trio.runtime.operator.findings import Finding

_COLOURS = {"ok": "green", "fixed": "cyan", "warning": "yellow", "not verified": "magenta", "failed": "red"}
# The longest level but "not verified", and a blank.
_WIDTH = 8


@click.command("doctor")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--deep",
    is_flag=True,
    help="Hold each WebSocket for a while, and ask each model one word; providers may charge for it.",
)
@click.option("--yes", "--non-interactive", is_flag=True, hidden=True, expose_value=False, help="It asks nothing.")
@click.option(
    "--fix",
    "--repair",
    "fix",
    is_flag=True,
    help="Do what is safe: close files to others, register slash commands anew.",
)
@click.option(
    "--hold",
    "hold_seconds",
    type=click.FloatRange(0, 3600),
    # Longer than the 60 s after which nginx and its like close a connection on which nothing is said.
    default=90.0,
    show_default=True,
    metavar="SECONDS",
    help="With --deep: how long each WebSocket is held without a word.",
)
def command(config_path: str | None, *, as_json: bool, deep: bool, fix: bool, hold_seconds: float) -> None:
    """Examine configuration, state, journal, servers, callbacks and model endpoints; say how to mend what is wrong.

    Writes only to the bot's direct channel with itself, and removes it again. Where a gateway runs, that makes
    Mattermost call it; else this does, on the configured port.

    Exit codes, by the worst finding: 0 all is well or has warnings, 3 something could not be verified, 1 something
    failed, 78 the configuration is wrong.
    """
    import trio

    from oc_trio.config.load import load
    from oc_trio.errors import ConfigError
    from oc_trio.runtime.operator.doctor import Depth, config_errors
    from oc_trio.telemetry.log import configure

    try:
        try:
            loaded = load(config_path, os.environ, isolate=True)
        except ConfigError as error:
            if not fix or not _mended(error):
                raise
            loaded = load(config_path, os.environ, isolate=True)
    except ConfigError as error:
        for problem in error.problems:
            click.echo(f"oc-trio: {problem}", err=True)
        if as_json:
            click.echo(json.dumps([row(one) for one in config_errors(error)], indent=2, ensure_ascii=False))
        sys.exit(EX_CONFIG)
    configure(level="error")  # what models refuse is among the findings
    findings = trio.run(examine, loaded, Depth(deep, hold_seconds, _show, fix), as_json)
    if as_json:
        click.echo(json.dumps([row(one) for one in findings], indent=2, ensure_ascii=False))
    sys.exit(exit_code(findings))


def exit_code(findings: "Iterable[Finding]") -> int:
    """By the worst of them."""
    levels = {one.level.value for one in findings}
    return EX_FAILED if "failed" in levels else EX_PARTIAL if "not verified" in levels else 0


def _mended(error: "ConfigError") -> bool:
    """Whether a file could be closed to others that kept the configuration from being read; each is said."""
    import trio

    from oc_trio.runtime.operator.repairs import repair_of

    done = 0
    for problem in error.problems:
        repair = repair_of(str(problem))
        if repair is not None:
            with suppress(OSError):
                click.echo(f"oc-trio: fixed: {problem}: {trio.run(repair)}", err=True)
                done += 1
    return done > 0


def row(finding: "Finding") -> dict[str, str]:
    """A finding as JSON has it."""
    fields = {"code": finding.code, "level": finding.level.value, "subject": finding.subject, "text": finding.text}
    return {**fields, "why": finding.why, "fix": finding.fix}


def _lines(finding: "Finding") -> list[str]:
    """One line where all is well, else what, why, the fix and the code."""
    from oc_trio.cli.edge import harmless

    level = finding.level.value
    label = f"{level.upper()} " if level == "not verified" else f"{level:{_WIDTH}}"
    head = click.style(label, fg=_COLOURS[level]) + harmless(f"{finding.subject}: {finding.text}")
    indent = " " * _WIDTH
    more = [f"{name}: {text}" for name, text in (("why", finding.why), ("fix", finding.fix)) if text]
    if more:
        more[-1] += f" [{finding.code}]"
    return [head, *(indent + harmless(line) for line in more)]


def _show(line: str) -> None:
    """A line about something that takes long, for who watches."""
    if sys.stderr.isatty():
        click.echo(f"  {line}", err=True)


async def examine(loaded: "Loaded", depth: "Depth", quiet: bool) -> "list[Finding]":
    """Make the checks; unless `quiet`, each finding is printed when it comes."""
    from contextlib import aclosing

    from oc_trio.runtime.operator.doctor import run_checks

    findings = []
    # Closed at once where this is interrupted: what the checks have made is removed while the loop still runs.
    async with aclosing(run_checks(loaded, depth)) as stream:
        async for one in stream:
            findings.append(one)
            if not quiet:
                click.echo("\n".join(_lines(one)))
    return findings
