"""When a job is due, in milliseconds: a cron expression by cronsim, which handles clock changes as Debian's cron does.

Wall-clock times are the zone's. A job at a time that a clock change skips runs right after it; one in the hour that
comes twice runs once.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import assert_never
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from oc_trio.core.cron_jobs import Expression, Interval, Once, Timing, interval_after, interval_until

_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
# Sunday is 0 for cronsim, so that `fri-sun` would be a range that ends before it begins.
_TO_SUNDAY = re.compile(r"-(?:sun|0)(?![0-9])")


def next_due(timing: Timing, after: int) -> int | None:
    """The first time later than `after`; None if there is none."""
    match timing:
        case Once(at):
            return at if at > after else None
        case Interval():
            return interval_after(timing, after)
        case Expression(expression, timezone):
            return next_run(expression, timezone, after)
        case never:
            assert_never(never)


def latest_due(timing: Timing, until: int) -> int | None:
    """The last time not later than `until`; None if there is none."""
    match timing:
        case Once(at):
            return at if at <= until else None
        case Interval():
            return interval_until(timing, until)
        case Expression(expression, timezone):
            return latest_run(expression, timezone, until)
        case never:
            assert_never(never)


# Every job is looked at twice a minute, and its next time stays the same until it runs. Twice as many as the journal
# may have jobs: those of the file, and times that have just passed, fit as well.
@lru_cache(maxsize=2048)
def next_run(expression: str, zone: str, after: int) -> int | None:
    """The first time later than `after`; None if there is none in the next decades."""
    return _tick(expression, zone, after, reverse=False)


def latest_run(expression: str, zone: str, until: int) -> int | None:
    """The last time not later than `until`."""
    # cronsim steps strictly backwards, and its times are whole seconds.
    return _tick(expression, zone, until + 1000, reverse=True)


def _tick(expression: str, zone: str, at: int, *, reverse: bool) -> int | None:
    # UTC needs no time zone database, which small containers don't have.
    start = datetime.fromtimestamp(at / 1000, UTC if zone == "UTC" else ZoneInfo(zone))
    try:
        tick = next(CronSim(_plain(expression), start, reverse=reverse), None)
    except CronSimError:  # well formed, but no such day: the 30th of February
        return None
    return None if tick is None else int(tick.timestamp() * 1000)


def _plain(expression: str) -> str:
    """The expression as cronsim reads it: five fields, no macros or question marks, Sunday ending a range as 7."""
    text = expression.strip().lower()
    text = _MACROS.get(text, text).replace("?", "*")
    *others, days = text.split()
    return " ".join((*others, _TO_SUNDAY.sub("-7", days)))
