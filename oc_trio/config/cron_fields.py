"""Checks cron expressions and time zones. When a job is due is computed by `runtime/schedule/cron_times.py`."""

import re
import zoneinfo

_MACROS = {"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"}
_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, 1)}
_DAYS = {name: number for number, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])}
# name, lowest, highest, words
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of month", 1, 31, {}),
    ("month", 1, 12, _MONTHS),
    ("day of week", 0, 7, _DAYS),
)
_LONGEST = 500  # every minute of the hour by its number takes 170
_MONTH_DAYS = (0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)  # days of each month in a leap year
_PART = re.compile(r"(\*|\?|[0-9a-z]{1,3}(?:-[0-9a-z]{1,3})?)(?:/([0-9]{1,3}))?")


def cron_error(expression: str) -> str:
    """What is wrong with a cron expression of five fields, or a macro such as `@daily`; "" if nothing is."""
    text = expression.strip().lower()
    if not text:
        return "is missing"
    if len(text) > _LONGEST:
        return f"is longer than {_LONGEST} characters"
    if text.startswith("@"):
        return "" if text in _MACROS else "is not a known schedule: " + ", ".join(sorted(_MACROS))
    fields = text.split()
    if len(fields) != len(_FIELDS):
        return f"must have five fields, not {len(fields)}: minute, hour, day of month, month, day of week"
    for part_list, (name, low, high, names) in zip(fields, _FIELDS, strict=True):
        if not all(_part_fits(part, low, high, names) for part in part_list.split(",")):
            return f'"{part_list[:20]}" is not a {name} ({low}-{high})'
    _, _, days, months, weekdays = fields
    # In cron, a day of the month and a day of the week together mean either of them, so such a job is due some day.
    if weekdays in {"*", "?"} and not any(
        day <= _MONTH_DAYS[month] for month in _values(months, 1, 12, _MONTHS) for day in _values(days, 1, 31, {})
    ):
        return f'is never due: no month of "{months[:20]}" has a day "{days[:20]}"'
    return ""


def _values(part_list: str, low: int, high: int, names: dict[str, int]) -> set[int]:
    """The numbers that a well-formed field matches."""
    numbers: set[int] = set()
    for part in part_list.split(","):
        span, _, step = part.partition("/")
        ends = (
            [] if span in {"*", "?"} else [names.get(end, int(end) if end.isdigit() else 0) for end in span.split("-")]
        )
        first, last = (ends[0], ends[-1]) if ends else (low, high)
        if step and len(ends) == 1:
            last = high  # 5/10: from the fifth on
        numbers.update(range(first, last + 1, int(step or 1)))
    return numbers


def _part_fits(part: str, low: int, high: int, names: dict[str, int]) -> bool:
    match = _PART.fullmatch(part)
    if not match or (match[2] is not None and int(match[2]) == 0):
        return False
    if match[1] in {"*", "?"}:
        return True
    ends = [names.get(end, int(end) if end.isdigit() else -1) for end in match[1].split("-")]
    if names is _DAYS and ends[1:] == [0]:
        ends[1] = 7  # mon-sun: Sunday ends the week here
    return all(low <= end <= high for end in ends) and ends == sorted(ends)


def is_timezone(name: str) -> bool:
    """Whether the system (or the tzdata package) knows the zone."""
    if name == "UTC":  # slim containers come without a tz database
        return True
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
