"""The local date and time as a model is told them."""

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def time_line(now_ms: int, timezone: str) -> str:
    """`It is Friday, 2026-01-30, 14:05 in Europe/Berlin (UTC+01:00).`; nothing without a zone, which must be known."""
    if not timezone:
        return ""
    zone: tzinfo = UTC if timezone == "UTC" else ZoneInfo(timezone)  # slim containers come without a tz database
    now = datetime.fromtimestamp(now_ms / 1000, zone)
    offset = now.strftime("%z")
    return f"It is {_DAYS[now.weekday()]}, {now:%Y-%m-%d, %H:%M} in {timezone} (UTC{offset[:3]}:{offset[3:5]})."
