"""When a conversation begins afresh."""

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

import pytest

from oc_trio.core.freshness import Freshness, stale_since

BERLIN = ZoneInfo("Europe/Berlin")


def ms(text: str, zone: tzinfo = UTC) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000)


IDLE = Freshness(idle_ms=3_600_000)
DAILY = Freshness(hour=4, zone=UTC)
BOTH = Freshness(idle_ms=3_600_000, hour=4, zone=UTC)
SCENARIOS = [
    ("never", Freshness(), "2026-01-01T00:00", "2026-12-31T00:00", None),
    ("not idle for long enough", IDLE, "2026-01-01T10:00", "2026-01-01T11:00", None),
    ("idle", IDLE, "2026-01-01T10:00", "2026-01-01T11:01", "2026-01-01T11:00"),
    ("before the hour", DAILY, "2026-01-01T10:00", "2026-01-02T03:59", None),
    ("at the hour", DAILY, "2026-01-01T10:00", "2026-01-02T04:00", "2026-01-02T04:00"),
    ("days later, at the first hour", DAILY, "2026-01-01T10:00", "2026-01-09T12:00", "2026-01-02T04:00"),
    ("in the night, the same morning", DAILY, "2026-01-01T03:00", "2026-01-01T05:00", "2026-01-01T04:00"),
    ("after the hour, none that day", DAILY, "2026-01-01T04:00", "2026-01-01T23:00", None),
    ("both, silence first", BOTH, "2026-01-01T10:00", "2026-01-02T05:00", "2026-01-01T11:00"),
    ("both, the hour first", BOTH, "2026-01-01T03:30", "2026-01-01T05:00", "2026-01-01T04:00"),
]


@pytest.mark.parametrize(
    ("rules", "last", "now", "since"), [row[1:] for row in SCENARIOS], ids=[r[0] for r in SCENARIOS]
)
def test_scenarios(rules: Freshness, last: str, now: str, since: str | None) -> None:
    """The moment at which the conversation went stale."""
    assert stale_since(rules, ms(last), ms(now)) == (ms(since) if since else None)


def test_the_hour_is_that_of_the_zone() -> None:
    """Also where the clocks are changed in between, and where the hour is skipped."""
    winter = Freshness(hour=4, zone=BERLIN)
    assert stale_since(winter, ms("2026-01-01T00:00"), ms("2026-01-01T03:00")) == ms("2026-01-01T03:00")
    assert stale_since(winter, ms("2026-03-28T12:00"), ms("2026-03-29T02:00")) == ms("2026-03-29T02:00")
    skipped = Freshness(hour=2, zone=BERLIN)
    assert stale_since(skipped, ms("2026-03-28T12:00"), ms("2026-03-29T01:00")) == ms("2026-03-29T01:00")
