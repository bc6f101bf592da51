"""`oc-trio buttons`: signs button contexts in a shell. The token is never in the command line."""

import json
import os
from pathlib import Path
from typing import Any

import click

TOKEN_VARIABLE = "MATTERMOST_BOT_TOKEN"  # noqa: S105 - the name of a variable


@click.group(name="buttons")
def command() -> None:
    """Make and check signed buttons for posts of your own scripts."""


def _bot_token(token_file: Path | None, config: str | None, account: str | None) -> str:
    """The token from the given file, from a configured account, or from the environment, in this order."""
    if token_file is None and (config or account):
        return _configured_token(config, account)
    try:
        token = token_file.read_text("utf-8") if token_file else os.environ.get(TOKEN_VARIABLE, "")
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"The token file can't be read: {error}.") from None
    if not token.strip():
        where = str(token_file) if token_file else f"the variable {TOKEN_VARIABLE}"
        raise click.ClickException(f"There is no bot token in {where}.")
    return token.strip()


def _configured_token(config: str | None, account: str | None) -> str:
    from oc_trio.config.accounts import normalize_account_id
    from oc_trio.config.load import load
    from oc_trio.errors import ConfigError

    try:
        loaded = load(config, os.environ, isolate=True)
    except ConfigError as error:
        raise click.ClickException(str(error)) from None
    account_id = normalize_account_id(account) if account else loaded.default_account
    configured = loaded.accounts.get(account_id)
    if configured is None:
        raise click.ClickException(f"There is no usable account {account_id}; there is {', '.join(loaded.accounts)}.")
    return configured.bot_token.reveal()


def _read_object(argument: str) -> dict[str, Any]:
    from oc_trio.cli.edge import standard_input
    from oc_trio.core.json_body import BadJson, read_json

    try:
        value = read_json((standard_input() if argument == "-" else argument).encode())
    except BadJson as error:
        raise click.ClickException(f"CONTEXT can't be signed: it is {error}.") from None
    if not isinstance(value, dict):
        raise click.ClickException("CONTEXT must be a JSON object.")
    return value


_token_file = click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=f"File that holds the bot token; without it, {TOKEN_VARIABLE} is read.",
)
_config = click.option("--config", envvar="OC_TRIO_CONFIG", help="Configuration whose account's token is used instead.")
_account = click.option("--account", help="The account in the configuration; its default account without this.")
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@command.command()
@click.argument("context")
@_token_file
@_config
@_account
@click.option("--channel", default="", help="Bind the context to this channel id.")
@click.option("--expires-in", type=click.FloatRange(min=0, min_open=True), help="Seconds until a click is refused.")
@_json
def sign(
    context: str,
    token_file: Path | None,
    config: str | None,
    account: str | None,
    channel: str,
    expires_in: float | None,
    as_json: bool,
) -> None:
    """Sign CONTEXT, a JSON object or - for standard input, and print its _token.

    With --json the whole signed context is printed, ready for integration.context of an action. Exit codes: 0 signed,
    1 no token or bad JSON, 2 wrong usage.
    """
    import time

    from oc_trio.core.buttons import ACTION_ID, CHANNEL_ID, EXPIRES_AT
    from oc_trio.signing import sign_context

    unsigned = _read_object(context)
    if channel:
        unsigned[CHANNEL_ID] = channel
    if expires_in is not None:
        unsigned[EXPIRES_AT] = int((time.time() + expires_in) * 1000)
    action_id = unsigned.get(ACTION_ID)
    if not isinstance(action_id, str):
        click.echo(f"Note: without {ACTION_ID}, the same as the button's id, a click is refused.", err=True)
    elif not (action_id.isascii() and action_id.isalnum()):
        click.echo(
            f"Note: Mattermost answers 404 to a click on a button with the id {action_id}: letters and digits only.",
            err=True,
        )
    try:
        signed = sign_context(_bot_token(token_file, config, account), unsigned)
    except ValueError as error:
        raise click.ClickException(f"CONTEXT can't be signed: {error}.") from None
    if (channel or expires_in is not None) and not as_json:
        click.echo("Note: --channel and --expires-in are part of the context; --json prints all of it.", err=True)
    click.echo(json.dumps(signed, ensure_ascii=False) if as_json else signed["_token"])


@command.command()
@click.argument("context")
@_token_file
@_config
@_account
@_json
def verify(context: str, token_file: Path | None, config: str | None, account: str | None, as_json: bool) -> None:
    """Check the _token of CONTEXT, a JSON object or - for standard input, and say what is wrong with it.

    Exit codes: 0 it is genuine, 1 it is not.
    """
    from oc_trio.core.signing import signing_mistake
    from oc_trio.signing import verify_context

    bot_token, signed = _bot_token(token_file, config, account), _read_object(context)
    valid = verify_context(bot_token, signed)
    mistake = "" if valid else signing_mistake(bot_token, signed)
    if as_json:
        click.echo(json.dumps({"valid": valid, **({"problem": mistake} if mistake else {})}))
    else:
        click.echo("valid" if valid else f"invalid: {mistake}")
    if not valid:
        raise SystemExit(1)
