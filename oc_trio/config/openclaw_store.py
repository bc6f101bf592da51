"""What OpenClaw keeps beside its file and the file refers to: API keys of its logins, and its own store of secrets.

Both are in `state/openclaw.sqlite` (older releases: `auth-profiles.json` of the agent), which is opened read-only.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from attrs import frozen

_PROFILES = "SELECT value_json FROM config_machine_state WHERE state_key = 'authProfiles.store'"
_STORED = (
    "SELECT value FROM secret_store_entries "
    "WHERE scope_kind = 'team' AND scope_id = '' AND name = ? AND deleted_at_ms IS NULL"
)


class StoreUnreadable(Exception):
    """OpenClaw's database is there and can't be read; str() says why."""


@frozen
class OpenClawStore:
    """`folder` is OpenClaw's own, such as `~/.openclaw`."""

    folder: Path

    @property
    def database(self) -> Path:
        return self.folder / "state" / "openclaw.sqlite"

    def secret(self, name: str) -> str | None:
        """A value of the store, None where it has none. Raises StoreUnreadable."""
        return self._first(_STORED, name)

    def keys(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """The API key of each provider, as text or as a reference. Logins by subscription are left out.

        `order` is `auth.order`: of several profiles of a provider the first that it names counts, else the one that is
        called `default`, else the first. Raises StoreUnreadable.
        """
        found: dict[str, dict[str, Any]] = {}
        for name, profile in self._profiles().items():
            if isinstance(profile, Mapping) and profile.get("type") == "api_key":
                key = profile.get("key") or profile.get("keyRef")
                if key:
                    found.setdefault(str(profile.get("provider")), {})[name] = key
        made = {}
        for provider, profiles in found.items():
            listed = order.get(provider)
            wanted = [*(listed if isinstance(listed, list) else ()), f"{provider}:default", *profiles]
            made[provider] = next(profiles[name] for name in wanted if name in profiles)
        return made

    def _profiles(self) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for text in (*self._older(), self._first(_PROFILES)):
            try:
                listed = json.loads(text).get("profiles") if text else None
            except (ValueError, AttributeError):
                continue
            made.update(listed if isinstance(listed, dict) else {})
        return made

    def _older(self) -> Iterator[str]:
        for file in sorted(self.folder.glob("agents/*/agent/auth-profiles.json"), reverse=True):
            try:
                yield file.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                continue

    def _first(self, query: str, *values: str) -> str | None:
        """The only text that a query finds."""
        if not self.database.is_file():
            return None
        place = f"file:{quote(str(self.database))}?mode=ro"
        try:
            with closing(sqlite3.connect(place, uri=True, timeout=2.0)) as connection:
                row = connection.execute(query, values).fetchone()
        except sqlite3.Error as broken:
            if "no such table" in str(broken):
                return None
            raise StoreUnreadable(f"{self.database} can't be read: {broken}") from None
        return str(row[0]) if row else None
