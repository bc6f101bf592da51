"""How long to leave a draft alone between two edits: arithmetic only.

Every edit copies the whole post into the server's history and goes to everybody in the channel. So the interval grows
with the post's length, with the server's latency, after 429s, and with the number of drafts that share the budget.
"""

from attrs import evolve, frozen


@frozen
class PacingRules:
    """Seconds, unless named otherwise. `edits_per_s` is shared by all live drafts and holds beyond `longest`."""

    base: float = 1.2
    longest: float = 15.0
    per_1000_chars: float = 0.15
    latencies: float = 4.0
    edits_per_s: float = 10.0
    throttle_window: float = 30.0


@frozen
class ServerLoad:
    """What was lately observed of one server: smoothed seconds per write, and the times of recent 429s."""

    latency: float = 0.0
    throttled: tuple[float, ...] = ()


# More than this many 429s in one window change nothing: 2**4 is past the longest interval already.
_COUNTED = 4


def answered(mood: ServerLoad, seconds: float) -> ServerLoad:
    """The mood after a write that took `seconds`: a moving average in which a sample weighs a fifth."""
    return evolve(mood, latency=seconds if mood.latency == 0.0 else 0.8 * mood.latency + 0.2 * seconds)


def throttled(mood: ServerLoad, now: float) -> ServerLoad:
    """The mood after a 429 at `now`."""
    return evolve(mood, throttled=(*mood.throttled, now)[-_COUNTED:])


def interval(rules: PacingRules, mood: ServerLoad, *, now: float, length: int, live: int) -> float:
    """Seconds between the end of a write and the next edit of a post of `length` characters, `live` drafts in all."""
    recent = sum(now - at < rules.throttle_window for at in mood.throttled)
    wish = rules.base + rules.per_1000_chars * length / 1000 + rules.latencies * mood.latency
    wish *= 2.0 ** min(recent, _COUNTED)
    return max(rules.base, min(wish, rules.longest), live / rules.edits_per_s)
