"""`oc-trio sessions`: lists, shows and resets the conversations in the journal, stops those that are running."""

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from oc_trio.cli.edge import harmless
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
from oc_trio.cli.spellings import SpelledGroup, refuse_before

if TYPE_CHECKING:
    from oc_trio.config.load import Loaded
    from oc_trio.core.turn_events import Usage
    from oc_trio.store.sessions import SessionRow
    from oc_trio.store.store import Store

# Bounds what is read of a conversation that was never reset.
_ENTRIES = 1000


_limit_option = click.option(
    "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="How many, latest first."
)


@click.group(name="sessions", cls=SpelledGroup, invoke_without_command=True)
@shared_options
@_limit_option
@click.pass_context
def command(ctx: click.Context, config_path: str | None, account: str | None, limit: int, *, as_json: bool) -> None:
    """List, show, reset or stop conversations. Works beside a running gateway. Without a command it lists."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_, config_path=config_path, account=account, limit=limit, as_json=as_json)
    refuse_before(ctx, config=config_path, account=account, json=as_json)


@command.command("list", epilog=EXIT_CODES)
@shared_options
@_limit_option
def list_(config_path: str | None, account: str | None, limit: int, *, as_json: bool) -> None:
    """Conversations, the latest first."""
    rows = with_journal(config_path, lambda store, _loaded: store.sessions.list(account_id(account)))[:limit]
    if as_json:
        print_json([_plain(row) for row in rows])
    elif rows:
        print_table(
            ("LAST USED (UTC)", "ACCOUNT", "AGENT", "SESSION"),
            [(when(row.last_at), row.account, row.agent, row.key) for row in rows],
        )
    else:
        click.echo("there are no conversations yet")


@command.command(epilog=EXIT_CODES)
@click.argument("key")
@shared_options
def show(key: str, config_path: str | None, account: str | None, *, as_json: bool) -> None:
    """What was said in the conversation KEY since it was last reset, and the tokens that it has used."""

    from oc_trio.store.damage import reading

    async def read(store: "Store", _loaded: "Loaded") -> "tuple[SessionRow, list[Any], tuple[Usage, ...]] | None":
        row = await _find(store, key, account)
        if row is None:
            return None
        entries = await store.transcripts.load(row.key, _ENTRIES)
        with reading("transcripts", f"session {row.key}"):
            transcript = [json.loads(entry) for entry in entries]
        return row, transcript, await store.usage.of_session(row.key)

    session = with_journal(config_path, read)
    if session is None:
        fail(f"there is no conversation {key}")
        return
    row, transcript, usage = session
    if as_json:
        from attrs import asdict

        print_json({**_plain(row), "entries": transcript, "usage": [asdict(used) for used in usage]})
        return
    click.echo(f"{row.key}: agent {row.agent}, account {row.account}, last used {when(row.last_at)} UTC")
    for used in usage:
        model = used.model or "a model without a name"
        click.echo(f"tokens: {used.input_tokens} read, {used.output_tokens} written by {model}")
    for entry in transcript:
        calls = "".join(f" [calls {call['name']}]" for call in entry.get("calls", ()))
        click.echo(harmless(f"{entry['role']}: {entry['text']}{calls}"))


@command.command(epilog=EXIT_CODES)
@click.argument("key")
@shared_options
def reset(key: str, config_path: str | None, account: str | None, *, as_json: bool) -> None:
    """Begin the conversation KEY anew, as /new does; its next message starts without history."""

    async def work(store: "Store", _loaded: "Loaded") -> int:
        row = await _find(store, key, account)
        return await store.sessions.reset(row.key, now_ms()) if row else 0

    generation = with_journal(config_path, work)
    if not generation:
        fail(f"there is no conversation {key}")
    elif as_json:
        print_json({"key": key.lower(), "generation": generation})
    else:
        click.echo(f"{key} starts anew")


@command.command()
@click.argument("key")
@shared_options
def stop(key: str, config_path: str | None, account: str | None, *, as_json: bool) -> None:
    """Stop the answer that the running gateway writes in the conversation KEY, and drop what waits, as /stop does.

    With a journal that several gateways share, it may be another machine's.

    Exit codes: 0 stopped, 1 nothing is running there, 69 no gateway is running, 77 its socket is another user's, 78
    the configuration is wrong.
    """
    from oc_trio.cli.admin_socket import NoAnswerError, act, load_unconnected
    from oc_trio.runtime.process.locations import admin_socket

    # Session keys are lower case.
    fields, loaded = (
        {"session": key.strip().lower(), "account": account_id(account) or ""},
        load_unconnected(config_path),
    )
    try:
        is_done, text = act(admin_socket(loaded), "stop", fields)
    except NoAnswerError as refusal:
        stopped = _stop_elsewhere(config_path, loaded, fields) if refusal.exit_code == EX_UNAVAILABLE else None
        if stopped is None:
            click.echo(f"oc-trio: {refusal}", err=True)
            sys.exit(refusal.exit_code)
        is_done, text = stopped
    if not is_done:
        fail(text)
    elif as_json:
        print_json({"key": fields["session"], "stopped": True})
    else:
        click.echo(harmless(text))


def _stop_elsewhere(config_path: str | None, loaded: "Loaded", fields: dict[str, str]) -> tuple[bool, str] | None:
    """What gateways on other machines make of it; None where there is none."""
    from oc_trio.cli.other_hosts import shares_journal
    from oc_trio.ids import SessionKey
    from oc_trio.runtime.operator.stop_session import stop_by_journal

    if not shares_journal(loaded):
        return None
    session, account = SessionKey(fields["session"]), account_id(fields["account"])
    return with_journal(config_path, lambda store, _loaded: stop_by_journal(store, session, account))


async def _find(store: "Store", key: str, account: str | None) -> "SessionRow | None":
    from oc_trio.ids import SessionKey

    row = await store.sessions.get(SessionKey(key.strip().lower()))
    return row if row and account_id(account) in (None, row.account) else None


def _plain(row: "SessionRow") -> dict[str, Any]:
    from attrs import asdict

    return {**asdict(row), "settings": json.loads(row.settings)}
