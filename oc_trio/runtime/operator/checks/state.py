"""`oc-trio doctor` on the state: the directory and the files in it, room on the disk, and the journal."""

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from oc_trio.config.load import Loaded
from oc_trio.config.paths import service_state_hint
from oc_trio.errors import ConfigError, StoreEmpty, StoreError
from oc_trio.runtime.operator.checks.jobs import check_jobs
from oc_trio.runtime.operator.findings import Finding, Level
from oc_trio.runtime.operator.repairs import close_to_others
from oc_trio.runtime.process.locations import JOURNAL, journal_location, state_problem
from oc_trio.store.sqlite import is_there
from oc_trio.store.store import open_store

# SQLite has a write-ahead log beside the journal, which grows to several MiB before a checkpoint.
_LOW_SPACE = 100 * 1_048_576
# Twice the log at a checkpoint: by default 1,000 pages of 4 KiB.
_NO_SPACE = 8 * 1_048_576
_MAX_NAMED = 5


def check_state(loaded: Loaded) -> Iterator[Finding]:
    """The findings about the state directory and its files."""
    unfit, _, fix = state_problem(loaded).rpartition(": ")
    if unfit:
        repair = close_to_others(0o700, [loaded.state_dir]) if fix == f"chmod 700 {loaded.state_dir}" else None
        yield Finding(Level.FAILED, "state directory", unfit, "state.unfit", fix, repair)
        return
    finding = state_directory(loaded.state_dir)
    yield finding
    if finding.level is not Level.FAILED and finding.code != "state.new":
        yield from state_files(loaded.state_dir)


def state_directory(path: Path) -> Finding:
    """Whether the journal can be kept there: writable, with space left, and closed to other users of the machine."""
    subject = "state directory"
    try:
        mode, free = stat.S_IMODE(path.stat().st_mode), shutil.disk_usage(path).free
    except FileNotFoundError:
        return Finding(
            Level.OK, subject, f"{path} will be made at the first start{service_state_hint(os.environ)}", "state.new"
        )
    except OSError as problem:
        text, fix = f"{path} can't be looked at: {problem.strerror}", "run this as the gateway's user, or as root"
        return Finding(Level.FAILED, subject, text, "state.unreadable", fix)
    failure = _write_failure(path)
    if failure is not None and failure.errno not in (errno.ENOSPC, errno.EDQUOT):
        fix = f"run this as the gateway's user; else chown {path} to it"
        text = f"{path} can't be written by this user: {failure.strerror or failure}"
        return Finding(Level.FAILED, subject, text, "state.read_only", fix)
    level = space_level(free) if failure is None else Level.FAILED
    if level is not Level.OK:
        code = "disk.full" if level is Level.FAILED else "disk.low"
        reason = f": {failure.strerror}" if failure is not None else ""
        text = f"{path} has {free / 1_048_576:.0f} MiB left{reason}"
        return Finding(level, subject, text, code, "make room on its disk")
    if mode & 0o077:
        text = f"{path} is open to other users ({mode:o})"
        repair = close_to_others(0o700, [path])
        return Finding(Level.WARNING, subject, text, "state.open", f"chmod 700 {path}", repair)
    return Finding(Level.OK, subject, str(path), "state.ok")


def _write_failure(folder: Path) -> OSError | None:
    """What keeps a page from being written to the disk there."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor") as file:
            file.write(bytes(4096))
            file.flush()
            # Where a disk or a quota is full, some file systems say so only now.
            os.fsync(file.fileno())
    except OSError as problem:
        return problem
    return None


def state_files(folder: Path, owner: int | None = None) -> Iterator[Finding]:
    """Files that others may read, and files that belong to somebody else than `owner`, by default the directory's."""
    subject = "state files"
    owner = folder.stat().st_uid if owner is None else owner
    files = [(path, path.lstat()) for path in sorted(folder.iterdir())]
    own = [(path, status) for path, status in files if stat.S_ISREG(status.st_mode)]
    opened = [path for path, status in own if status.st_mode & 0o077]
    if opened:
        text = f"can be read by other users: {_named(opened)}"
        fix = f"chmod 600 {' '.join(map(str, opened[:_MAX_NAMED]))}"
        yield Finding(Level.WARNING, subject, text, "state.file_open", fix, close_to_others(0o600, opened))
    foreign = [path for path, status in own if status.st_uid != owner]
    if foreign:
        text = f"belong to another user than {folder} does: {_named(foreign)}"
        fix = f"chown --reference={folder} {' '.join(map(str, foreign[:_MAX_NAMED]))}"
        yield Finding(Level.FAILED, subject, text, "state.file_owner", fix)


def _named(paths: list[Path]) -> str:
    more = f" and {len(paths) - _MAX_NAMED} more" if len(paths) > _MAX_NAMED else ""
    return ", ".join(path.name for path in paths[:_MAX_NAMED]) + more


def space_level(free: int) -> Level:
    """How serious it is that so many bytes are left on the disk."""
    if free < _NO_SPACE:
        return Level.FAILED
    return Level.WARNING if free < _LOW_SPACE else Level.OK


def has_journal(loaded: Loaded) -> bool:
    """Whether there is a journal to open; one in PostgreSQL is taken to be there."""
    return bool(loaded.config.store.url) or is_there(loaded.state_dir / JOURNAL)


async def check_journal(loaded: Loaded) -> tuple[Finding, ...]:
    """Whether the journal can be opened and all of it read, and how the jobs are that are in it and in the file."""
    try:
        # Opening it would be an error, but before a first start there is nothing wrong.
        if not has_journal(loaded):
            new = Finding(Level.OK, "journal", "will be made at the first start", "journal.new")
            return (new, *await check_jobs(loaded, None))
        async with open_store(journal_location(loaded, create=False), exclusive=False) as store:
            damage = await store.integrity_check()
            stats = await store.stats()
            jobs = () if damage else await check_jobs(loaded, store)
    except StoreEmpty:
        text = "will be made at the first start, in the database that store.url names"
        new = Finding(Level.OK, "journal", text, "journal.new")
        return (new, *await check_jobs(loaded, None))
    except (StoreError, ConfigError) as problem:
        fix = "see Troubleshooting, It doesn't start: what to do depends on what it says"
        return (Finding(Level.FAILED, "journal", str(problem), "journal.failed", fix),)
    if damage:
        fix = "stop the gateway and restore a backup"
        return (Finding(Level.FAILED, "journal", f"is damaged: {'; '.join(damage[:3])}", "journal.damaged", fix),)
    counts = f"{stats.open_obligations} answers owed, {stats.outbox_dead} posts refused by the server"
    text = f"{stats.database}, {stats.size / 1_048_576:.1f} MiB, {counts}"
    return (Finding(Level.OK, "journal", text, "journal.ok"), *jobs)
