"""`oc-trio channels`: how the accounts do, and what names mean on their servers."""

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from oc_trio.cli.edge import EXIT_CODES, harmless, run, shared_options
from oc_trio.cli.exits import EX_FAILED
from oc_trio.cli.logs import print_log
from oc_trio.cli.options import config_option
from oc_trio.cli.spellings import SpelledGroup

if TYPE_CHECKING:
    from oc_trio.config.load import Loaded
    from oc_trio.runtime.delivery.compose import OutboundClient
    from oc_trio.runtime.delivery.targets import Place
    from oc_trio.runtime.operator.probe import Probe

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(name="channels", cls=SpelledGroup, epilog=EXIT_CODES)
def command() -> None:
    """Say how the accounts do, and what names mean."""


@command.command("list", epilog=EXIT_CODES)
@config_option
@_json
def list_(config_path: str | None, *, as_json: bool) -> None:
    """The accounts as they are configured."""
    rows = _configured(config_path)
    if as_json:
        click.echo(json.dumps({"accounts": rows}, indent=2, ensure_ascii=False))
        return
    for row in rows:
        click.echo(f"{row['account']}: {row['problem'] or row['baseUrl']}")


@command.command(epilog=EXIT_CODES)
@config_option
@_json
@click.option("--account", metavar="ID", help="Only this account.")
@click.option("--probe", is_flag=True, help="Ask each account's Mattermost, too, with the bot's token.")
@click.option("--timeout", type=click.IntRange(100), default=15_000, metavar="MS", help="For each probe.")
def status(config_path: str | None, account: str | None, *, as_json: bool, probe: bool, timeout: int) -> None:
    """Each account as the running gateway sees it; without a gateway, as it is configured.

    Exit codes: 0 nothing is wrong as far as it was looked at, 1 an account is not live or a probe failed, 78 the
    configuration is wrong. `oc-trio status` fails where no gateway is running.
    """
    from oc_trio.cli.admin_socket import NoAnswerError, ask, load_unconnected
    from oc_trio.config.accounts import normalize_account_id
    from oc_trio.runtime.process.locations import admin_socket

    only = normalize_account_id(account) if account else None
    rows = [row for row in _configured(config_path) if only in (None, row["account"])]
    try:
        live = {one["account"]: one for one in ask(admin_socket(load_unconnected(config_path)))["accounts"]}
        absent = ""
    except NoAnswerError as refusal:
        # Not a failure here: what is configured is shown without a gateway, too.
        live, absent = {}, str(refusal)
    for row in rows:
        seen = live.get(row["account"], {})
        row |= {"state": seen.get("state", "configured" if not row["problem"] else "misconfigured")}
        row |= {"bot": seen.get("bot", ""), "detail": seen.get("detail", "")}
    probes = probed(config_path, account, seconds=timeout / 1000) if probe else ()
    if as_json:
        fields: dict[str, Any] = {"gateway": not absent, "accounts": rows}
        if probe:
            fields["probes"] = [probe_fields(each) for each in probes]
        click.echo(json.dumps(fields, indent=2, ensure_ascii=False))
    else:
        if absent:
            click.echo(f"{absent}; this is what is configured", err=True)
        for row in rows:
            bot = f" as @{row['bot']}" if row["bot"] else ""
            detail = row["problem"] or row["detail"]
            click.echo(f"{row['account']}: {row['state']}{bot}, {row['baseUrl']}" + (f": {detail}" if detail else ""))
        for line in probe_lines(probes):
            click.echo(line)
    # One that stands by is another process's to serve, and one that is configured has no gateway to be live in.
    has_problem = any(row["problem"] or row["state"] not in ("live", "standby", "configured") for row in rows)
    sys.exit(EX_FAILED if has_problem or any(each.problem for each in probes) else 0)


