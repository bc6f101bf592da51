"""When a conversation has gone stale, so that its next message begins a new one: after a silence, or each day.

Times are milliseconds since the epoch.
"""

from datetime import datetime, timedelta, tzinfo

from oc_trio.classes import frozen


@frozen
class Freshness:
    """A conversation ends after `idle_ms` without a message (0: never), and each day at `hour` in `zone` (None: never;
    a zone of None is the machine's own).
    """

    idle_ms: int = 0
    hour: int | None = None
    zone: tzinfo | None = None


def stale_since(rules: Freshness, last_ms: int, now_ms: int) -> int | None:
    """The moment at which a conversation whose last message is of `last_ms` went stale, None while it is fresh."""
    moments = []
    if rules.idle_ms and now_ms - last_ms > rules.idle_ms:
        moments.append(last_ms + rules.idle_ms)
    if rules.hour is not None:
        boundary = _next_ms(last_ms, rules.hour, rules.zone)
        if boundary <= now_ms:
            moments.append(boundary)
    return min(moments, default=None)


def _next_ms(after_ms: int, hour: int, zone: tzinfo | None) -> int:
    """The first full `hour` after a moment. An hour that the clocks skip is taken when they have gone on."""
    moment = datetime.fromtimestamp(after_ms / 1000, zone)
    wanted = moment.replace(hour=hour, minute=0, second=0, microsecond=0, fold=0)
    if wanted.timestamp() * 1000 <= after_ms:
        wanted = (wanted + timedelta(days=1)).replace(fold=0)
    return int(wanted.timestamp() * 1000)
