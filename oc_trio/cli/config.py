"""`oc-trio config`: checks, shows or translates the configuration without starting anything."""

import json
import os
import sys
from pathlib import Path

import click

from oc_trio.cli.config_get import file, get
from oc_trio.cli.exits import EX_CONFIG
from oc_trio.cli.options import config_option
from oc_trio.cli.spellings import SpelledGroup
from oc_trio.errors import ConfigError, Problem

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(cls=SpelledGroup)
def command() -> None:
    """Check, show or translate the configuration."""


command.add_command(get)
command.add_command(file)


@command.command()
@config_option
@json_option
def check(config_path: str | None, as_json: bool) -> None:
    """Read everything a start would read, and say what is wrong. Exit code 78 when something is."""
    from oc_trio.config.load import load

    try:
        loaded = load(config_path, os.environ, to_start=True)
    except ConfigError as error:
        if as_json:
            click.echo(_json({"ok": False, "problems": [_problem(problem) for problem in error.problems]}))
        else:
            _print_problems(error)
        sys.exit(EX_CONFIG)
    if as_json:
        accounts = {name: account.base_url for name, account in loaded.accounts.items()}
        warnings = [_problem(problem) for problem in loaded.warnings]
        click.echo(_json({"ok": True, "path": str(loaded.path or ""), "accounts": accounts, "warnings": warnings}))
        return
    for warning in loaded.warnings:
        click.echo(f"warning: {warning}", err=True)
    accounts = {name: account.base_url for name, account in loaded.accounts.items()}
    listed = ", ".join(f"{name} ({url})" for name, url in accounts.items()) or "no enabled account"
    off = loaded.switched_off
    more = f"; switched off (enabled = false): {', '.join(off)}" if off else ""
    click.echo(f"{loaded.path or 'environment'}: fine; {listed}{more}")


command.add_command(check, "validate")


@command.command()
@config_option
@json_option
@click.option("--origin", is_flag=True, help="Say where each value comes from.")
def show(config_path: str | None, as_json: bool, origin: bool) -> None:
    """Print every key in effect, secrets hidden."""
    from oc_trio.config.load import load
    from oc_trio.config.show import settings

    try:
        entries = settings(load(config_path, os.environ))
    except ConfigError as error:
        _print_problems(error)
        sys.exit(EX_CONFIG)
    if as_json:
        rows = {entry.path: {"value": entry.value, "origin": entry.origin} for entry in entries}
        click.echo(_json(rows if origin else {path: row["value"] for path, row in rows.items()}))
        return
    for entry in entries:
        line = f"{entry.path} = {json.dumps(entry.value, ensure_ascii=False)}"
        click.echo(f"{line}   # {entry.origin}" if origin else line)


@command.command()
def schema() -> None:
    """Print the JSON Schema, for editors."""
    from oc_trio.config.schema import json_schema

    click.echo(_json(json_schema()))


@command.command()
def reference() -> None:
    """Print the reference of all keys, as Markdown."""
    from oc_trio.config.reference import reference as page

    click.echo(page(), nl=False)


@command.command(name="import")
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), help="New file (mode 600), secrets included.")
def import_(source: Path, output: Path | None) -> None:
    """Translate an openclaw.json to TOML. On standard output, secrets become environment variables."""
    from oc_trio.config.document import read_document
    from oc_trio.config.importer import import_openclaw

    try:
        # What is printed ends up in scroll-back buffers and pasted reports; a file has a mode.
        imported = import_openclaw(read_document(source), os.environ, keep_secrets=output is not None)
    except ConfigError as error:
        _print_problems(error)
        sys.exit(EX_CONFIG)
    for warning in imported.warnings:
        click.echo(f"warning: {warning}", err=True)
    for path, variable in imported.variables:
        click.echo(f"note: {path} is not printed; set {variable}, or write to a file with --output", err=True)
    if output is None:
        click.echo(imported.text, nl=False)
        return
    try:
        # The file has secrets: mode 600 from the start, and never over an existing file.
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(imported.text)
    except OSError as broken:
        click.echo(f"{output}: can't be written: {os.strerror(broken.errno or 0)}", err=True)
        sys.exit(1)
    click.echo(f"wrote {output}", err=True)


def _print_problems(error: ConfigError) -> None:
    count = len(error.problems)
    click.echo(f"The configuration has {count} problem{'s' if count > 1 else ''}:", err=True)
    for problem in error.problems:
        click.echo(f"  {problem}", err=True)


def _problem(problem: Problem) -> dict[str, str]:
    return {"path": problem.path, "message": problem.message, "hint": problem.hint, "where": problem.where}


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
