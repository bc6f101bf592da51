"""What makes an account able to connect: its token and its server, from file, environment or systemd."""

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
    """The account that a merged table describes, with token and base URL, and the problems met.

    The table's own values were checked before; here they are read again without noting anything twice. A disabled
    account, or `connect` false, needs neither token nor server. Relative paths start at `folder`.
    """
    problems: list[Problem] = []
    settings: AccountSettings = Reader(unread_secret, strict).table(AccountSettings, table.merged, table.path)
    values = {entry.attribute: getattr(settings, entry.attribute) for entry in own_keys(AccountSettings)}
    if settings.enabled and connect:
        try:
            values["bot_token"] = _token(table, env, folder)
        except Invalid as missing:
            problems.append(missing.problem)
        try:
            values["base_url"] = _base_url(table, settings.base_url, env)
        except Invalid as missing:
            problems.append(missing.problem)
    return Account(id=table.id, **values), problems


def describes_default(document: Mapping[str, object], env: Mapping[str, str]) -> bool:
    """Whether the root section, with the environment, is an account of its own beside named ones."""
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
    ref = find_credential(f"{CREDENTIAL}.{table.id}", env)
    if ref is None and table.id == DEFAULT_ACCOUNT:
        ref = find_credential(CREDENTIAL, env)
        if ref is None and env.get(TOKEN_VARIABLE, "").strip():
            ref = SecretRef(SecretSource.ENV, TOKEN_VARIABLE)
    where = join(table.path, "botToken")
    if ref is None:
        also = f", or the environment variable {TOKEN_VARIABLE}" if table.id == DEFAULT_ACCOUNT else ""
        raise Invalid(Problem(where, "is missing", f"set it, or botTokenFile{also}"))
    try:
        return read_secret(ref, env)
    except SecretUnavailable as missing:
        raise Invalid(Problem(where, str(missing))) from None


def _base_url(table: AccountTable, written: str, env: Mapping[str, str]) -> str:
    where = table.origin("baseUrl")
    if not written.strip() and table.id == DEFAULT_ACCOUNT and env.get(URL_VARIABLE, "").strip():
        written, where = env[URL_VARIABLE], URL_VARIABLE
    if not written.strip():
        also = f", or the environment variable {URL_VARIABLE}" if table.id == DEFAULT_ACCOUNT else ""
        raise Invalid(Problem(where, "is missing", f'write baseUrl = "https://chat.example.com"{also}'))
    try:
        return normalize_base_url(written)
    except BadUrl as wrong:
        raise Invalid(Problem(where, str(wrong), "such as https://chat.example.com")) from None
