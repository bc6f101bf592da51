"""How many requests a source may have going, and how fast: arithmetic and one bounded table, no I/O.

Times are seconds of the caller's clock. A source is an address (an IPv6 one by its /64, which one machine owns whole)
or a caller that showed a secret we know, so that a flood from the same proxy does not lock the chat server out.
"""

from collections import OrderedDict
from ipaddress import IPv6Address, ip_network

from attrs import define, field, frozen

from oc_trio.core.sourceip import Address


@frozen
class Limits:
    """`rate` per second with bursts of `burst`, `at_once` going at a time, all per source; `total` over all of them.

    `sources` bounds the memory: beyond it the source that was quiet longest is forgotten.
    """

    rate: float = 50.0
    burst: float = 200.0
    at_once: int = 16
    total: int = 128
    sources: int = 4096


@define
class _Source:
    tokens: float
    at: float
    active: int = 0


@define(eq=False)
class Turnstile:
    """`enter` before anything is read, `leave` once for each `enter` that was true."""

    limits: Limits = Limits()
    active: int = field(init=False, default=0)
    _sources: OrderedDict[str, _Source] = field(init=False, factory=OrderedDict)

    def __len__(self) -> int:
        return len(self._sources)

    def enter(self, key: str, now: float) -> bool:
        """Whether one more request of this source may be looked at now."""
        limits = self.limits
        source = self._sources.get(key)
        if source is None:
            source = self._sources[key] = _Source(limits.burst, now)
            self._forget()
        self._sources.move_to_end(key)
        source.tokens = min(limits.burst, source.tokens + max(0.0, now - source.at) * limits.rate)
        source.at = now
        if source.active >= limits.at_once or self.active >= limits.total or source.tokens < 1.0:
            return False
        source.tokens -= 1.0
        source.active += 1
        self.active += 1
        return True

    def leave(self, key: str) -> None:
        self.active -= 1
        source = self._sources.get(key)
        if source is not None:
            source.active -= 1

    def _forget(self) -> None:
        if len(self._sources) <= self.limits.sources:
            return
        # Sources with requests going stay: `total` of them at most, so the table is bounded all the same.
        idle = next((key for key, source in self._sources.items() if not source.active), None)
        if idle is not None:
            del self._sources[idle]


def source_key(address: Address | None) -> str:
    """The name under which an address is counted."""
    if isinstance(address, IPv6Address):
        return str(ip_network((address, 64), strict=False))
    return str(address) if address is not None else "unknown"
