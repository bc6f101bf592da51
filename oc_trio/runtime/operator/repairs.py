"""What `oc-trio doctor --fix` does by itself: it closes files to others. Nothing is created, removed or given away."""

import os
import re
import stat
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import trio

# Does what is to be done, and says what was done. Raises OSError, OcTrioError.
Repair = Callable[[], Awaitable[str]]

_CHMOD = re.compile(r"chmod ([67]00) (\S+)")


def close_to_others(mode: int, paths: Iterable[Path]) -> Repair:
    """Gives `paths` the mode. A link is left alone: what it points to may be anybody's."""
    targets = tuple(paths)

    async def close() -> str:
        await trio.lowlevel.checkpoint()
        for path in targets:
            # Again just before the change: what was checked may have been replaced since.
            if stat.S_ISLNK(path.lstat().st_mode):
                raise OSError(f"{path} is a link")
            path.chmod(mode)
        return f"chmod {mode:o} {' '.join(map(str, targets))}"

    return close


def repair_of(text: str) -> Repair | None:
    """The repair that a problem of the configuration asks for in words: `chmod 600 PATH` of a file of this user's."""
    found = _CHMOD.search(text)
    if found is None:
        return None
    path = Path(found[2].rstrip(",;.)"))
    try:
        status = path.lstat()
    except OSError:
        return None
    # The path comes out of a sentence: nothing that is a link or somebody else's is changed by it.
    is_ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
    return close_to_others(int(found[1], 8), [path]) if is_ours else None
