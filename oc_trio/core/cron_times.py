"""Reads the times that people write for a job: durations such as `1h30m`, points in time such as `20m` or ISO 8601.

Each refusal is a sentence that says what to write instead.
"""

import re
from datetime import datetime, tzinfo

_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
# Few digits: no number becomes infinite, whatever is typed.
_PART = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(ms|[smhdw])")
_DURATION = re.compile(rf"(?:{_PART.pattern}\s*)+")
# Each run is a row of the history, and its post notifies people. What is ten years off is a slip.
SHORTEST_MS = 10_000
LONGEST_MS = 10 * 366 * 86_400_000


class BadTime(ValueError):
    """A time can't be used; str() is a clause that says why and what to write."""


def duration(text: str) -> int:
    """Milliseconds: `10m`, `1h30m`, `1.5d`. Raises BadTime."""
    plain = text.strip().lower()
    if not _DURATION.fullmatch(plain):
        raise BadTime("is no duration: write a number with its unit, such as 90s, 10m, 1h30m or 1d")
    total = round(sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(plain)))
    if total > LONGEST_MS:
        raise BadTime("is longer than ten years")
    return total


def interval(text: str) -> int:
    """Milliseconds between two runs. Raises BadTime."""
    every = duration(text)
    if every < SHORTEST_MS:
        raise BadTime(f"is too short: {SHORTEST_MS // 1000}s is the shortest")
    return every


def point_in_time(text: str, now: int, zone: tzinfo) -> int:
    """Milliseconds since the epoch of `20m` (from now) or an ISO time, in `zone` where it names none itself.

    Raises BadTime, also for what is past.
    """
    plain = text.strip()
    if _DURATION.fullmatch(plain.removeprefix("+").lower()):
        return now + duration(plain.removeprefix("+"))
    try:
        moment = datetime.fromisoformat(plain)
        at = int((moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise BadTime(
            "is no time: write 20m or 2h (from now), or an ISO time such as 2027-02-01T16:00:00+01:00"
        ) from None
    if at <= now:
        raise BadTime("is past")
    if at - now > LONGEST_MS:
        raise BadTime("is more than ten years ahead")
    return at
