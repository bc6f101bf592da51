"""Schedules that make sense, and those that don't."""

import pytest

from oc_trio.config.cron_fields import cron_error, is_timezone


@pytest.mark.parametrize(
    "expression",
    [
        "* * * * *",
        "*/5 0-6/2 1,15 jan-mar mon-fri",
        "0 9 * * 7",
        "0 9 ? * sun",
        "@daily",
        " 0  9 * * MON ",
        "0 0 * * fri-sun",
        "0 0 29 2 *",
        "0 0 31 2,3 *",
        "0 0 30/1 2 mon",
        "0 0 20/10 * *",
    ],
)
def test_well_formed(expression: str) -> None:
    """Numbers, names, ranges, steps, lists and macros are understood."""
    assert cron_error(expression) == ""


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("", "is missing"),
        ("0 9 * *", "five fields, not 4"),
        ("60 * * * *", "minute (0-59)"),
        ("* * 0 * *", "day of month (1-31)"),
        ("* * * 13 *", "month (1-12)"),
        ("* * * * 8", "day of week (0-7)"),
        ("5-1 * * * *", "minute"),
        ("*/0 * * * *", "minute"),
        ("a * * * *", "minute"),
        ("0 0 31 2 *", "never due"),
        ("0 0 30-31 feb ?", "never due"),
        ("0 0 31 4-6/2 *", "never due"),
        ("1," * 500 + "1 * * * *", "longer than 500 characters"),
        ("@sometimes", "is not a known schedule"),
    ],
)
def test_malformed(expression: str, words: str) -> None:
    """The field at fault is named."""
    assert words in cron_error(expression)


def test_time_zones() -> None:
    """Names of the tz database, and nothing that could be a path."""
    assert is_timezone("Europe/Berlin")
    assert not is_timezone("../../etc/passwd")
    assert not is_timezone("Nowhere/Land")
