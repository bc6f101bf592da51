"""`oc-trio models status`: which model answers, what is asked where it can't, and with which key."""

import json
import os
import sys
from typing import TYPE_CHECKING

import click

from oc_trio.cli.exits import EX_CONFIG, EX_FAILED
from oc_trio.cli.options import config_option

if TYPE_CHECKING:
    from oc_trio.config.load import Loaded
    from oc_trio.runtime.operator.findings import Finding


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--probe", "--check", "probe", is_flag=True, help="Ask each provider in use for its models, with the key."
)
def status(config_path: str | None, *, as_json: bool, probe: bool) -> None:
    """Say which model each agent asks, its fallbacks, and whether the keys of the providers in use are set.

    `oc-trio doctor --deep` asks the models themselves. Exit codes: 0 nothing is wrong, 1 a key is not set or a probe
    failed, 78 the configuration is wrong.
    """
    from oc_trio.config.load import load
    from oc_trio.config.model_list import provider_rows
    from oc_trio.errors import ConfigError

    try:
        loaded = load(config_path, os.environ, isolate=True, connect=False)
    except ConfigError as error:
        for problem in error.problems:
            click.echo(f"oc-trio: {problem}", err=True)
        sys.exit(EX_CONFIG)
    rows = [row for row in provider_rows(loaded) if row.used]
    keyless = [row for row in rows if row.needs_key and not row.key]
    # Only providers with an entry have an address to ask.
    findings = _probe(loaded, [row.name for row in rows if row.name in loaded.config.models.providers]) if probe else []
    agents = loaded.config.agents
    chosen = {name: entry.model.primary for name, entry in agents.entries.items() if entry.model is not None}
    if as_json:
        fields = {
            "default": agents.defaults.model.primary,
            "fallbacks": list(agents.defaults.model.fallbacks),
            "agents": chosen,
            "providers": [
                {"name": row.name, "api": row.api, "baseUrl": row.base_url, "key": row.key, "models": list(row.models)}
                for row in rows
            ],
            "findings": [{"level": one.level.value, "subject": one.subject, "text": one.text} for one in findings],
        }
        click.echo(json.dumps(fields, indent=2, ensure_ascii=False))
    else:
        click.echo(f"default: {agents.defaults.model.primary or 'none: set agents.defaults.model'}")
        for name in agents.defaults.model.fallbacks:
            click.echo(f"  then {name}")
        for agent, model in chosen.items():
            click.echo(f"agent {agent}: {model}")
        for row in rows:
            missing = f"no key: set {' or '.join(row.variables)}" if row in keyless else "no key"
            click.echo(f"{row.name}: {row.api}, {row.base_url or '-'} ({row.key or missing})")
        for one in findings:
            click.echo(f"  {one.level.value}: {one.subject}: {one.text}")
    failed = any(one.level.value == "failed" for one in findings)
    sys.exit(EX_FAILED if failed or keyless else 0)


def _probe(loaded: "Loaded", names: list[str]) -> "list[Finding]":
    import trio

    from oc_trio.runtime.operator.model_check import examine_provider
    from oc_trio.telemetry.log import configure

    async def main() -> "list[Finding]":
        return [one for name in names for one in await examine_provider(loaded.config, name)]

    configure(level="error")
    return trio.run(main)
