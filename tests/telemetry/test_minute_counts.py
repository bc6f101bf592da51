"""Counts by the minute."""

from oc_trio.telemetry.minute_counts import MINUTE_MS, MINUTES, MinuteCounts


def test_counts_of_the_last_hour() -> None:
    """By minute, from a time on; an hour is kept, however long it runs, and a clock that was set back loses nothing."""
    counts = MinuteCounts()
    for minute in range(500):
        counts.add(minute * MINUTE_MS + 1)
        counts.add(minute * MINUTE_MS + 59_999)
    counts.add(0)
    assert counts.since(498 * MINUTE_MS) == {498 * MINUTE_MS: 2, 499 * MINUTE_MS: 3}
    assert len(counts.since(0)) == MINUTES + 1
