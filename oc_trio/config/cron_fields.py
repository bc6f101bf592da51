"""Whether a schedule is well formed. When it is due is the scheduler's business."""

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
_PART = re.compile(r"(\*|\?|[0-9a-z]{1,3}(?:-[0-9a-z]{1,3})?)(?:/([0-9]{1,3}))?")


def cron_mistake(expression: str) -> str:
    """What is wrong with a cron expression of five fields (or a macro such as `@daily`); empty when it is fine."""
    text = expression.strip().lower()
    if not text:
        return "is missing"
    if text.startswith("@"):
        return "" if text in _MACROS else "is not a known schedule: " + ", ".join(sorted(_MACROS))
    words = text.split()
    if len(words) != len(_FIELDS):
        return f"must have five fields, not {len(words)}: minute, hour, day of month, month, day of week"
    for word, (name, low, high, names) in zip(words, _FIELDS, strict=True):
        if not all(_part_fits(part, low, high, names) for part in word.split(",")):
            return f'"{word[:20]}" is not a {name} ({low}-{high})'
    return ""


def _part_fits(part: str, low: int, high: int, names: dict[str, int]) -> bool:
    found = _PART.fullmatch(part)
    if not found or (found[2] is not None and int(found[2]) == 0):
        return False
    if found[1] in {"*", "?"}:
        return True
    ends = [names.get(end, int(end) if end.isdigit() else -1) for end in found[1].split("-")]
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
