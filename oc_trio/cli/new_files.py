"""Writes several new files, all of them or none: each is complete before it has its name."""

import errno
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from oc_trio.classes import frozen


@frozen
class NewFile:
    """`mode` is that of the file, whatever the umask is."""

    path: Path
    text: str
    mode: int


def write_new_files(files: Sequence[NewFile], *, overwrite: bool = False) -> None:
    """Write the files. Raises FileExistsError, or another OSError; then none of them is there that was not before.

    With `overwrite` each takes the place of one with its name.
    """
    drafts: list[tuple[Path, NewFile]] = []
    made: list[Path] = []
    is_complete = False
    try:
        for file in files:
            # Beside the file, since a rename is atomic only within one file system.
            draft = file.path.with_name(f".{file.path.name}.{secrets.token_hex(4)}")
            drafts.append((draft, file))
            _write(draft, file)
        for draft, file in drafts:
            if overwrite:
                draft.replace(file.path)
            else:
                _move_without_replacing(draft, file.path)
                made.append(file.path)
        is_complete = True
    finally:
        for draft, _ in drafts:
            draft.unlink(missing_ok=True)
        if not is_complete:
            for path in made:
                with suppress(OSError):
                    path.unlink()


def make_link(path: Path, name: Path) -> bool:
    """Give a file a second name; false on a file system without links. Raises FileExistsError, or another OSError."""
    try:
        os.link(path, name)
    except OSError as problem:
        if problem.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            raise
        return False
    return True


def _move_without_replacing(draft: Path, path: Path) -> None:
    """Unlike a rename, a link never takes the place of a file that came meanwhile. Raises FileExistsError."""
    if not make_link(draft, path):
        # The name is taken first, and only then has the content.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        draft.replace(path)


def _write(draft: Path, file: NewFile) -> None:
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "w", encoding="utf-8") as opened:
        opened.write(file.text)
        opened.flush()
        os.fchmod(descriptor, file.mode)
        # Before it has its name: after a power cut that name leads to the whole text or to nothing.
        os.fsync(descriptor)
