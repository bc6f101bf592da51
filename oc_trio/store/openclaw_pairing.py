"""Who was let in by OpenClaw: read from its state without changing it, as it stands on disk.

Today's OpenClaw keeps approvals in `state/openclaw.sqlite`, older ones in `credentials/mattermost-allowFrom.json` and
`credentials/mattermost-<account>-allowFrom.json`.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from oc_trio.classes import frozen
from oc_trio.errors import OcTrioError

_CHANNEL = "mattermost"
_SUFFIX = "-allowFrom.json"
_TABLE = "channel_pairing_allow_entries"
_QUERY = f"SELECT account_id, entry, updated_at FROM {_TABLE} WHERE channel_key = ? ORDER BY account_id, sort_order"  # noqa: S608
_NO_ACCOUNT = "default"
_OTHERWISE = "damaged, or of a release that is not known here; oc-trio pairing allow @NAME lets people in one by one"


class UnreadableState(OcTrioError):
    """No approvals can be read there; str() says where, why, and what to name instead."""


@frozen
class ApprovedEntry:
    """One approval as OpenClaw wrote it: `entry` is a user id, or a username in old files. `at` is in milliseconds."""

    account: str
    entry: str
    at: int
    source: Path

    @property
    def user(self) -> str:
        """The id or the username, without `user:`, `mattermost:` and `@`, in lower case, as OpenClaw compares them."""
        text = self.entry.strip().lower()
        for prefix in ("mattermost:", "user:"):
            text = text.removeprefix(prefix)
        return text.removeprefix("@").strip()


def read_approvals(path: Path) -> tuple[ApprovedEntry, ...]:
    """The approvals in a database, an allowFrom file, or a folder of OpenClaw's with either; each entry once.

    A database goes before files, as OpenClaw reads it alone where it has one. Raises UnreadableState.
    """
    approvals: dict[tuple[str, str], ApprovedEntry] = {}
    for source in _sources(path):
        for entry in _of_file(source) if source.name.endswith(_SUFFIX) else _of_database(source):
            approvals.setdefault((entry.account, entry.user), entry)
    return tuple(approvals.values())


def _sources(path: Path) -> list[Path]:
    try:
        if path.is_file():
            return [path]
        if not path.is_dir():
            raise UnreadableState(f"{path}: there is no such file; OpenClaw's state is in ~/.openclaw")
        databases = [path / "state" / "openclaw.sqlite", path / "openclaw.sqlite"]
        sources = [database for database in databases if database.is_file()]
        for folder in (path / "credentials", path):
            sources += sorted(folder.glob(f"{_CHANNEL}*{_SUFFIX}"))
    except OSError as problem:
        raise UnreadableState(f"{path}: {problem.strerror}") from problem
    if not sources:
        raise UnreadableState(
            f"{path}: neither state/openclaw.sqlite nor credentials/{_CHANNEL}{_SUFFIX} is there; "
            "name OpenClaw's folder (~/.openclaw), its database, or such a file"
        )
    return sources


def _of_database(path: Path) -> Iterator[ApprovedEntry]:
    wal = path.with_name(f"{path.name}-wal")
    try:
        # Without a write-ahead log nothing but the file counts, and SQLite need not make one beside it.
        mode = "mode=ro" if wal.exists() and wal.stat().st_size else "immutable=1"
        with closing(sqlite3.connect(f"file:{quote(str(path.resolve()))}?{mode}", uri=True)) as database:
            rows = database.execute(_QUERY, (_CHANNEL,)).fetchall()
    except (sqlite3.Error, OSError) as problem:
        hint = "it is of no release of OpenClaw that pairs people" if _TABLE in str(problem) else _OTHERWISE
        raise UnreadableState(f"{path}: {problem}: {hint}") from problem
    for account, entry, at in rows:
        # Rows of an unexpected form are left out: nobody is let in by what we don't understand.
        if isinstance(entry, str) and entry.strip():
            yield ApprovedEntry(
                str(account).strip().lower() or _NO_ACCOUNT, entry, at if isinstance(at, int) else 0, path
            )


def _of_file(path: Path) -> Iterator[ApprovedEntry]:
    stem = path.name.removesuffix(_SUFFIX)
    if stem != _CHANNEL and not stem.startswith(f"{_CHANNEL}-"):
        raise UnreadableState(
            f"{path}: it is of another channel; Mattermost's are {_CHANNEL}{_SUFFIX} and {_CHANNEL}-<account>{_SUFFIX}"
        )
    # The file without an account in its name is from OpenClaw's days with one account, which it calls "default".
    account = stem.removeprefix(_CHANNEL).removeprefix("-").lower() or _NO_ACCOUNT
    try:
        value = json.loads(path.read_text("utf-8"))
        # The file has no times of its own: all entries get the time of its last change.
        at = int(path.stat().st_mtime * 1000)
    except (OSError, ValueError) as problem:
        raise UnreadableState(f"{path}: {problem}") from problem
    entries = value.get("allowFrom") if isinstance(value, dict) else value
    if not isinstance(entries, list):
        raise UnreadableState(f'{path}: expected {{"allowFrom": [...]}}')
    for entry in entries:
        if isinstance(entry, (str, int)) and str(entry).strip():
            yield ApprovedEntry(account, str(entry), at, path)
