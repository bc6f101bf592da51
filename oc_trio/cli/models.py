"""`oc-trio models`: which model providers there are, and which of them agents ask."""

import json
import os
import sys

import attrs
import click

from oc_trio.cli.config import json_option
from oc_trio.cli.exits import EX_CONFIG
from oc_trio.cli.models_status import status
from oc_trio.cli.options import config_option
from oc_trio.cli.spellings import SpelledGroup
from oc_trio.errors import ConfigError


@click.group(cls=SpelledGroup)
def command() -> None:
    """List the model providers, and say how they do."""


command.add_command(status)


@command.command(name="list")
@click.option("--plain", is_flag=True, help="Only PROVIDER/MODEL of each configured model, one in a line.")
@click.option("--all", is_flag=True, hidden=True, expose_value=False, help="It lists all.")
@config_option
@json_option
def list_(config_path: str | None, plain: bool, as_json: bool) -> None:
    """Print each provider: built in or configured, where it is, where its key is from, its models.

    Built-in providers need no entry in models.providers: name provider/model, and set the variable of the key. JSON has
    `name`, `api`, `baseUrl`, `builtIn`, `configured`, `variables`, `needsKey`, `key`,
    `models`, `used` and `usedBy` of each.
    """
    from oc_trio.config.document import Document
    from oc_trio.config.fields import camel
    from oc_trio.config.load import build, load
    from oc_trio.config.model_list import provider_rows
    from oc_trio.config.paths import current_folder, find_config

    try:
        named = config_path or os.environ.get("OC_TRIO_CONFIG") or find_config(None, os.environ, current_folder())
        # Without any file the built-in providers can be listed all the same.
        loaded = load(config_path, os.environ, connect=False) if named else build(Document(), os.environ, connect=False)
    except ConfigError as error:
        for problem in error.problems:
            click.echo(f"oc-trio: {problem}", err=True)
        sys.exit(EX_CONFIG)
    rows = provider_rows(loaded)
    if as_json:
        click.echo(
            json.dumps([{camel(name): value for name, value in attrs.asdict(row).items()} for row in rows], indent=2)
        )
        return
    if plain:
        click.echo("".join(f"{row.name}/{model}\n" for row in rows for model in row.models), nl=False)
        return
    for row in rows:
        state = "used" if row.used else "configured" if row.configured else "built in"
        wanted = " or ".join(row.variables) if row.needs_key else ""
        key = row.key or (f"no key: set {wanted}" if wanted else "no key")
        click.echo(f"{row.name:<12} {state:<11} {row.api:<20} {row.base_url or '-'}  ({key})")
        for model in row.models:
            click.echo(f"    {row.name}/{model}")
