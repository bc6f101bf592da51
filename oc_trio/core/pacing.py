"""Computes the interval between two edits of a draft.

Every edit copies the whole post into the server's history and is sent to everybody in the channel. So the interval
grows with the post's length, the server's latency, recent 429s, and the number of drafts that share the budget.
"""

from attrs import evolve

from oc_trio.classes import frozen


@frozen
class PacingRules:
    """Seconds, unless named otherwise. `edits_per_s` is shared by all live drafts and holds beyond `longest`."""

    # OpenClaw's nominal interval.
    base: float = 1.2
    longest: float = 15.0
    per_1000_chars: float = 0.15
    # A draft's writes take at most a fifth of the time, also of a slow server (up to `longest`).
    latencies: float = 4.0
    # What Mattermost allows where its rate limit is switched on with its defaults.
    edits_per_s: float = 10.0
    throttle_window: float = 30.0


@frozen
class ServerLoad:
    """Recent observations of one server: smoothed seconds per write, and the times of recent 429s."""

    latency: float = 0.0
    throttled: tuple[float, ...] = ()


# Further 429s in one window change nothing: 2**4 already exceeds the longest interval.
_COUNTED = 4


def with_latency(load: ServerLoad, seconds: float) -> ServerLoad:
    """The load after a write that took `seconds`: a moving average, in which a new sample weighs a fifth."""
    return evolve(load, latency=seconds if load.latency == 0.0 else 0.8 * load.latency + 0.2 * seconds)


def with_throttling(load: ServerLoad, now: float) -> ServerLoad:
    """The load after a 429 at `now`."""
    return evolve(load, throttled=(*load.throttled, now)[-_COUNTED:])


def interval(rules: PacingRules, load: ServerLoad, *, now: float, length: int, live: int) -> float:
    """Seconds between the end of a write and the next edit of a post of `length` characters, `live` drafts in all."""
    recent = sum(now - at < rules.throttle_window for at in load.throttled)
    seconds = rules.base + rules.per_1000_chars * length / 1000 + rules.latencies * load.latency
    seconds *= 2.0 ** min(recent, _COUNTED)
    return max(rules.base, min(seconds, rules.longest), live / rules.edits_per_s)
