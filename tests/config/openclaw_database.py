"""OpenClaw's `state/openclaw.sqlite`, as far as oc-trio reads it; the tables are those of 2026.9.6."""

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

SCHEMA = """
CREATE TABLE config_machine_state (
  state_key TEXT NOT NULL PRIMARY KEY,
  value_json TEXT NOT NULL,
  updated_at_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE secret_store_entries (
  scope_kind TEXT NOT NULL CHECK (scope_kind IN ('team', 'identity')),
  scope_id TEXT NOT NULL,
  name TEXT NOT NULL,
  value TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('secret', 'env')),
  created_at_ms INTEGER NOT NULL CHECK (created_at_ms >= 0),
  updated_at_ms INTEGER NOT NULL CHECK (updated_at_ms >= 0),
  updated_by TEXT,
  deleted_at_ms INTEGER,
  allowed_hosts TEXT,
  PRIMARY KEY (scope_kind, scope_id, name)
) STRICT;
"""


def make_store(folder: Path, profiles: Mapping[str, Any], secrets: Mapping[str, str] | None = None) -> Path:
    """The database in OpenClaw's `folder`, with logins and secrets in it."""
    file = folder / "state" / "openclaw.sqlite"
    file.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.executescript(SCHEMA)
        stored = json.dumps({"version": 1, "profiles": profiles})
        connection.execute("INSERT INTO config_machine_state VALUES ('authProfiles.store', ?, 1)", (stored,))
        for name, value in (secrets or {}).items():
            connection.execute(
                "INSERT INTO secret_store_entries VALUES ('team', '', ?, ?, 'secret', 1, 1, NULL, NULL, NULL)",
                (name, value),
            )
    return file
