"""The jobs of OpenClaw's scheduler: read from its state without changing it, as it stands on disk.

Today's OpenClaw keeps them in `state/openclaw.sqlite`, older ones in `cron/jobs.json`.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from oc_trio.core.json_body import BadJson, read_lenient
from oc_trio.store.openclaw_pairing import UnreadableState

_TABLE = "cron_jobs"
_QUERY = f"SELECT job_id, job_json FROM {_TABLE} ORDER BY sort_order, updated_at, job_id"  # noqa: S608
# Bytes: far more than a file of jobs has; what is larger is another one.
_LARGEST = 64 * 1024 * 1024


def read_openclaw_jobs(path: Path) -> tuple[Mapping[str, Any], ...]:
    """The jobs in a database, in a jobs.json, or in a folder of OpenClaw's with either; each as OpenClaw wrote it.

    A database that has any goes before a file, as OpenClaw reads it alone then. Raises UnreadableState.
    """
    database, file = _places(path)
    if database is not None:
        jobs = tuple(_of_database(database))
        if jobs or file is None:
            return jobs
    return tuple(_of_file(file)) if file is not None else ()


def _places(path: Path) -> tuple[Path | None, Path | None]:
    """The database and the file that are there."""
    try:
        if path.is_file():
            with path.open("rb") as opened:
                is_database = opened.read(16).startswith(b"SQLite format 3")
            return (path, None) if is_database else (None, path)
        if not path.is_dir():
            wrong = "is neither a file nor a folder" if path.exists() else "there is no such file"
            raise UnreadableState(f"{path}: {wrong}; OpenClaw's state is in ~/.openclaw")
        databases = (path / "state" / "openclaw.sqlite", path / "openclaw.sqlite")
        # The last is what OpenClaw leaves of the file when it moves its jobs into the database.
        files = (path / "cron" / "jobs.json", path / "jobs.json", path / "cron" / "jobs.json.migrated")
        database = next((place for place in databases if place.is_file()), None)
        file = next((place for place in files if place.is_file()), None)
    except OSError as problem:
        raise UnreadableState(f"{path}: {problem.strerror}") from problem
    if database is None and file is None:
        raise UnreadableState(
            f"{path}: neither state/openclaw.sqlite nor cron/jobs.json is there; "
            "name OpenClaw's folder (~/.openclaw), its database, or its jobs.json"
        )
    return database, file


def _of_database(path: Path) -> Iterator[Mapping[str, Any]]:
    wal = path.with_name(f"{path.name}-wal")
    try:
        # Without a write-ahead log nothing but the file counts, and SQLite need not make one beside it.
        mode = "mode=ro" if wal.exists() and wal.stat().st_size else "immutable=1"
        with closing(sqlite3.connect(f"file:{quote(str(path.resolve()))}?{mode}", uri=True)) as database:
            rows = database.execute(_QUERY).fetchall()
    except (sqlite3.Error, OSError) as problem:
        hint = ": its jobs are in cron/jobs.json, if it has any" if _TABLE in str(problem) else ""
        raise UnreadableState(f"{path}: {problem}{hint}") from problem
    for id_, text in rows:
        yield _job(id_, text)


def _of_file(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        if path.stat().st_size > _LARGEST:
            raise UnreadableState(f"{path}: is larger than a list of jobs can be")
        value = read_lenient(path.read_bytes())
    except (OSError, BadJson) as problem:
        raise UnreadableState(f"{path}: {problem}") from problem
    jobs = value.get("jobs") if isinstance(value, Mapping) else value
    if not isinstance(jobs, list):
        raise UnreadableState(f'{path}: expected {{"version": 1, "jobs": [...]}}')
    for job in jobs:
        yield job if isinstance(job, Mapping) else {}


def _job(id_: object, text: object) -> Mapping[str, Any]:
    """A row that can't be read is a job that says nothing, so that it is refused by itself."""
    try:
        value = read_lenient(text if isinstance(text, bytes) else str(text))
    except BadJson:
        value = None
    return value if isinstance(value, Mapping) else {"id": str(id_), "unreadable": True}
