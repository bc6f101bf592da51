"""Exponential backoff: computes how long to wait before the next retry. Does not sleep, count or draw random numbers.

`rand` is a random number in [0, 1) from the caller; all times are seconds.
"""

from attrs import field
from attrs.validators import ge, gt

from oc_trio.classes import frozen

_MAX_DOUBLINGS = 64  # far above any maximum; keeps factor ** attempt finite


def exponential(initial: float, maximum: float, failures: int, factor: float = 2.0) -> float:
    """`initial` grown by `factor` once per failure but the first (`failures` is counted from 0), at most `maximum`."""
    return min(maximum, initial * factor ** min(failures, _MAX_DOUBLINGS))


@frozen
class RetryPolicy:
    """Waits `initial`, multiplied by `factor` per failure up to `maximum`, plus or minus the share `jitter`."""

    # OpenClaw's numbers for reconnecting. The jitter keeps bots apart that a server's restart has cut off together.
    initial: float = field(default=2.0, validator=gt(0))
    maximum: float = field(default=60.0, validator=gt(0))
    factor: float = field(default=2.0, validator=ge(1))
    jitter: float = field(default=0.2, validator=ge(0))

    def delay(self, attempt: int, rand: float) -> float:
        """The wait after failure number `attempt`, from 0; jitter may exceed `maximum` by its share."""
        base = self.base(attempt)
        # With a jitter of 1 or more the wait could be none, and a loop of retries would never pause.
        return max(0.001, base * (1 - self.jitter + 2 * self.jitter * rand))

    def base(self, attempt: int) -> float:
        """The wait without jitter."""
        return exponential(self.initial, self.maximum, attempt, self.factor)


# Slow, because a refused token is not accepted seconds later; its file is read again before each try.
AUTH_RETRY = RetryPolicy(initial=30.0, maximum=300.0)


@frozen
class DirectRetryPolicy:
    """Retries of `POST /channels/direct`: `timeout` per attempt, and `initial` to be at most `maximum`."""

    # The defaults of OpenClaw's `dmChannelRetry`, whose settings are read here too.
    max_retries: int = field(default=3, validator=ge(0))
    initial: float = field(default=1.0, validator=gt(0))
    maximum: float = field(default=10.0, validator=gt(0))
    timeout: float = field(default=30.0, validator=gt(0))

    def delay(self, attempt: int, rand: float) -> float | None:
        """The wait after failure number `attempt`, from 0; None where there is no further retry.

        Jitter only adds, so the wait is never below the exponential value; it never exceeds `maximum`.
        """
        if attempt >= self.max_retries:
            return None
        base = exponential(self.initial, self.maximum, attempt)
        return min(self.maximum, base * (1 + rand))


def no_sooner_than(delay: float, retry_after: float | None) -> float:
    """The longer of the wait and the server's Retry-After, which may exceed our maximum."""
    return delay if retry_after is None else max(delay, retry_after)
