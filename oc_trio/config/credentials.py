"""Reads the token and the server address of each account: from the file, the environment or systemd."""

from collections.abc import Mapping
from pathlib import Path

from oc_trio.config.accounts import DEFAULT_ACCOUNT, Account, AccountTable, BadUrl, normalize_base_url
from oc_trio.config.fields import own_keys
from oc_trio.config.mattermost import AccountSettings
from oc_trio.config.parse import Invalid, Reader, join, strict
from oc_trio.config.secret_keys import read_file_key, resolver, unread_secret
from oc_trio.config.secrets import (
    Secret,
    SecretForm,
    SecretRef,
    SecretSource,
    SecretUnavailable,
    find_credential,
    read_secret,
)
from oc_trio.errors import Problem

TOKEN_VARIABLE = "MATTERMOST_BOT_TOKEN"  # noqa: S105 (its name, not its value)
URL_VARIABLE = "MATTERMOST_URL"
CREDENTIAL = "bot-token"


def complete_account(
    table: AccountTable, env: Mapping[str, str], folder: Path, *, connect: bool = True
) -> tuple[Account, list[Problem]]:
    """The account of a merged table, with token and base URL, and the problems of these two.

    Problems of the table's other values were reported when the whole file was read, so here they are dropped. A
    disabled account, or `connect` false, needs neither token nor server. Relative paths start at `folder`.
    """
    problems: list[Problem] = []
    settings: AccountSettings = Reader(unread_secret, strict).table(AccountSettings, table.merged, table.path)
    values = {entry.attribute: getattr(settings, entry.attribute) for entry in own_keys(AccountSettings)}
    if settings.enabled and connect:
        try:
            values["bot_token"] = _token(table, env, folder)
        except Invalid as error:
            problems.append(error.problem)
        try:
            values["base_url"] = _base_url(table, settings.base_url, env)
        except Invalid as error:
            problems.append(error.problem)
    return Account(id=table.id, **values), problems


def has_default_account(document: Mapping[str, object], env: Mapping[str, str]) -> bool:
    """Whether the root section, completed by the environment, is an account besides the named ones."""
    channels = document.get("channels")
    section = channels.get("mattermost") if isinstance(channels, Mapping) else None
    root = section if isinstance(section, Mapping) else {}
    token = root.get("botToken") or root.get("botTokenFile") or env.get(TOKEN_VARIABLE)
    return bool((root.get("baseUrl") or env.get(URL_VARIABLE)) and (token or find_credential(CREDENTIAL, env)))


def _token(table: AccountTable, env: Mapping[str, str], folder: Path) -> Secret:
    inline, file = table.merged.get("botToken"), table.merged.get("botTokenFile")
    if inline and file:
        raise Invalid(Problem(table.origin("botTokenFile"), "is set beside botToken", "keep one of them"))
    if inline:
        return resolver(env, folder)(inline, table.origin("botToken"), SecretForm.TOKEN)
    if file:
        return read_file_key(str(file), table.origin("botTokenFile"), env, folder)
    # The environment and the credential without an id belong to the default account alone: with them for all accounts,
    # two would run as the same bot.
    ref = find_credential(f"{CREDENTIAL}.{table.id}", env)
    if ref is None and table.id == DEFAULT_ACCOUNT:
        ref = find_credential(CREDENTIAL, env)
        if ref is None and env.get(TOKEN_VARIABLE, "").strip():
            ref = SecretRef(SecretSource.ENV, TOKEN_VARIABLE)
    where = join(table.path, "botToken")
    if ref is None:
        alternative = _variable(TOKEN_VARIABLE, table, env)
        raise Invalid(Problem(where, "is missing", f"set it, or botTokenFile{alternative}"))
    try:
        return read_secret(ref, env)
    except SecretUnavailable as error:
        raise Invalid(Problem(where, str(error))) from None


def _variable(name: str, table: AccountTable, env: Mapping[str, str]) -> str:
    """What a hint says about the environment variable `name` where the key is missing."""
    if table.id == DEFAULT_ACCOUNT:
        return f", or the environment variable {name}"
    return f"; {name} is for the default account only" if env.get(name, "").strip() else ""


def _base_url(table: AccountTable, value: str, env: Mapping[str, str]) -> str:
    where = table.origin("baseUrl")
    if not value.strip() and table.id == DEFAULT_ACCOUNT and env.get(URL_VARIABLE, "").strip():
        value, where = env[URL_VARIABLE], URL_VARIABLE
    if not value.strip():
        alternative = _variable(URL_VARIABLE, table, env)
        raise Invalid(Problem(where, "is missing", f'write baseUrl = "https://chat.example.com"{alternative}'))
    try:
        return normalize_base_url(value)
    except BadUrl as error:
        raise Invalid(Problem(where, str(error), "such as https://chat.example.com")) from None
