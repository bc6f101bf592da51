"""Where the journal lies: what other users of this machine could do there, and files that are made without following.

Who may write to the folder can put a link where the journal, its lock or the admin socket will be.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from oc_trio.errors import StoreError


def place_problem(folder: Path, names: Iterable[str]) -> str:
    """What is wrong with a state directory that holds `names`, and what to do; empty when it is fit or isn't there.

    The folder itself may be a link: systemd makes one for services with a user of their own.
    """
    try:
        mode = stat.S_IMODE(folder.stat().st_mode)
        parent = folder.resolve().parent
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
    """Make an empty file for its owner alone, if there is none. Raises OSError, also where a link stands."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))


@contextmanager
def new_file(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """A file to fill that takes the name `target` when the block ends well, and is gone when it doesn't.

    Raises StoreError where anything of that name stands, a link that leads nowhere included: nothing is followed and
    nothing overwritten. With `replace` a plain file gives way, but only to a whole one.
    """
    taken = StoreError(f"{target} exists already; a copy never overwrites a file")
    replace = replace and target.is_file() and not target.is_symlink()
    if os.path.lexists(target) and not replace:
        raise taken
    if not target.parent.is_dir():
        raise StoreError(f"there is no folder {target.parent} to copy to")
    draft = target.parent / f".{target.name}.{os.urandom(6).hex()}"
    try:
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreError(f"can't make {target}: {error.strerror}") from error
    try:
        yield draft
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
    """A link is the one move that refuses a name that is taken; file systems without links get a placeholder first."""
    try:
        os.link(draft, target, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW, 0o600))
        draft.replace(target)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
