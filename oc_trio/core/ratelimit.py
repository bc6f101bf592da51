"""Rate limiting per server: priority lanes over a token bucket, adjusted by the server's X-Ratelimit headers.

Pure arithmetic; `mattermost.budget` waits. Times are float seconds of the caller's clock.
"""

from enum import IntEnum

from attrs import evolve

from oc_trio.classes import frozen
from oc_trio.core.token_bucket import Bucket, refill, take


class Lane(IntEnum):
    """The purpose of a call; a lower number has priority. TYPING calls are dropped instead of queued."""

    FINAL = 0
    CREATE = 1
    READ = 2
    EDIT = 3
    TYPING = 4


# The share of the burst that a lane must leave for lanes of higher priority.
_RESERVE = {Lane.FINAL: 0.0, Lane.CREATE: 0.02, Lane.READ: 0.05, Lane.EDIT: 0.2, Lane.TYPING: 0.5}

# X-Ratelimit-Reset is in whole seconds, rounded up: from smaller values the rate can't be computed well enough.
_LEARN_FROM_RESET = 5.0
# Far beyond Mattermost's own: a burst of 100 at 10 a second is full again after 11 s.
_LONGEST_RESET, _MAX_BURST = 120.0, 10_000.0


@frozen
class RatePolicy:
    """`rate` is calls per second, `burst` the most that may go at once. Mattermost's own default is 10 and 100."""

    rate: float = 50.0
    burst: float = 100.0


# For a server that limits nobody, which is Mattermost's default: what is left is a bound for our own mistakes. Edits of
# drafts have a bound of their own (`core.pacing`), and at most 100 calls are under way at once.
UNLIMITED = RatePolicy(rate=500.0, burst=500.0)


def room_for(bucket: Bucket, lane: Lane, now: float) -> tuple[Bucket, float]:
    """Takes one token for `lane`: the new bucket and 0.0, or the refilled bucket and the seconds to wait."""
    return take(bucket, now, reserve=bucket.burst * _RESERVE[lane])


def with_policy(bucket: Bucket, policy: RatePolicy, now: float) -> Bucket:
    """The bucket with another rate and burst: what has been spent of the one is spent of the other."""
    refilled = refill(bucket, now)
    spent = refilled.burst - refilled.tokens
    return evolve(refilled, rate=policy.rate, burst=policy.burst, tokens=policy.burst - min(spent, policy.burst))


def learn(bucket: Bucket, now: float, *, limit: float, remaining: float, reset: float) -> Bucket:
    """Adjusts the bucket to a response's `X-Ratelimit-*`: `limit` includes this call, `reset` is seconds to full."""
    refilled = refill(bucket, now)
    # Clamped: absurd values would make the next call wait for a year, or nothing wait at all.
    limit, reset = min(limit, _MAX_BURST), min(reset, _LONGEST_RESET)
    # The limiter's header counts one more than it lets through: 101 for a burst of 100.
    burst = max(1.0, limit - 1.0)
    rate = refilled.rate
    if reset >= _LEARN_FROM_RESET and limit > remaining:
        rate = (limit - remaining) / reset
    return evolve(refilled, rate=rate, burst=burst, tokens=min(refilled.tokens, remaining, burst))
