"""`oc-trio pairing allow | import`: letting people in who have no code, one by one or as OpenClaw had them."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from oc_trio.cli.edge import harmless
from oc_trio.cli.exits import EX_FAILED, EX_PARTIAL
from oc_trio.cli.journal import EXIT_CODES, account_id, fail, now_ms, print_json, shared_options, with_journal
from oc_trio.config.paths import expanded

if TYPE_CHECKING:
    from oc_trio.config.load import Loaded
    from oc_trio.runtime.operator.grant_pairing import Grant
    from oc_trio.store.openclaw_pairing import ApprovedEntry
    from oc_trio.store.store import Store

_dry_run = click.option("--dry-run", is_flag=True, help="Say what would be done; change nothing.")


@click.command(epilog=EXIT_CODES)
@click.argument("user", metavar="USER_ID|@NAME")
@shared_options
@_dry_run
def allow(user: str, config_path: str | None, account: str | None, *, as_json: bool, dry_run: bool) -> None:
    """Let USER write to the bot directly, without a code; the default account's without --account.

    Who that is, the server is asked: 69 means that it can't be reached, and nothing was done.
    """
    # The spellings of an entry of allowFrom.
    entry = user.strip().lower().removeprefix("mattermost:").removeprefix("user:").removeprefix("@")

    async def work(store: "Store", loaded: "Loaded") -> "tuple[Grant, ...]":
        from oc_trio.runtime.account.outbound_client import pick_account
        from oc_trio.runtime.operator.grant_pairing import grant, look_up

        people = await look_up(loaded, pick_account(loaded, account), [entry])
        return await grant(store, people, now_ms(), dry_run=dry_run)

    (done,) = with_journal(config_path, work, connect=True, create=True, dry_run=dry_run)
    if done.problem:
        fail(done.problem)
    elif as_json:
        print_json({**_plain(done), "dryRun": dry_run})
    else:
        click.echo(_sentence(done, dry_run=dry_run))


@click.command("import", epilog=EXIT_CODES)
@click.argument("path", type=click.Path(path_type=Path))
@shared_options
@_dry_run
def import_(path: Path, config_path: str | None, account: str | None, *, as_json: bool, dry_run: bool) -> None:
    """Let in whom OpenClaw let in: PATH is its folder (~/.openclaw), its state/openclaw.sqlite, or an allowFrom file.

    Each person stays with the account that approved them; with --account only that one's. Nothing of OpenClaw's is
    changed. Exit code 3: some were not let in, and are named; 69: a server can't be reached, and nothing was done.
    """
    from oc_trio.store.openclaw_pairing import UnreadableState, read_approvals

    try:
        entries = read_approvals(expanded(path))
    except UnreadableState as problem:
        fail(str(problem))
        return
    wanted = account_id(account)

    async def work(store: "Store", loaded: "Loaded") -> "tuple[Grant, ...]":
        from oc_trio.runtime.operator.grant_pairing import grant

        people = await _people(loaded, [each for each in entries if wanted in (None, _account_of(each))])
        return await grant(store, people, now_ms(), dry_run=dry_run)

    done = with_journal(config_path, work, connect=True, create=True, dry_run=dry_run)
    if as_json:
        print_json({"dryRun": dry_run, "people": [_plain(one) for one in done]})
    elif not done:
        click.echo("nobody was let in there" + (f" for account {wanted}" if wanted else ""))
    for one in () if as_json else done:
        if one.problem:
            click.echo(harmless(f"oc-trio: account {one.account}: {one.problem}"), err=True)
        else:
            click.echo(_sentence(one, dry_run=dry_run))
    failed = sum(bool(one.problem) for one in done)
    sys.exit(0 if not failed else EX_FAILED if failed == len(done) else EX_PARTIAL)


async def _people(loaded: "Loaded", entries: "Sequence[ApprovedEntry]") -> "list[Grant]":
    """Who the entries are, account by account. Raises MattermostError."""
    from oc_trio.ids import AccountId, UserId
    from oc_trio.runtime.operator.grant_pairing import Grant, look_up

    people: list[Grant] = []
    for name in dict.fromkeys(_account_of(each) for each in entries):
        users = [each.user for each in entries if _account_of(each) == name]
        if name in loaded.accounts:
            # One client for all people of an account: each opens a connection and asks who the bot is.
            people += await look_up(loaded, loaded.accounts[AccountId(name)], [user for user in users if user != "*"])
        else:
            problem = "there is no such account here, or it can't run: configure it, and import again"
            people += [Grant(AccountId(name), UserId(user), problem=f"{user}: {problem}") for user in users]
        if "*" in users and name in loaded.accounts:
            # Opening the bot to everybody is a decision of its own, not something to import along the way.
            problem = '* (everybody) is no person: write dmPolicy = "open" and allowFrom = ["*"] if you mean it'
            people.append(Grant(AccountId(name), UserId("*"), problem=problem))
    return people


def _account_of(entry: "ApprovedEntry") -> str:
    from oc_trio.config.accounts import normalize_account_id

    return normalize_account_id(entry.account)


def _sentence(one: "Grant", *, dry_run: bool) -> str:
    who = f"@{one.name} ({one.user_id})"
    if not one.is_new:
        return f"{who} may write to account {one.account} already"
    return f"{who} {'would be let in to' if dry_run else 'may write to'} account {one.account}" + (
        "" if dry_run else " now"
    )


def _plain(one: "Grant") -> dict[str, Any]:
    state = "refused" if one.problem else "new" if one.is_new else "known"
    return {"account": one.account, "userId": one.user_id, "name": one.name, "state": state, "problem": one.problem}
