"""The time and the ids of one world: an injected millisecond clock, made monotonic, and a seeded source of ids."""

import random
import string
import time
from collections.abc import Callable

_ALPHABET = string.ascii_lowercase + string.digits


def wall_clock() -> int:
    return time.time_ns() // 1_000_000


class SandboxClock:
    """Returns timestamps (int milliseconds) and ids of 26 characters; the same clock and seed give the same world."""

    def __init__(self, clock: Callable[[], int] = wall_clock, rng: random.Random | None = None) -> None:
        self._clock = clock
        self._rng = rng if rng is not None else random.SystemRandom()
        self._last = 0

    def now(self) -> int:
        """The time; never earlier than a stamp already returned."""
        # A test's clock may stand still while stamps go on by a millisecond each.
        return max(self._clock(), self._last)

    def stamp(self) -> int:
        """A time later than every stamp before, so that posts made in one millisecond keep their order."""
        self._last = max(self._clock(), self._last + 1)
        return self._last

    def new_id(self) -> str:
        return "".join(self._rng.choices(_ALPHABET, k=26))
