"""Checks who may write to the state directory, and creates files without following symbolic links.

Another user who may write to that directory could place a link where the journal, its lock or the admin socket will be.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from oc_trio.errors import StoreError


def state_dir_problem(folder: Path, names: Iterable[str]) -> str:
    """What is wrong with the state directory, and what to do; empty if it is safe or does not exist.

    `names` are the files that must not be links. The folder itself may be one: systemd makes it for `DynamicUser=`.
    """
    try:
        mode = stat.S_IMODE(folder.stat().st_mode)
        parent = folder.resolve().parent
        # Whoever may write to the folder above can rename this one and put another in its place, unless the sticky bit
        # is set there, as for /tmp.
        above = stat.S_IMODE(parent.stat().st_mode)
    except OSError:
        return ""
    if mode & stat.S_IWOTH:
        return f"{folder} can be written by every user of this machine ({mode:o}): chmod 700 {folder}"
    if above & stat.S_IWOTH and not above & stat.S_ISVTX:
        return f"{folder} can be replaced by every user of this machine ({parent} is {above:o}): chmod o-w {parent}"
    links = [name for name in names if (folder / name).is_symlink()]
    if links:
        return f"{folder} holds links where oc-trio keeps its own files ({', '.join(links)}): remove them"
    return ""


def make_file(path: Path) -> None:
    """Creates an empty file with mode 0600 if there is none. Raises OSError, also if the name is a symbolic link."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))


@contextmanager
def new_file(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """A temporary file that is renamed to `target` if the block succeeds, and deleted if it fails.

    Raises StoreError if `target` exists, even as a dangling link: nothing is followed or overwritten. With `replace` a
    regular file is replaced, atomically.
    """
    taken = StoreError(f"{target} exists already; a copy never overwrites a file")
    replace = replace and target.is_file() and not target.is_symlink()
    if os.path.lexists(target) and not replace:
        raise taken
    if not target.parent.is_dir():
        raise StoreError(f"there is no folder {target.parent} to copy to")
    # In the target's own folder: a rename is atomic only within one file system.
    draft = target.parent / f".{target.name}.{os.urandom(6).hex()}"
    try:
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreError(f"can't make {target}: {error.strerror}") from error
    try:
        yield draft
        # Content first, then the name, then the folder: a power cut leaves the old file or the whole new one.
        _sync(draft)
        if replace:
            draft.replace(target)
        else:
            _settle(draft, target)
        _sync(target.parent)
    except FileExistsError:
        raise taken from None
    except OSError as error:
        raise StoreError(f"can't make {target}: {error.strerror}") from error
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()


def _settle(draft: Path, target: Path) -> None:
    """Renames without overwriting: only link() fails if the name exists. Without hard links, create the name first."""
    try:
        os.link(draft, target, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:
        # Some network and FAT file systems have no hard links. O_EXCL claims the name, and the rename then replaces our
        # own empty file.
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW, 0o600))
        draft.replace(target)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
