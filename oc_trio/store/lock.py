"""Makes sure that only one gateway uses a state directory: a lock file beside the SQLite file.

PostgreSQL's lock is in `postgres`. The system releases both when the process dies, so there is no stale lock to remove.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from oc_trio.errors import StoreError


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Holds a lock on the file `path`. Raises StoreError, with the pid, if another process holds it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # O_CLOEXEC: an agent command inherits no descriptor, or it would hold the lock after the gateway has ended.
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"can't make the lock file {path}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(_in_use(path, os.read(descriptor, 32).decode(errors="replace").strip())) from None
        # The pid is only for the message to the next one who tries; the lock itself is flock's. On a full disk the
        # journal says so itself.
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        # The file stays: if it were removed, a second process could lock the old file and a third one a new file.
        os.close(descriptor)


def _in_use(path: Path, pid: str) -> str:
    holder = f"process {pid}" if pid else "another process"
    return (
        f"another gateway ({holder}) is running with the state in {path.parent}; "
        "stop it, or give this one a state directory of its own"
    )
