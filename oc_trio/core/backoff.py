"""Retry as arithmetic: how long to wait before the next try. Nothing here sleeps, counts tries or draws numbers.

`rand` is a number in [0, 1) that the caller draws; all times are seconds.
"""

from attrs import field, frozen
from attrs.validators import ge, gt

_MAX_DOUBLINGS = 64  # beyond any cap; keeps factor ** attempt within a float


def exponential(initial: float, maximum: float, failures: int, factor: float = 2.0) -> float:
    """`initial` grown by `factor` once per failure but the first (`failures` is counted from 0), at most `maximum`."""
    return min(maximum, initial * factor ** min(failures, _MAX_DOUBLINGS))


@frozen
class RetryPolicy:
    """`initial` grows by `factor` with each failure up to `maximum`, spread by `jitter` to both sides."""

    initial: float = field(default=2.0, validator=gt(0))
    maximum: float = field(default=60.0, validator=gt(0))
    factor: float = field(default=2.0, validator=ge(1))
    jitter: float = field(default=0.2, validator=ge(0))

    def delay(self, attempt: int, rand: float) -> float:
        """The wait after failure number `attempt`, counted from 0; the jitter may pass `maximum`, by its share."""
        base = self.base(attempt)
        return max(0.001, base * (1 - self.jitter + 2 * self.jitter * rand))

    def base(self, attempt: int) -> float:
        """The wait without jitter."""
        return exponential(self.initial, self.maximum, attempt, self.factor)


# A refused token is not going to be accepted within seconds; the file it came from is read again at each try.
AUTH_RETRY = RetryPolicy(initial=30.0, maximum=300.0)


@frozen
class DirectRetryPolicy:
    """Retries of `POST /channels/direct`: `timeout` per attempt, and `initial` to be at most `maximum`."""

    max_retries: int = field(default=3, validator=ge(0))
    initial: float = field(default=1.0, validator=gt(0))
    maximum: float = field(default=10.0, validator=gt(0))
    timeout: float = field(default=30.0, validator=gt(0))

    def delay(self, retry: int, rand: float) -> float | None:
        """The wait before retry number `retry`, counted from 1; None when there is no such retry.

        The jitter only adds, so that it never undercuts the exponential value, and never passes `maximum`.
        """
        if retry > self.max_retries:
            return None
        base = exponential(self.initial, self.maximum, retry - 1)
        return min(self.maximum, base * (1 + rand))


def no_sooner_than(delay: float, retry_after: float | None) -> float:
    """The wait, or what the server asked for where that is longer, caps notwithstanding."""
    return delay if retry_after is None else max(delay, retry_after)
