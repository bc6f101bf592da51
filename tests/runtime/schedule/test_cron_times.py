"""When schedules are due, clock changes included."""

from datetime import UTC, datetime

import pytest

from oc_trio.config.cron_fields import cron_error
from oc_trio.runtime.schedule.cron_times import latest_run, next_run


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("expression", "zone", "after", "due"),
    [
        pytest.param("0 9 * * mon-fri", "UTC", "2026-11-20T10:00", "2026-11-23T09:00", id="over a weekend"),
        pytest.param("@daily", "UTC", "2026-11-20T10:00", "2026-11-21T00:00", id="macro"),
        pytest.param("*/15 * ? * *", "UTC", "2026-11-20T10:01", "2026-11-20T10:15", id="question mark"),
        pytest.param("0 9 * * sat-sun", "UTC", "2026-11-20T10:00", "2026-11-21T09:00", id="to Sunday"),
        pytest.param("0 9 * * 6-0", "UTC", "2026-11-21T10:00", "2026-11-22T09:00", id="to day 0"),
        pytest.param("0 9 * * *", "Europe/Berlin", "2026-07-01T00:00", "2026-07-01T07:00", id="summer"),
        pytest.param("0 9 * * *", "Europe/Berlin", "2026-12-01T00:00", "2026-12-01T08:00", id="winter"),
        pytest.param("30 2 * * *", "Europe/Berlin", "2026-03-29T00:00", "2026-03-29T01:00", id="skipped hour"),
        pytest.param("30 2 * * *", "Europe/Berlin", "2026-10-25T00:31", "2026-10-26T01:30", id="hour that comes twice"),
        pytest.param("0 9 * * *", "UTC", "2026-11-20T09:00", "2026-11-21T09:00", id="later than now"),
    ],
)
def test_next_run(expression: str, zone: str, after: str, due: str) -> None:
    """The first time after the given one, in UTC."""
    assert cron_error(expression) == ""
    assert next_run(expression, zone, at(after)) == at(due)


def test_a_day_that_never_comes() -> None:
    """The 30th of February is well formed and never due."""
    assert next_run("0 0 30 2 *", "UTC", at("2026-01-01T00:00")) is None


def test_latest_run_counts_the_present() -> None:
    """The last time that is not later; the very moment counts."""
    assert latest_run("0 9 * * *", "UTC", at("2026-11-20T09:00")) == at("2026-11-20T09:00")
    assert latest_run("0 9 * * *", "UTC", at("2026-11-20T08:59")) == at("2026-11-19T09:00")
