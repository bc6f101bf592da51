"""Wall clock and random source, passed to whatever needs them, so that tests control both."""

import time
from collections.abc import Callable
from random import Random, SystemRandom

from attrs import field

from oc_trio.classes import frozen

_ID_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"


@frozen
class Clock:
    """`now_ms` is wall-clock time in integer milliseconds; `random` makes ids and jitter.

    Waiting is always measured with `trio.current_time`; the wall clock only stamps rows.
    """

    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    # The system's source: an id must not be guessable from earlier ones.
    random: Random = field(factory=SystemRandom)

    def new_id(self) -> str:
        """26 characters of [a-z0-9], the form Mattermost gives its own ids."""
        return "".join(self.random.choices(_ID_ALPHABET, k=26))
