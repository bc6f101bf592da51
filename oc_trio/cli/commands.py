"""`oc-trio commands`: lists the slash commands on the server, and deletes those that were left behind."""

import json
import os
import sys
from typing import TYPE_CHECKING

import click

from oc_trio.cli.exits import EX_CONFIG, EX_UNAVAILABLE
from oc_trio.cli.options import config_option

if TYPE_CHECKING:
    from oc_trio.runtime.operator.slash_audit import AuditedCommand, CommandAudit


@click.group()
def command() -> None:
    """Look after native slash commands (/oc_...) on the server."""


_account = click.option("--account", help="The account; the default account without this.")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@command.command(name="list")
@config_option
@_account
@_json
def list_(config_path: str | None, account: str | None, as_json: bool) -> None:
    """List the commands of all teams of the bot.

    Exit codes: 0 all teams were read, 1 some could not be, 69 the server can't be asked, 78 the configuration is wrong.
    """
    audit = _audit(config_path, account, remove=False, everything=False)
    if as_json:
        _print_json(audit)
    for row in () if as_json else audit.listed:
        owner = ("ours" if row.wanted else "ours, left behind") if row.ours else "somebody else's"
        click.echo(f"{row.team}  /{row.command.trigger}  {owner}  {row.command.url}")
    _exit_on_problems(audit)


@command.command()
@config_option
@_account
@_json
@click.option("--all", "everything", is_flag=True, help="Remove every command of ours, also those in use.")
def prune(config_path: str | None, account: str | None, as_json: bool, everything: bool) -> None:
    """Remove commands of ours that the configuration no longer wants.

    Foreign commands are never touched. Exit codes: 0 done, 1 something could not be removed, 69 the server can't be
    asked, 78 the configuration is wrong.
    """
    audit = _audit(config_path, account, remove=True, everything=everything)
    if as_json:
        _print_json(audit)
    else:
        for row in audit.listed:
            click.echo(f"removed {row.team} /{row.command.trigger}")
        if not audit.listed and not audit.problems:
            click.echo("Nothing was left behind.")
    _exit_on_problems(audit)


def _audit(config_path: str | None, account: str | None, *, remove: bool, everything: bool) -> "CommandAudit":
    from pathlib import Path

    import trio

    from oc_trio.config.accounts import normalize_account_id
    from oc_trio.config.load import load
    from oc_trio.errors import ConfigError, MattermostError
    from oc_trio.network.tls import client_tls
    from oc_trio.runtime.account.dependencies import Dependencies
    from oc_trio.runtime.operator.slash_audit import CommandAudit, audit_commands, skill_folders
    from oc_trio.runtime.tools.skills import find_skills

    try:
        loaded = load(config_path, os.environ, isolate=True)
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(EX_CONFIG)
    account_id = normalize_account_id(account) if account else loaded.default_account
    selected = loaded.accounts.get(account_id)
    if selected is None:
        click.echo(
            f"There is no usable account {account_id}; there is {', '.join(loaded.accounts) or 'none'}.", err=True
        )
        sys.exit(EX_CONFIG)
    # The system's certificates are loaded only where TLS is spoken.
    context = None if selected.base_url.startswith("http://") else client_tls()
    # Skills have commands of their own; without them those would look left behind.
    skills = find_skills(Path(folder) for folder in skill_folders(loaded))

    async def run() -> CommandAudit:
        dependencies = Dependencies(ssl_context=context, environ=os.environ)
        return await audit_commands(loaded, selected, dependencies, skills, remove=remove, everything=everything)

    try:
        return trio.run(run)
    except MattermostError as problem:
        click.echo(f"{selected.base_url} can't be asked: {problem}", err=True)
        sys.exit(EX_UNAVAILABLE)


def _row(row: "AuditedCommand") -> dict[str, object]:
    command = row.command
    fields = {
        "account": row.account,
        "team": row.team,
        "id": command.id,
        "trigger": command.trigger,
        "url": command.url,
    }
    return {**fields, "ours": row.ours, "wanted": row.wanted}


def _print_json(audit: "CommandAudit") -> None:
    rows = [_row(row) for row in audit.listed]
    click.echo(json.dumps({"commands": rows, "problems": list(audit.problems)}, indent=2, ensure_ascii=False))


def _exit_on_problems(audit: "CommandAudit") -> None:
    for problem in audit.problems:
        click.echo(problem, err=True)
    if audit.problems:
        sys.exit(1)
