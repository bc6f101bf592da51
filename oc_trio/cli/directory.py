"""`oc-trio directory`: lists the users and channels that accounts can reach; an account's failure stops no other."""

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import click

from oc_trio.cli.edge import EXIT_CODES, exit_code, harmless, run, shared_options
from oc_trio.cli.exits import first
from oc_trio.cli.spellings import SpelledGroup, refuse_before

if TYPE_CHECKING:
    from oc_trio.config.load import Loaded
    from oc_trio.runtime.delivery.compose import OutboundClient
    from oc_trio.runtime.operator.directory_listing import Entry

_List = Callable[["OutboundClient"], Awaitable[tuple["Entry", ...]]]

_query = click.option("--query", default="", metavar="TEXT", help="Only names with this; for peers, beginning with it.")
_limit = click.option("--limit", default=0, metavar="N", type=click.IntRange(0), help="Print at most N; 0 prints all.")


@click.group(name="directory", cls=SpelledGroup, epilog=EXIT_CODES)
def command() -> None:
    """List the bot itself, people, channels and their members, of one account or (without --account) of all."""


@command.command("self", epilog=EXIT_CODES)
@shared_options
def self_(config_path: str | None, account: str | None, *, as_json: bool) -> None:
    """The bot's own user, as each account has it."""

    async def listed(outbound: "OutboundClient") -> tuple["Entry", ...]:
        from oc_trio.runtime.operator.directory_listing import self_entry

        return (self_entry(outbound),)

    _list(config_path, account, listed, 0, as_json=as_json)


@command.group(invoke_without_command=True, cls=SpelledGroup, epilog=EXIT_CODES)
@_query
@_limit
@shared_options
@click.pass_context
def peers(
    ctx: click.Context, query: str, limit: int, config_path: str | None, account: str | None, *, as_json: bool
) -> None:
    """People in any team of the bot; each id is a target for `message send`."""
    if ctx.invoked_subcommand is None:
        _list(config_path, account, _peers(query), limit, as_json=as_json)
    refuse_before(ctx, query=query, limit=limit, config=config_path, account=account, json=as_json)


@peers.command("list", epilog=EXIT_CODES)
@_query
@_limit
@shared_options
def peers_list(query: str, limit: int, config_path: str | None, account: str | None, *, as_json: bool) -> None:
    """As `directory peers`."""
    _list(config_path, account, _peers(query), limit, as_json=as_json)


def _peers(query: str) -> _List:
    async def listed(outbound: "OutboundClient") -> tuple["Entry", ...]:
        from oc_trio.runtime.operator.directory_listing import peers as find

        return await find(outbound, query)

    return listed


@command.group(invoke_without_command=True, cls=SpelledGroup, epilog=EXIT_CODES)
@_query
@_limit
@shared_options
@click.pass_context
def groups(
    ctx: click.Context, query: str, limit: int, config_path: str | None, account: str | None, *, as_json: bool
) -> None:
    """Channels and groups that the bot is in; each id is a target for `message send`."""
    if ctx.invoked_subcommand is None:
        _list(config_path, account, _groups(query), limit, as_json=as_json)
    refuse_before(ctx, query=query, limit=limit, config=config_path, account=account, json=as_json)


@groups.command("list", epilog=EXIT_CODES)
@_query
@_limit
@shared_options
def groups_list(query: str, limit: int, config_path: str | None, account: str | None, *, as_json: bool) -> None:
    """As `directory groups`."""
    _list(config_path, account, _groups(query), limit, as_json=as_json)


@groups.command("members", epilog=EXIT_CODES)
@click.option("--group-id", required=True, metavar="ID", help="The channel: its id, or any target.")
@_query
@_limit
@shared_options
def groups_members(
    group_id: str, query: str, limit: int, config_path: str | None, account: str | None, *, as_json: bool
) -> None:
    """As `directory members`."""
    _list(config_path, account, _members(group_id, query), limit, as_json=as_json, only_default=True)


def _groups(query: str) -> _List:
    async def listed(outbound: "OutboundClient") -> tuple["Entry", ...]:
        from oc_trio.runtime.operator.directory_listing import groups as find

        return await find(outbound, query)

    return listed


@command.command(epilog=EXIT_CODES)
@click.argument("target")
@_query
@_limit
@shared_options
def members(
    target: str, query: str, limit: int, config_path: str | None, account: str | None, *, as_json: bool
) -> None:
    """People in the channel TARGET (channel:<id>, #name, team/name)."""
    # A target is one account's: the default account's where none is named.
    _list(config_path, account, _members(target, query), limit, as_json=as_json, only_default=True)


def _members(target: str, query: str) -> _List:
    async def listed(outbound: "OutboundClient") -> tuple["Entry", ...]:
        from oc_trio.runtime.operator.directory_listing import members as find

        return await find(outbound, await outbound.targets.resolve(target), query)

    return listed


def _list(
    config_path: str | None,
    account: str | None,
    listed: _List,
    limit: int,
    *,
    as_json: bool,
    only_default: bool = False,
) -> None:
    async def main(loaded: "Loaded") -> int:
        from oc_trio.errors import OcTrioError
        from oc_trio.runtime.account.outbound_client import dependencies_for, open_outbound_client, pick_account

        one = account or (loaded.default_account if only_default else None)
        selected = [pick_account(loaded, one)] if one else list(loaded.accounts.values())
        entries: list[Entry] = []
        problems: dict[str, str] = {} if one else {name: str(each[0]) for name, each in loaded.broken.items()}
        code = 1 if problems else 0
        for each in selected:
            try:
                async with open_outbound_client(loaded, each, await dependencies_for(each)) as outbound:
                    entries += await listed(outbound)
            # The client has a nursery, so its errors come out in groups.
            except* OcTrioError as group:
                problems[each.id] = str(first(group))
                code = exit_code(first(group))
        _print(entries, problems, limit, as_json=as_json)
        return code

    run(config_path, main)


def _print(entries: "list[Entry]", problems: dict[str, str], limit: int, *, as_json: bool) -> None:
    page = entries[:limit] if limit else entries
    if as_json:
        fields = {"entries": [entry.fields() for entry in page], "total": len(entries), "problems": problems}
        click.echo(json.dumps(fields, ensure_ascii=False))
        return
    accounts = {entry.account for entry in page}
    for entry in page:
        start = f"{entry.account}  " if len(accounts) > 1 else ""
        team = f"  [{entry.team}]" if entry.team else ""
        handle = f"  {entry.handle}" if entry.handle else ""
        click.echo(harmless(f"{start}{entry.id}  {entry.name}{handle}{team}"))
    if len(page) < len(entries):
        click.echo(f"{len(entries) - len(page)} more; --limit 0 prints all.", err=True)
    for account, problem in problems.items():
        click.echo(f"oc-trio: account {account}: {problem}", err=True)
