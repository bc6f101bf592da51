"""A token bucket: so many at once, so many a second. Values and arithmetic; times are seconds of the caller's clock."""

from attrs import evolve, frozen


@frozen
class Bucket:
    """What may be spent: `tokens` as of `at`, refilled by `rate` a second up to `burst`; nothing goes before
    `paused_until`.
    """

    rate: float
    burst: float
    tokens: float
    at: float
    paused_until: float = 0.0


def full(rate: float, burst: float, now: float) -> Bucket:
    """A bucket nobody has drawn from."""
    return Bucket(rate=rate, burst=burst, tokens=burst, at=now)


def refill(bucket: Bucket, now: float) -> Bucket:
    """The bucket as it is at `now`; a clock that went back changes nothing."""
    if now <= bucket.at:
        return bucket
    return evolve(bucket, tokens=min(bucket.burst, bucket.tokens + (now - bucket.at) * bucket.rate), at=now)


def take(bucket: Bucket, now: float, *, reserve: float = 0.0) -> tuple[Bucket, float]:
    """Spend one token, leaving `reserve`: the new bucket and 0.0, or the refilled one and the seconds until it may."""
    refilled = refill(bucket, now)
    if now < refilled.paused_until:
        return refilled, refilled.paused_until - now
    needed = min(1.0 + reserve, max(1.0, refilled.burst))
    # The millionth forgives float drift: without it a waiter wakes a hair early and waits again.
    if refilled.tokens + 1e-6 >= needed:
        return evolve(refilled, tokens=max(0.0, refilled.tokens - 1.0)), 0.0
    return refilled, (needed - refilled.tokens) / refilled.rate


def pause(bucket: Bucket, now: float, seconds: float) -> Bucket:
    """Nothing goes for so long, and the bucket is empty until then."""
    until = max(bucket.paused_until, now + seconds)
    return evolve(bucket, tokens=0.0, at=until, paused_until=until)
