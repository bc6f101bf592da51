"""The only reader of configuration files and of the environment: one call gives everything, checked and complete.

    loaded = load(path, os.environ)      # raises ConfigError with every problem at once

Blocking (files, perhaps a password manager): call it before the event loop, or in a thread.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from attrs import field, frozen

from oc_trio.config.accounts import (
    DEFAULT_ACCOUNT,
    ROOT,
    Account,
    AccountTable,
    BadUrl,
    account_tables,
    default_account,
    normalize_base_url,
)
from oc_trio.config.fields import own_keys
from oc_trio.config.legacy import modernize
from oc_trio.config.mattermost import AccountSettings
from oc_trio.config.model import Config
from oc_trio.config.parse import Invalid, Reader, join, strict
from oc_trio.config.places import find_config, state_dir
from oc_trio.config.secret_keys import check_shape, resolver, unread_secret
from oc_trio.config.secrets import (
    Secret,
    SecretRef,
    SecretSource,
    SecretUnavailable,
    find_credential,
    read_secret,
)
from oc_trio.config.syntax import JSON_SUFFIXES, decode_json5, decode_toml
from oc_trio.errors import ConfigError, Problem
from oc_trio.ids import AccountId


@frozen
class Loaded:
    """A usable configuration. `accounts` holds every enabled account; `broken` those left out, with their problems.

    `origins` says for each path that was set where: `file:line`, an environment variable, or another path.
    """

    config: Config
    accounts: Mapping[AccountId, Account] = field(hash=False)
    default_account: AccountId
    path: Path | None
    state_dir: Path
    warnings: tuple[Problem, ...] = ()
    origins: Mapping[str, str] = field(factory=dict, hash=False)
    broken: Mapping[AccountId, tuple[Problem, ...]] = field(factory=dict, hash=False)


def load(path: str | None, env: Mapping[str, str], *, cwd: Path | None = None) -> Loaded:
    """Find, read and check the configuration; raises ConfigError with every problem."""
    here = Path.cwd() if cwd is None else cwd
    found = find_config(path, env, here)
    document = read_document(found) if found else {}
    return build(document, env, path=found, imported=found is not None and found.suffix in JSON_SUFFIXES)


def read_document(path: Path) -> dict[str, Any]:
    """The file's content as plain values; raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as broken:
        reason = os.strerror(broken.errno) if broken.errno else "unknown reason"
        raise ConfigError(Problem(str(path), f"can't be read: {reason}")) from None
    except UnicodeDecodeError:
        raise ConfigError(Problem(str(path), "is not UTF-8 text")) from None
    decode = decode_json5 if path.suffix in JSON_SUFFIXES else decode_toml
    return decode(text, str(path))


def build(
    document: Mapping[str, Any], env: Mapping[str, str], *, path: Path | None = None, imported: bool = False
) -> Loaded:
    """A configuration from plain values; raises ConfigError with every problem."""
    modern, warnings, problems = modernize(document)
    resolve = resolver(env)
    outside = Reader(
        lambda raw, where: check_shape(raw, where) if where.startswith("channels.") else resolve(raw, where),
        lenient=lambda where: imported and not where.startswith(ROOT + "."),
    )
    config: Config = outside.table(Config, modern, "")
    problems += outside.problems
    if outside.ignored:
        warnings.append(Problem(str(path or "file"), "ignored, outside oc-trio: " + ", ".join(outside.ignored)))
    accounts: dict[AccountId, Account] = {}
    if not outside.problems:
        for table in account_tables(modern, implicit_default=_has_default(modern, env)):
            account, found = complete_account(table, env, path)
            problems += found
            if account.enabled:
                accounts[account.id] = account
    if problems:
        raise ConfigError(*problems)
    return Loaded(
        config,
        MappingProxyType(accounts),
        default_account(list(accounts), config.channels.mattermost.default_account),
        path,
        state_dir(env),
        tuple(warnings),
    )


def complete_account(table: AccountTable, env: Mapping[str, str], path: Path | None) -> tuple[Account, list[Problem]]:
    """The account that a merged table describes, with its token, and what is missing."""
    problems: list[Problem] = []
    settings: AccountSettings = Reader(unread_secret, strict).table(AccountSettings, table.merged, table.path)
    values = {entry.attribute: getattr(settings, entry.attribute) for entry in own_keys(AccountSettings)}
    if settings.enabled:
        try:
            values["bot_token"] = _token(table, env, path)
        except Invalid as missing:
            problems.append(missing.problem)
        try:
            values["base_url"] = _base_url(table, settings.base_url, env)
        except Invalid as missing:
            problems.append(missing.problem)
    return Account(id=table.id, **values), problems


def _has_default(document: Mapping[str, Any], env: Mapping[str, str]) -> bool:
    """Whether the root section (with the environment) describes an account of its own."""
    channels = document.get("channels")
    section = channels.get("mattermost") if isinstance(channels, Mapping) else None
    root = section if isinstance(section, Mapping) else {}
    token = root.get("botToken") or root.get("botTokenFile") or env.get("MATTERMOST_BOT_TOKEN")
    return bool((root.get("baseUrl") or env.get("MATTERMOST_URL")) and (token or find_credential("bot-token", env)))


def _token(table: AccountTable, env: Mapping[str, str], path: Path | None) -> Secret:
    inline, file = table.merged.get("botToken"), table.merged.get("botTokenFile")
    if inline and file:
        raise Invalid(Problem(table.origin("botTokenFile"), "is set beside botToken", "keep one of them"))
    if inline:
        return resolver(env)(inline, table.origin("botToken"))
    try:
        if file:
            place = (path.parent if path else Path()) / Path(str(file)).expanduser()
            return read_secret(SecretRef(SecretSource.FILE, str(place)), env)
        ref = find_credential(f"bot-token.{table.id}", env)
        if table.id == DEFAULT_ACCOUNT:
            ref = ref or find_credential("bot-token", env)
            if ref is None and env.get("MATTERMOST_BOT_TOKEN", "").strip():
                ref = SecretRef(SecretSource.ENV, "MATTERMOST_BOT_TOKEN")
        if ref is not None:
            return read_secret(ref, env)
    except SecretUnavailable as missing:
        raise Invalid(Problem(table.origin("botTokenFile" if file else "botToken"), str(missing))) from None
    also = ", or the environment variable MATTERMOST_BOT_TOKEN" if table.id == DEFAULT_ACCOUNT else ""
    raise Invalid(Problem(join(table.path, "botToken"), "is missing", f"set it, or botTokenFile{also}"))


def _base_url(table: AccountTable, written: str, env: Mapping[str, str]) -> str:
    where = table.origin("baseUrl")
    if not written.strip() and table.id == DEFAULT_ACCOUNT and env.get("MATTERMOST_URL", "").strip():
        written, where = env["MATTERMOST_URL"], "MATTERMOST_URL"
    if not written.strip():
        also = ", or the environment variable MATTERMOST_URL" if table.id == DEFAULT_ACCOUNT else ""
        raise Invalid(Problem(where, "is missing", f'write baseUrl = "https://chat.example.com"{also}'))
    try:
        return normalize_base_url(written)
    except BadUrl as wrong:
        raise Invalid(Problem(where, str(wrong), "such as https://chat.example.com")) from None
