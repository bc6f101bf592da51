"""`oc-trio pairing`: lists, approves and revokes access to direct messages with the bot."""

import sys
from typing import TYPE_CHECKING, Any

import click

from oc_trio.cli.exits import EX_UNAVAILABLE
from oc_trio.cli.journal import (
    EXIT_CODES,
    account_id,
    fail,
    now_ms,
    print_json,
    print_table,
    shared_options,
    when,
    with_journal,
)
from oc_trio.cli.pairing_grant import allow, import_
from oc_trio.cli.spellings import SpelledGroup

if TYPE_CHECKING:
    from oc_trio.config.load import Loaded
    from oc_trio.store.pairing import PairingRow
    from oc_trio.store.store import Store


def _last_word(_ctx: click.Context, _parameter: click.Parameter, words: tuple[str, ...]) -> str:
    """What follows the platform, which may be left out: there is only one. Raises UsageError."""
    *platform, word = words
    if len(platform) > 1:
        raise click.UsageError(
            f"One code or user id is wanted, `mattermost` before it or not; these are {len(words)} words."
        )
    if platform and platform[0].lower() != "mattermost":
        raise click.BadParameter(f"oc-trio speaks to Mattermost only, not to {platform[0]!r}.")
    return word


_code = click.argument("code", nargs=-1, required=True, metavar="[mattermost] CODE", callback=_last_word)
_user = click.argument("user", nargs=-1, required=True, metavar="[mattermost] USER_ID", callback=_last_word)
_maybe_platform = click.argument("platform", type=click.Choice(["mattermost"]), required=False, expose_value=False)


@click.group(name="pairing", cls=SpelledGroup)
def command() -> None:
    """Let people in who asked to write to the bot directly. Takes effect at once in a running gateway."""


command.add_command(allow)
command.add_command(import_)


@command.command("list", epilog=EXIT_CODES)
@_maybe_platform
@shared_options
@click.option("--approved", is_flag=True, help="Those who were let in, instead of those who wait.")
def list_(config_path: str | None, account: str | None, *, as_json: bool, approved: bool) -> None:
    """Requests that wait for an answer; each is void after an hour."""

    async def read(store: "Store", _loaded: "Loaded") -> "tuple[PairingRow, ...]":
        only = account_id(account)
        return await store.pairing.approvals(only) if approved else await store.pairing.pending(only, now_ms())

    rows = with_journal(config_path, read)
    if as_json:
        print_json([_plain(row) for row in rows])
    elif not rows:
        click.echo("nobody was let in yet" if approved else "nobody is waiting")
    elif approved:
        print_table(
            ("ACCOUNT", "USER", "USER ID", "SINCE (UTC)"),
            [(row.account, f"@{row.name}", row.user_id, when(row.approved_at)) for row in rows],
        )
    else:
        print_table(
            ("CODE", "ACCOUNT", "USER", "USER ID", "EXPIRES (UTC)"),
            [(row.code, row.account, f"@{row.name}", row.user_id, when(row.expires_at)) for row in rows],
        )


@command.command(epilog=EXIT_CODES)
@_code
@shared_options
@click.option("--notify", is_flag=True, help="Tell the person, in their direct messages.")
def approve(code: str, config_path: str | None, account: str | None, *, as_json: bool, notify: bool) -> None:
    """Let in whoever was given CODE: for direct messages only, and until it is revoked.

    With --notify exit code 69 means: let in, but could not be told.
    """
    from oc_trio.runtime.account import pairing_decision

    async def work(store: "Store", loaded: "Loaded") -> "pairing_decision.Approval | None":
        return await pairing_decision.approve(store, loaded, account_id(account), code, now_ms(), notify=notify)

    approval = with_journal(config_path, work, connect=notify)
    if approval is None:
        fail(f"no request with the code {code} is waiting{_which(account)}")
        return
    row = approval.row
    if as_json:
        print_json({**_plain(row), "notified": notify and not approval.problem})
    else:
        click.echo(f"@{row.name} ({row.user_id}) may write to account {row.account} now")
    # The approval stands: only the message to the person failed.
    if approval.problem:
        click.echo(f"oc-trio: they could not be told: {approval.problem}", err=True)
        sys.exit(EX_UNAVAILABLE)


@command.command(epilog=EXIT_CODES)
@_code
@shared_options
def reject(code: str, config_path: str | None, account: str | None, *, as_json: bool) -> None:
    """Refuse the request with CODE; its sender may ask again."""
    from oc_trio.runtime.account.pairing_decision import dismiss

    row = with_journal(config_path, lambda store, _loaded: dismiss(store, account_id(account), code))
    if row is None:
        fail(f"no request with the code {code} is waiting{_which(account)}")
    elif as_json:
        print_json(_plain(row))
    else:
        click.echo(f"@{row.name} ({row.user_id}) was not let in")


@command.command(epilog=EXIT_CODES)
@_user
@shared_options
def revoke(user: str, config_path: str | None, account: str | None, *, as_json: bool) -> None:
    """Take back what USER, a user id, was granted; in every account unless --account names one."""

    async def work(store: "Store", _loaded: "Loaded") -> "list[PairingRow]":
        # Only what was granted here: an entry of `allowFrom` is the configuration's.
        granted = [row for row in await store.pairing.approvals(account_id(account)) if row.user_id == user]
        return [row for row in granted if await store.pairing.revoke(row.account, row.user_id)]

    rows = with_journal(config_path, work)
    if not rows:
        fail(f"{user} was not let in{_which(account)}; see oc-trio pairing list --approved")
    elif as_json:
        print_json([_plain(row) for row in rows])
    else:
        click.echo(f"{user} may no longer write to account {', '.join(row.account for row in rows)}")


def _which(account: str | None) -> str:
    return f" for account {account}" if account else ""


def _plain(row: "PairingRow") -> dict[str, Any]:
    from attrs import asdict

    return asdict(row)
