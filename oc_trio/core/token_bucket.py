"""A token bucket rate limiter as frozen values: `burst` calls at once, `rate` per second. Times are seconds."""

from attrs import evolve

from oc_trio.classes import frozen


@frozen
class Bucket:
    """`tokens` at time `at`, refilled by `rate` per second up to `burst`; none may be taken before `paused_until`."""

    rate: float
    burst: float
    tokens: float
    at: float
    paused_until: float = 0.0


def full(rate: float, burst: float, now: float) -> Bucket:
    """A full bucket."""
    return Bucket(rate=rate, burst=burst, tokens=burst, at=now)


def refill(bucket: Bucket, now: float) -> Bucket:
    """The bucket at time `now`; unchanged if the clock went backwards."""
    if now <= bucket.at:
        return bucket
    return evolve(bucket, tokens=min(bucket.burst, bucket.tokens + (now - bucket.at) * bucket.rate), at=now)


def take(bucket: Bucket, now: float, *, reserve: float = 0.0) -> tuple[Bucket, float]:
    """Takes one token, leaving `reserve`: the new bucket and 0.0, or the refilled one and the seconds to wait."""
    refilled = refill(bucket, now)
    if now < refilled.paused_until:
        return refilled, refilled.paused_until - now
    # A bucket never holds more than its burst: to wait for more would be for ever.
    needed = min(1.0 + reserve, max(1.0, refilled.burst))
    # The tolerance is for rounding errors: without it a waiter wakes slightly too early and waits again.
    if refilled.tokens + 1e-6 >= needed:
        return evolve(refilled, tokens=max(0.0, refilled.tokens - 1.0)), 0.0
    return refilled, (needed - refilled.tokens) / refilled.rate


def pause(bucket: Bucket, now: float, seconds: float) -> Bucket:
    """Blocks the bucket for `seconds`; it is empty at the end of the pause."""
    until = max(bucket.paused_until, now + seconds)
    return evolve(bucket, tokens=0.0, at=until, paused_until=until)
