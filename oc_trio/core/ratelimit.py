"""The arithmetic of one origin's rate budget: a token bucket, priority lanes, and what the server's headers teach.

Owns numbers only. Who waits, and where, is `mattermost.budget`. Times are float seconds of the caller's clock.
"""

from enum import IntEnum

from attrs import evolve, frozen


class Lane(IntEnum):
    """Why a call is made; a lower number goes first. TYPING is dropped rather than queued."""

    FINAL = 0
    CREATE = 1
    READ = 2
    EDIT = 3
    TYPING = 4


# What a lane leaves in the bucket for the lanes above it, as a share of the burst.
_RESERVE = {Lane.FINAL: 0.0, Lane.CREATE: 0.02, Lane.READ: 0.05, Lane.EDIT: 0.2, Lane.TYPING: 0.5}

# X-Ratelimit-Reset is whole seconds until the bucket is full, rounded up: below this the rate is mostly noise.
_LEARN_FROM_RESET = 5.0
_LONGEST_RESET, _MOST_BURST = 120.0, 10_000.0

# A 429 counts half after this long, so that pacing relaxes by itself.
_HALF_LIFE = 30.0


@frozen
class RatePolicy:
    """`rate` is calls per second, `burst` the most that may go at once. Mattermost's own default is 10 and 100."""

    rate: float = 50.0
    burst: float = 100.0


@frozen
class Bucket:
    """What may be spent: `tokens` as of `at`; nothing goes before `paused_until`."""

    rate: float
    burst: float
    tokens: float
    at: float
    paused_until: float = 0.0


def full(policy: RatePolicy, now: float) -> Bucket:
    """A bucket nobody has drawn from."""
    return Bucket(rate=policy.rate, burst=policy.burst, tokens=policy.burst, at=now)


def take(bucket: Bucket, lane: Lane, now: float) -> tuple[Bucket, float]:
    """Spend one token for `lane`: the new bucket and 0.0, or the refilled bucket and the seconds until it may do."""
    refilled = _refill(bucket, now)
    if now < refilled.paused_until:
        return refilled, refilled.paused_until - now
    needed = min(1.0 + refilled.burst * _RESERVE[lane], max(1.0, refilled.burst))
    # The millionth forgives float drift: without it a waiter wakes a hair early and waits again.
    if refilled.tokens + 1e-6 >= needed:
        return evolve(refilled, tokens=max(0.0, refilled.tokens - 1.0)), 0.0
    return refilled, (needed - refilled.tokens) / refilled.rate


def learn(bucket: Bucket, now: float, *, limit: float, remaining: float, reset: float) -> Bucket:
    """Believe an answer's `X-Ratelimit-*`: the limit counts the call itself, `reset` is seconds to full."""
    refilled = _refill(bucket, now)
    # Numbers that no server means would make the next call wait for a year, or nothing wait at all.
    limit, reset = min(limit, _MOST_BURST), min(reset, _LONGEST_RESET)
    burst = max(1.0, limit - 1.0)
    rate = refilled.rate
    if reset >= _LEARN_FROM_RESET and limit > remaining:
        rate = (limit - remaining) / reset
    return evolve(refilled, rate=rate, burst=burst, tokens=min(refilled.tokens, remaining, burst))


def pause(bucket: Bucket, now: float, retry_after: float) -> Bucket:
    """A 429 came: nothing goes for `retry_after` seconds, and the bucket is empty until then."""
    until = max(bucket.paused_until, now + retry_after)
    return evolve(bucket, tokens=0.0, at=until, paused_until=until)


def _refill(bucket: Bucket, now: float) -> Bucket:
    if now <= bucket.at:
        return bucket
    return evolve(bucket, tokens=min(bucket.burst, bucket.tokens + (now - bucket.at) * bucket.rate), at=now)


@frozen
class Pressure:
    """How hard the server is pushing back: `limited` is a decaying count of 429s, `latency` a mean in seconds."""

    limited: float = 0.0
    latency: float = 0.0
    at: float = 0.0


def observe(pressure: Pressure, now: float, *, latency: float, limited: bool) -> Pressure:
    """Add one answer that took `latency` seconds; `limited` says it was a 429."""
    faded = pressure.limited * 0.5 ** (max(0.0, now - pressure.at) / _HALF_LIFE)
    mean = latency if pressure.latency == 0.0 else 0.8 * pressure.latency + 0.2 * latency
    return Pressure(limited=faded + (1.0 if limited else 0.0), latency=mean, at=now)
