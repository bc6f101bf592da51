"""One gateway per state: a locked file beside the SQLite file; PostgreSQL's lock is in `postgres`.

Both are released by the system when their holder dies, so a lock never has to be broken by hand.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from oc_trio.errors import StoreError


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold `path` locked for the block. Raises StoreError when another process holds it, naming its pid."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"can't make the lock file {path}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(_in_use(path, os.read(descriptor, 32).decode(errors="replace").strip())) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        # The file stays: removing it would let a third process lock a new one while a second waits on the old.
        os.close(descriptor)


def _in_use(path: Path, pid: str) -> str:
    holder = f"process {pid}" if pid else "another process"
    return (
        f"another gateway ({holder}) is running with the state in {path.parent}; "
        "stop it, or give this one a state directory of its own"
    )
