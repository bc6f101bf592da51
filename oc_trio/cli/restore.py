"""`oc-trio restore`: puts a backup in the journal's place, with the gateway stopped."""

import os
import shutil
import sqlite3
import sys
from contextlib import closing, suppress
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path

import click

from oc_trio.cli.exits import EX_CONFIG, EX_DATAERR, EX_TEMPFAIL
from oc_trio.cli.journal import now_ms, when
from oc_trio.cli.new_files import make_link
from oc_trio.cli.options import config_option


@click.command("restore")
@click.argument("backup", type=click.Path(path_type=Path, dir_okay=False))
@config_option
def command(backup: Path, config_path: str | None) -> None:
    """Make BACKUP, made by `oc-trio backup`, the journal; the one that is there is kept beside it.

    After the next start, what was posted since the backup is caught up from Mattermost; messages that have their answer
    in the channel already are not answered again. PostgreSQL has pg_restore for this.

    Exit codes: 0 restored, 65 BACKUP is no sound journal of this release or an older one, 75 a gateway is running or a
    file can't be written, 78 the configuration is wrong.
    """
    from oc_trio.config.load import load
    from oc_trio.errors import ConfigError, StoreError, StoreUnusable
    from oc_trio.runtime.process.locations import journal_location
    from oc_trio.store.location import is_postgres
    from oc_trio.store.lock import file_lock

    try:
        loaded = load(config_path, os.environ, isolate=True, connect=False)
        location = str(journal_location(loaded, create=True))
    except ConfigError as wrong:
        click.echo(f"oc-trio: {wrong}", err=True)
        sys.exit(EX_CONFIG)
    if is_postgres(location):
        click.echo("oc-trio: the journal is in PostgreSQL; restore it with pg_restore", err=True)
        sys.exit(EX_CONFIG)
    journal = Path(location)
    fresh = journal.with_name(f"{journal.name}.restoring")
    try:
        schema, used_at = _checked(backup, fresh)
        # The same lock that a gateway holds: neither can run while the journal is replaced.
        with file_lock(Path(f"{location}.lock")):
            try:
                _copy(backup, fresh)
                # Before it takes the journal's place: one that doesn't know that it was restored would answer again.
                _mark(fresh)
                kept = _swap(journal, fresh)
            finally:
                _clear(fresh)
    except StoreUnusable as problem:
        click.echo(f"oc-trio: {problem}", err=True)
        sys.exit(EX_DATAERR)
    except (StoreError, OSError, sqlite3.Error) as problem:
        click.echo(f"oc-trio: {problem}", err=True)
        sys.exit(EX_TEMPFAIL)
    click.echo(f"{backup} (schema {schema}, newest message {when(used_at)} UTC) is the journal now.")
    if kept is not None:
        click.echo(f"The one before is {kept}.")
    click.echo("Start the gateway: what was posted since is caught up; what has its answer is not answered again.")


def _checked(backup: Path, fresh: Path) -> tuple[int, int]:
    """The schema of a sound journal, and when its newest message was admitted. Raises StoreUnusable."""
    from oc_trio.errors import StoreUnusable
    from oc_trio.store.migrations import MIGRATIONS

    if not backup.is_file():
        raise StoreUnusable(f"{backup} is not a file" if backup.exists() else f"{backup}: there is no such file")
    if backup.resolve() == fresh.resolve():
        raise StoreUnusable(f"{backup} is what an interrupted restore has left, not a backup: name the backup itself")
    try:
        with closing(sqlite3.connect(f"{backup.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            damage = [row[0] for row in connection.execute("PRAGMA integrity_check(1)") if row[0] != "ok"]
            schema = int(connection.execute("SELECT MAX(version) FROM schema_version").fetchone()[0])
            used_at = int(connection.execute("SELECT MAX(admitted_at) FROM obligations").fetchone()[0] or 0)
    except (sqlite3.Error, TypeError, ValueError) as problem:
        raise StoreUnusable(f"{backup} is no journal of oc-trio: {problem}") from problem
    if damage:
        raise StoreUnusable(f"{backup} is damaged: {damage[0]}")
    if schema > len(MIGRATIONS):
        raise StoreUnusable(f"{backup} was written by a newer release (schema {schema}): install that one")
    return schema, used_at


def _copy(backup: Path, fresh: Path) -> None:
    """A copy that only its owner can read, with what the log of transactions beside `backup` holds."""
    # What an earlier attempt left behind.
    _clear(fresh)
    os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with (
        closing(sqlite3.connect(f"{backup.absolute().as_uri()}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(fresh)) as target,
    ):
        source.backup(target)


def _mark(fresh: Path) -> None:
    """Bring the copy up to date, as a start would, and note in it that it was restored."""
    import trio

    from oc_trio.store.store import open_store

    async def mark() -> None:
        async with open_store(str(fresh)) as store:
            await store.restored.mark(now_ms())

    trio.run(mark)


def _clear(fresh: Path) -> None:
    """Remove the copy and what was made beside it: logs, its lock, copies from before its migration."""
    for path in (fresh, *fresh.parent.glob(f"{fresh.name}[-.]*")):
        path.unlink(missing_ok=True)


def _swap(journal: Path, fresh: Path) -> Path | None:
    """Put `fresh` in the journal's place by a rename; returns where the earlier journal is kept, if there was one.

    Whenever it is cut short, there is a journal by that name: a start without one would begin with an empty one.
    """
    kept = _keep(journal) if journal.exists() else None
    # The log of transactions goes with its journal: beside another one it would be applied to that.
    # By now it is empty where the journal is sound (`_keep`): cut short here, the earlier journal lacks nothing.
    for suffix in ("-wal", "-shm"):
        journal.with_name(journal.name + suffix).unlink(missing_ok=True)
    fresh.replace(journal)
    return kept


def _keep(journal: Path) -> Path:
    """A second name for the journal and its log; the log's content is in the journal as well, where that is sound."""
    stem = f"{journal.name}.replaced-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    names = chain((f"{stem}Z",), (f"{stem}.{number}Z" for number in count(2)))
    kept = next(path for path in map(journal.with_name, names) if not os.path.lexists(path))
    for suffix in ("-wal", ""):
        beside = journal.with_name(journal.name + suffix)
        if beside.exists():
            name = kept.with_name(kept.name + suffix)
            if not make_link(beside, name):
                shutil.copy2(beside, name)
    # The last to close it empties the log.
    with suppress(sqlite3.Error), closing(sqlite3.connect(journal)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return kept
