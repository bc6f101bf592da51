"""Merges `channels.mattermost` into one complete table per account: inheritance, ids, base URLs.

Unlike in OpenClaw, an account inherits whatever it doesn't set, policies and single fields of nested tables included.
Pure: secrets are read by `credentials`.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from oc_trio.classes import frozen
from oc_trio.config.fields import key
from oc_trio.config.mattermost import AccountSettings
from oc_trio.config.parse import join
from oc_trio.ids import AccountId

ROOT = "channels.mattermost"
DEFAULT_ACCOUNT = AccountId("default")
_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
# Names that OpenClaw refuses as ids as well (in JavaScript they are properties of every object); they become `default`.
_NAMELESS = {"", "__proto__", "prototype", "constructor"}


@frozen
class Account(AccountSettings):
    """One account, complete: `base_url` is normalised, `bot_token` holds the token."""

    id: AccountId = key(DEFAULT_ACCOUNT, "The account's id.")


@frozen
class AccountTable:
    """An account's merged keys; `origins` maps each path below the account to the file path it came from."""

    id: AccountId
    path: str
    merged: Mapping[str, Any]
    origins: Mapping[str, str]

    def origin(self, name: str) -> str:
        """The path to name in a message about that key."""
        return self.origins.get(name, join(self.path, name))


class BadUrl(ValueError):
    """A base URL can't be used; str() says why."""


def normalize_account_id(name: str) -> AccountId:
    """Lower case; runs of other characters become one `-`; at most 64 characters; blank is `default`."""
    lowered = name.strip().lower()
    if _ID.fullmatch(lowered) and lowered not in _NAMELESS:
        return AccountId(lowered)
    slug = re.sub(r"[^a-z0-9_-]+", "-", lowered).strip("-")[:64]
    return DEFAULT_ACCOUNT if slug in _NAMELESS else AccountId(slug)


def normalize_base_url(text: str) -> str:
    """Without trailing slashes and `/api/v4`; raises BadUrl for anything that isn't a plain http(s) address."""
    # People copy the address of the API as often as that of the server.
    url = re.sub(r"/api/v4$", "", text.strip().rstrip("/"), flags=re.IGNORECASE).rstrip("/")
    try:
        parts = urlsplit(url)
        port_ok = parts.port is None or parts.port > 0
    except ValueError:
        raise BadUrl("is not a valid address") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port_ok or re.search(r"\s", url):
        raise BadUrl("must begin with http:// or https:// and name a host")
    # These would end up in logs and in error messages.
    if parts.username is not None or parts.password is not None:
        raise BadUrl("must not hold a user name or password")
    if parts.query or parts.fragment:
        raise BadUrl("must not hold ? or #")
    return url


def merge(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """`upper` over `lower`, field by field where both hold tables."""
    merged = dict(lower)
    for name, value in upper.items():
        inner = merged.get(name)
        merged[name] = merge(inner, value) if isinstance(inner, Mapping) and isinstance(value, Mapping) else value
    return merged


def account_tables(document: Mapping[str, Any], *, implicit_default: bool) -> list[AccountTable]:
    """Each account's merged keys, by id. `implicit_default` adds `default` beside named accounts."""
    section = _table(_table(document, "channels"), "mattermost")
    root = {name: value for name, value in section.items() if name not in {"accounts", "defaultAccount"}}
    base = _fallbacks(document) if "mattermost" in _table(document, "channels") else {}
    own_tables = {str(name): value for name, value in _table(section, "accounts").items() if isinstance(value, Mapping)}
    tables = [_merge_layers(name, join(f"{ROOT}.accounts", name), base, root, own) for name, own in own_tables.items()]
    if not tables or (implicit_default and DEFAULT_ACCOUNT not in {table.id for table in tables}):
        tables.append(_merge_layers(DEFAULT_ACCOUNT, ROOT, base, root, {}))
    # OpenClaw takes the first id in alphabetical order where no default is named, so the order must not be the file's.
    return sorted(tables, key=lambda table: table.id)


def default_account(ids: list[AccountId], configured: str) -> AccountId:
    """`defaultAccount` where it exists, else `default`, else the first."""
    if configured and normalize_account_id(configured) in ids:
        return normalize_account_id(configured)
    return DEFAULT_ACCOUNT if DEFAULT_ACCOUNT in ids or not ids else ids[0]


def _merge_layers(
    name: str, path: str, base: Mapping[str, tuple[Any, str]], root: Mapping[str, Any], own: Mapping[str, Any]
) -> AccountTable:
    below = {key: value for key, (value, _) in base.items()}
    # With an inherited `botTokenFile` beside its own `botToken` an account would have two tokens, which is an error.
    if "botToken" in own or "botTokenFile" in own:
        root = {key: value for key, value in root.items() if key not in {"botToken", "botTokenFile"}}
    merged = merge(merge(below, root), own)
    # Turning the channel off turns off all of its accounts, whatever they say themselves.
    if root.get("enabled") is False:
        merged["enabled"] = False
    origins = {key: where for key, (_, where) in base.items()}
    for layer, prefix in ((root, ROOT), (own, path)):
        origins.update(key_paths(layer, "", prefix))
    return AccountTable(normalize_account_id(name), path, merged, origins)


def key_paths(table: Mapping[str, Any], inner: str = "", outer: str = "") -> dict[str, str]:
    """Maps the path of every key in a table, relative to `inner`, to its path relative to `outer`."""
    paths: dict[str, str] = {}
    for name, value in table.items():
        inner_path, outer_path = join(inner, str(name)), join(outer, str(name))
        paths[inner_path] = outer_path
        if isinstance(value, Mapping):
            paths.update(key_paths(value, inner_path, outer_path))
    return paths


def _fallbacks(document: Mapping[str, Any]) -> dict[str, tuple[Any, str]]:
    """The keys that are set outside of `channels.mattermost` and hold where neither the account nor the root section
    sets them, each with its value and its path.
    """
    sources = {
        "groupPolicy": "channels.defaults.groupPolicy",
        "contextVisibility": "channels.defaults.contextVisibility",
        "implicitMentions": "channels.defaults.implicitMentions",
        "historyLimit": "messages.groupChat.historyLimit",
        "responsePrefix": "messages.responsePrefix",
        "mediaMaxMb": "agents.defaults.mediaMaxMb",
    }
    fallbacks: dict[str, tuple[Any, str]] = {}
    for name, path in sources.items():
        *parents, last = path.split(".")
        table: Mapping[str, Any] = document
        for parent in parents:
            table = _table(table, parent)
        if last in table:
            fallbacks[name] = (table[last], path)
    return fallbacks


def _table(table: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    inner = table.get(name)
    return inner if isinstance(inner, Mapping) else {}
