"""Counts by the minute, of the last hour: for the chart of edits on the status page. A count costs one addition."""

from collections import deque

from attrs import field

from oc_trio.classes import define

MINUTE_MS = 60_000
MINUTES = 60


@define(eq=False)
class MinuteCounts:
    """Times are milliseconds since the epoch; those that come late (a corrected clock) count in the newest minute."""

    # Minute and count; minutes without any are left out.
    _minutes: deque[list[int]] = field(init=False, factory=lambda: deque(maxlen=MINUTES + 1))

    def add(self, now_ms: int) -> None:
        """Count one more."""
        minute = now_ms // MINUTE_MS
        if not self._minutes or self._minutes[-1][0] < minute:
            self._minutes.append([minute, 0])
        self._minutes[-1][1] += 1

    def since(self, at_ms: int) -> dict[int, int]:
        """The counts of the minutes that begin at `at_ms` or later, by the time of their beginning."""
        return {minute * MINUTE_MS: count for minute, count in self._minutes if minute * MINUTE_MS >= at_ms}
