"""`oc-trio doctor`: checks everything that a start needs, and says how to mend what is wrong."""

import json
import os
import sys
from typing import TYPE_CHECKING

import click

from oc_trio.cli.exits import EX_CONFIG

if TYPE_CHECKING:
    from oc_trio.config.load import Loaded
    from oc_trio.runtime.operator.findings import Finding

_COLOURS = {"ok": "green", "warning": "yellow", "failed": "red"}


@click.command("doctor")
@click.option("--config", "config_path", metavar="PATH", help="Configuration file (or OC_TRIO_CONFIG).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--deep", is_flag=True, help="Ask each configured model one word, too; providers may charge for it.")
def command(config_path: str | None, *, as_json: bool, deep: bool) -> None:
    """Examine configuration, state, journal, servers and model endpoints. Changes nothing, writes to nobody.

    Exit codes: 0 nothing failed, 1 something did, 78 the configuration is wrong.
    """
    import trio

    from oc_trio.config.load import load
    from oc_trio.errors import ConfigError
    from oc_trio.telemetry.log import configure

    try:
        loaded = load(config_path, os.environ, isolate=True)
    except ConfigError as wrong:
        for problem in wrong.problems:
            click.echo(f"oc-trio: {problem}", err=True)
        sys.exit(EX_CONFIG)
    configure(level="error")  # what models refuse is among the findings
    findings = trio.run(_examine, loaded, as_json, deep)
    if as_json:
        rows = [{"level": one.level.value, "subject": one.subject, "text": one.text} for one in findings]
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    sys.exit(1 if any(one.level.value == "failed" for one in findings) else 0)


async def _examine(loaded: "Loaded", quiet: bool, deep: bool) -> "list[Finding]":
    from contextlib import aclosing

    from oc_trio.runtime.operator.doctor import run_checks

    findings = []
    async with aclosing(run_checks(loaded, deep=deep)) as stream:
        async for one in stream:
            findings.append(one)
            if not quiet:
                level = click.style(f"{one.level.value:8}", fg=_COLOURS[one.level.value])
                click.echo(f"{level}{one.subject}: {one.text}")
    return findings
