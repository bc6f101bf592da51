"""From `channels.mattermost` to one complete account each: inheritance, ids, base URL. Pure; secrets are `load`'s.

Unlike OpenClaw's, an account inherits everything that it doesn't say itself, policies and single fields of nested
tables included.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from attrs import frozen

from oc_trio.config.fields import key
from oc_trio.config.mattermost import AccountSettings
from oc_trio.config.parse import join
from oc_trio.ids import AccountId

ROOT = "channels.mattermost"
DEFAULT_ACCOUNT = AccountId("default")
_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
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


def normalize_account_id(written: str) -> AccountId:
    """Lower case; runs of other characters become one `-`; at most 64 characters; blank is `default`."""
    lowered = written.strip().lower()
    if _ID.fullmatch(lowered) and lowered not in _NAMELESS:
        return AccountId(lowered)
    made = re.sub(r"[^a-z0-9_-]+", "-", lowered).strip("-")[:64]
    return DEFAULT_ACCOUNT if made in _NAMELESS else AccountId(made)


def normalize_base_url(written: str) -> str:
    """Without trailing slashes and `/api/v4`; raises BadUrl for anything that isn't a plain http(s) address."""
    url = re.sub(r"/api/v4$", "", written.strip().rstrip("/"), flags=re.IGNORECASE).rstrip("/")
    try:
        parts = urlsplit(url)
        port_ok = parts.port is None or parts.port > 0
    except ValueError:
        raise BadUrl("is not a valid address") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port_ok or re.search(r"\s", url):
        raise BadUrl("must begin with http:// or https:// and name a host")
    if parts.username is not None or parts.password is not None:
        raise BadUrl("must not hold a user name or password")
    if parts.query or parts.fragment:
        raise BadUrl("must not hold ? or #")
    return url


def merge(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """`upper` over `lower`, field by field where both hold tables."""
    made = dict(lower)
    for name, value in upper.items():
        below = made.get(name)
        made[name] = merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return made


def account_tables(document: Mapping[str, Any], *, implicit_default: bool) -> list[AccountTable]:
    """Each account's merged keys, by id. `implicit_default` adds `default` beside named accounts."""
    section = _table(_table(document, "channels"), "mattermost")
    root = {name: value for name, value in section.items() if name not in {"accounts", "defaultAccount"}}
    base = _fallbacks(document) if "mattermost" in _table(document, "channels") else {}
    named = {str(name): value for name, value in _table(section, "accounts").items() if isinstance(value, Mapping)}
    made = [_merged(name, join(f"{ROOT}.accounts", name), base, root, own) for name, own in named.items()]
    if not made or (implicit_default and DEFAULT_ACCOUNT not in {table.id for table in made}):
        made.append(_merged(DEFAULT_ACCOUNT, ROOT, base, root, {}))
    return sorted(made, key=lambda table: table.id)


def default_account(ids: list[AccountId], wanted: str) -> AccountId:
    """`defaultAccount` where it exists, else `default`, else the first."""
    if wanted and normalize_account_id(wanted) in ids:
        return normalize_account_id(wanted)
    return DEFAULT_ACCOUNT if DEFAULT_ACCOUNT in ids or not ids else ids[0]


def _merged(
    name: str, path: str, base: Mapping[str, tuple[Any, str]], root: Mapping[str, Any], own: Mapping[str, Any]
) -> AccountTable:
    below = {key: value for key, (value, _) in base.items()}
    if "botToken" in own or "botTokenFile" in own:  # an account's own token leaves no trace of the root's
        root = {key: value for key, value in root.items() if key not in {"botToken", "botTokenFile"}}
    merged = merge(merge(below, root), own)
    if root.get("enabled") is False:
        merged["enabled"] = False
    origins = {key: where for key, (_, where) in base.items()}
    for layer, prefix in ((root, ROOT), (own, path)):
        origins.update(key_paths(layer, "", prefix))
    return AccountTable(normalize_account_id(name), path, merged, origins)


def key_paths(table: Mapping[str, Any], inner: str = "", outer: str = "") -> dict[str, str]:
    """Every path in a table as seen from `inner`, mapped to the same path as seen from `outer`."""
    made: dict[str, str] = {}
    for name, value in table.items():
        here, there = join(inner, str(name)), join(outer, str(name))
        made[here] = there
        if isinstance(value, Mapping):
            made.update(key_paths(value, here, there))
    return made


def _fallbacks(document: Mapping[str, Any]) -> dict[str, tuple[Any, str]]:
    """Keys that an account takes from elsewhere when it and the root say nothing: value and path."""
    places = {
        "groupPolicy": "channels.defaults.groupPolicy",
        "contextVisibility": "channels.defaults.contextVisibility",
        "implicitMentions": "channels.defaults.implicitMentions",
        "historyLimit": "messages.groupChat.historyLimit",
        "responsePrefix": "messages.responsePrefix",
        "mediaMaxMb": "agents.defaults.mediaMaxMb",
    }
    made: dict[str, tuple[Any, str]] = {}
    for name, place in places.items():
        *parents, last = place.split(".")
        table: Mapping[str, Any] = document
        for parent in parents:
            table = _table(table, parent)
        if last in table:
            made[name] = (table[last], place)
    return made


def _table(table: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    inner = table.get(name)
    return inner if isinstance(inner, Mapping) else {}