@command.command(epilog=EXIT_CODES)
@click.argument("entries", nargs=-1, required=True)
@click.option(
    "--kind",
    type=click.Choice(["auto", "user", "group", "channel"]),
    default="auto",
    show_default=True,
    help="What a bare name is; auto takes it for a channel's.",
)
@shared_options
def resolve(
    entries: tuple[str, ...], kind: str, config_path: str | None, account: str | None, *, as_json: bool
) -> None:
    """What each of ENTRIES (#name, @username, team/name, an id) is on the server: its id, for configuration files."""

    async def main(loaded: "Loaded") -> int:
        from oc_trio.runtime.account.outbound_client import dependencies_for, open_outbound_client, pick_account

        chosen = pick_account(loaded, account)
        async with open_outbound_client(loaded, chosen, await dependencies_for(chosen)) as outbound:
            rows = [await _resolved(outbound, entry, kind) for entry in entries]
        if as_json:
            click.echo(json.dumps({"account": chosen.id, "entries": rows}, indent=2, ensure_ascii=False))
        else:
            for row in rows:
                result = f"{row['kind']}:{row['id']}  {row['name']}" if row["resolved"] else row["problem"]
                click.echo(harmless(f"{row['input']}  ->  {result}"), err=not row["resolved"])
        return 0 if all(row["resolved"] for row in rows) else EX_FAILED

    run(config_path, main)


@command.command("logs")
@config_option
@_json
@click.option("--lines", default=200, show_default=True, type=click.IntRange(1, 1000), help="Lines at most.")
def logs(config_path: str | None, lines: int, *, as_json: bool) -> None:
    """As `oc-trio logs --limit LINES`."""
    print_log(config_path, limit=lines, as_json=as_json)


def probed(config_path: str | None, account: str | None, *, seconds: float = 15.0) -> "tuple[Probe, ...]":
    """What each account's server says now; a wrong configuration ends the command with 78."""
    import os

    import trio

    from oc_trio.cli.exits import EX_CONFIG
    from oc_trio.config.accounts import normalize_account_id
    from oc_trio.config.load import load
    from oc_trio.errors import ConfigError
    from oc_trio.runtime.operator.probe import probe_accounts

    only = normalize_account_id(account) if account else None

    async def main() -> "tuple[Probe, ...]":
        return await probe_accounts(loaded, only, seconds=seconds)

    try:
        loaded = load(config_path, os.environ, isolate=True)
    except ConfigError as error:
        click.echo(f"oc-trio: {error}", err=True)
        sys.exit(EX_CONFIG)
    return trio.run(main)


def probe_fields(probe: "Probe") -> dict[str, Any]:
    """A probe for JSON."""
    return {
        "account": probe.account,
        "baseUrl": probe.base_url,
        "ok": not probe.problem,
        "bot": probe.bot,
        "problem": probe.problem,
    }


def probe_lines(probes: "Sequence[Probe]") -> list[str]:
    """Probes for people."""
    return [
        f"  probe of {each.account}: {each.problem or f'{each.base_url} takes the token of @{each.bot}'}"
        for each in probes
    ]


def _configured(config_path: str | None) -> list[dict[str, Any]]:
    from oc_trio.cli.admin_socket import load_unconnected

    loaded = load_unconnected(config_path)
    rows = [{"account": name, "baseUrl": each.base_url, "problem": ""} for name, each in loaded.accounts.items()]
    rows += [
        {"account": name, "baseUrl": "", "problem": "; ".join(map(str, problems))}
        for name, problems in loaded.broken.items()
    ]
    return rows


async def _resolved(outbound: "OutboundClient", entry: str, kind: str) -> dict[str, Any]:
    from oc_trio.errors import MattermostRejected, TargetError

    try:
        place = await outbound.targets.resolve(_target(entry, kind))
    except (TargetError, MattermostRejected) as problem:
        return {"input": entry, "resolved": False, "kind": "", "id": "", "name": "", "problem": str(problem)}
    resolved_kind, identity = _kind(place)
    return {"input": entry, "resolved": True, "kind": resolved_kind, "id": identity, "name": str(place), "problem": ""}


def _target(entry: str, kind: str) -> str:
    """An entry as a target: with a kind, a name or an id without a mark of its own is one of that kind."""
    from oc_trio.ids import is_mattermost_id

    # A prefix, a qualified name or a kind of its own says more than `--kind`.
    if kind == "auto" or entry.startswith(("@", "#", "~")) or ":" in entry or "/" in entry:
        return entry
    if kind == "user":
        return f"user:{entry}" if is_mattermost_id(entry) else f"@{entry}"
    return f"channel:{entry}"


def _kind(place: "Place") -> tuple[str, str]:
    from oc_trio.core.events import ChannelType

    if place.user is not None:
        return "user", place.user_id
    is_group = place.channel is not None and place.channel.type in (ChannelType.PRIVATE, ChannelType.GROUP)
    return "group" if is_group else "channel", place.channel_id
