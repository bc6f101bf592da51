"""What came of the newest reload, for the status and for who asked for it: a frozen value that the gateway writes."""

from oc_trio.classes import frozen
from oc_trio.ids import AccountId


@frozen
class ReloadStatus:
    """`begun` counts the reloads since the start; the rest is about the one that ended last, which was number `ended`.

    With `problems` nothing was changed. `changed` are the paths of the keys that differ, never their values;
    `at_next_start` the sections that only a restart puts into effect.
    """

    begun: int = 0
    ended: int = 0
    at: int = 0
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    started: tuple[AccountId, ...] = ()
    stopped: tuple[AccountId, ...] = ()
    restarted: tuple[AccountId, ...] = ()
    kept: tuple[AccountId, ...] = ()
    at_next_start: tuple[str, ...] = ()
