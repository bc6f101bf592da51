"""The server's rate limit: 10 requests a second with bursts of 100, per remote address."""

import math

_PER_SECOND = 10
_BURST = 101  # what X-Ratelimit-Limit says


class RateLimit:
    """Buckets by address; those that are full again are deleted."""

    def __init__(self) -> None:
        self._spent: dict[str, tuple[float, int]] = {}  # address -> (requests in the bucket, at ms)

    def headers(self, address: str, now: int) -> tuple[tuple[str, str], ...] | None:
        """Counts one request; None if it may pass, else the headers of the 429."""
        spent, at = self._spent.get(address, (0.0, now))
        spent = max(0.0, spent - (now - at) / 1000 * _PER_SECOND)
        # An address whose bucket is full again is like a new one; without this every address would be kept for ever.
        self._spent = {key: value for key, value in self._spent.items() if now - value[1] < 1000 * _BURST / _PER_SECOND}
        if spent + 1 > _BURST:
            self._spent[address] = (spent, now)
            return (
                ("x-ratelimit-limit", str(_BURST)),
                ("x-ratelimit-remaining", "0"),
                ("x-ratelimit-reset", str(math.ceil(spent / _PER_SECOND))),
                ("retry-after", "1"),
            )
        self._spent[address] = (spent + 1, now)
        return None
