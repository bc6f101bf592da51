"""Durations and points in time as people write them."""

from datetime import UTC, timedelta, timezone

import pytest

from oc_trio.core.cron_times import BadTime, duration, interval, point_in_time

NOON = 1_800_014_400_000  # 2027-01-15T12:00:00Z
BERLIN = timezone(timedelta(hours=1))


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("90s", 90_000), ("10m", 600_000), (" 1h30m ", 5_400_000), ("1H 30M", 5_400_000), ("1.5d", 129_600_000)],
)
def test_durations(text: str, milliseconds: int) -> None:
    """Numbers with their units, one after the other."""
    assert duration(text) == milliseconds


@pytest.mark.parametrize("text", ["", "10", "m", "1y", "-5m", "10m!", "1e9d", "٣m", "9999w", "999999999d"])
def test_what_is_no_duration(text: str) -> None:
    """A unit is wanted, and ten years are the longest."""
    with pytest.raises(BadTime, match=r"no duration|longer than"):
        duration(text)


def test_an_interval_that_floods() -> None:
    """Ten seconds are the shortest."""
    assert interval("10s") == 10_000
    with pytest.raises(BadTime, match="10s is the shortest"):
        interval("9.9s")


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("20m", NOON + 1_200_000),
        ("+2h", NOON + 7_200_000),
        ("2027-01-15T13:00:00Z", NOON + 3_600_000),
        ("2027-01-15T13:00:00", NOON),
        ("2027-01-15T14:30+01:00", NOON + 5_400_000),
        ("2027-01-16", NOON + 39_600_000),
    ],
)
def test_points_in_time(text: str, at: int) -> None:
    """From now, or ISO 8601, in the given zone where it names none."""
    assert point_in_time(text, NOON - 1 if at == NOON else NOON, BERLIN) == at


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tomorrow", "no time"),
        ("", "no time"),
        ("2027-02-30T10:00", "no time"),
        ("2026-11-29T12:00Z", "past"),
        ("2099-01-01", "ten years"),
        ("9999-12-31T23:59:59-23:59", "no time|ten years"),
    ],
)
def test_what_is_no_time(text: str, words: str) -> None:
    """It says what to write, or what is wrong with it."""
    with pytest.raises(BadTime, match=words):
        point_in_time(text, NOON, UTC)
