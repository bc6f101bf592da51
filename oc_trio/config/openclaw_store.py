"""Reads API keys and secrets that OpenClaw stores in its own database, `state/openclaw.sqlite`.

It is opened read-only, as OpenClaw may be running. Older releases keep the keys in `auth-profiles.json` of the agent.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from oc_trio.classes import frozen
from oc_trio.config.paths import is_file

_PROFILES = "SELECT value_json FROM config_machine_state WHERE state_key = 'authProfiles.store'"
_STORED = (
    "SELECT value FROM secret_store_entries "
    "WHERE scope_kind = 'team' AND scope_id = '' AND name = ? AND deleted_at_ms IS NULL"
)


class StoreUnreadable(Exception):
    """OpenClaw's database exists but can't be read; str() says why."""


@frozen
class OpenClawStore:
    """`folder` is OpenClaw's own, such as `~/.openclaw`."""

    folder: Path

    @property
    def database(self) -> Path:
        return self.folder / "state" / "openclaw.sqlite"

    def secret(self, name: str) -> str | None:
        """A secret of the store; None if there is none of that name. Raises StoreUnreadable."""
        return self._first(_STORED, name)

    def keys(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """The API key of each provider, as text or as a reference. Logins by subscription are left out.

        `order` is `auth.order`: of several profiles of a provider the first that it names counts, else the one that is
        called `default`, else the first. Raises StoreUnreadable.
        """
        by_provider: dict[str, dict[str, Any]] = {}
        for name, profile in self._profiles().items():
            if isinstance(profile, Mapping) and profile.get("type") == "api_key":
                key = profile.get("key") or profile.get("keyRef")
                if key:
                    by_provider.setdefault(str(profile.get("provider")), {})[name] = key
        keys = {}
        for provider, profiles in by_provider.items():
            preferred = order.get(provider)
            candidates = [*(preferred if isinstance(preferred, list) else ()), f"{provider}:default", *profiles]
            keys[provider] = next(profiles[name] for name in candidates if name in profiles)
        return keys

    def _profiles(self) -> dict[str, Any]:
        profiles: dict[str, Any] = {}
        for text in (*self._older(), self._first(_PROFILES)):
            try:
                listed = json.loads(text).get("profiles") if text else None
            except (ValueError, AttributeError):
                continue
            profiles.update(listed if isinstance(listed, dict) else {})
        return profiles

    def _older(self) -> Iterator[str]:
        # In reverse, since of a profile with one name in several files the one that is read last counts: the first
        # agent's.
        for file in sorted(self.folder.glob("agents/*/agent/auth-profiles.json"), reverse=True):
            try:
                yield file.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                continue

    def _first(self, query: str, *values: str) -> str | None:
        """The first column of the first row of a query."""
        if not is_file(self.database):
            return None
        uri = f"file:{quote(str(self.database))}?mode=ro"
        try:
            # OpenClaw holds its lock for milliseconds when it writes.
            with closing(sqlite3.connect(uri, uri=True, timeout=2.0)) as connection:
                row = connection.execute(query, values).fetchone()
        except sqlite3.Error as error:
            # An older release of OpenClaw, which did not keep this here.
            if "no such table" in str(error):
                return None
            raise StoreUnreadable(f"{self.database} can't be read: {error}") from None
        return str(row[0]) if row else None
