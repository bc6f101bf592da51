"""Records which servers and models the gateway pauses requests to (rate limits, backoff), for the status only.

Nothing waits here. Times are seconds of Trio's clock.
"""

from collections.abc import Callable

import trio
from attrs import field

from oc_trio.classes import define


@define(eq=False)
class Pauses:
    """`note` a pause that begins now; `watch` a source that can be asked for the rest of its pause."""

    clock: Callable[[], float] = trio.current_time
    # By `clock`. Pauses that are over are dropped by the next look; there are as many names as models.
    _until: dict[str, float] = field(init=False, factory=dict)
    _watched: dict[str, Callable[[], float]] = field(init=False, factory=dict)

    def note(self, what: str, seconds: float) -> None:
        """No requests to `what` for so many seconds from now; the longest pause counts."""
        self._until[what] = max(self._until.get(what, 0.0), self.clock() + seconds)

    def watch(self, what: str, left: Callable[[], float]) -> None:
        """`left` gives the seconds that a pause of `what` still lasts, 0 for none."""
        self._watched[what] = left

    def current(self) -> list[dict[str, object]]:
        """The pauses that last, with the seconds left, as plain JSON values."""
        now = self.clock()
        self._until = {what: until for what, until in self._until.items() if until > now}
        left = {what: until - now for what, until in self._until.items()}
        left |= {what: seconds for what, ask in self._watched.items() if (seconds := ask()) > 0.0}
        return [{"what": what, "seconds": round(left[what], 1)} for what in sorted(left)]
