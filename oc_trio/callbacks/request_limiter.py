"""Limits requests per source: their rate, and how many run concurrently. Arithmetic and one bounded table, no I/O.

Times are seconds of the caller's clock. A source is an address (for IPv6 the /64, which one machine owns as a whole) or
a secret of ours that the caller sent, so that a flood through the same proxy does not lock the chat server out. Callers
with a secret, or from an address that sent one lately, have a limit of their own: strangers can't use it up.
"""

from collections import OrderedDict
from enum import Enum
from ipaddress import IPv6Address, ip_network

from attrs import field

from oc_trio.classes import define, frozen
from oc_trio.core.sourceip import Address
from oc_trio.core.token_bucket import Bucket, full, take


class Standing(Enum):
    """What is known of a caller: nothing; the operator lists its address; it sends, or has sent, a valid secret."""

    STRANGER = "stranger"
    LISTED = "listed"
    KNOWN = "known"


@frozen
class Limits:
    """`rate` per second with bursts of `burst`, `at_once` concurrently, all per source; `total` over all sources of
    one standing.

    `sources` bounds the memory: beyond it the source that was quiet longest is forgotten. An address is known
    for `known_seconds` after its last valid secret.
    """

    # Mattermost calls from one address for all of its people: hundreds who answer a poll at once fit into the burst.
    rate: float = 50.0
    burst: float = 200.0
    # Twice OpenClaw's, whose callers wait for nothing: ours wait until the call is in the journal.
    at_once: int = 16
    total: int = 128
    # OpenClaw's number of keys.
    sources: int = 4096
    # A day: a server that nobody uses at night is known in the morning.
    known_seconds: float = 86_400.0


@frozen
class RequestPermit:
    """Permission for one request; given back to `leave`."""

    key: str
    standing: Standing


@define
class _SourceState:
    bucket: Bucket
    active: int = 0


@define(eq=False)
class RequestLimiter:
    """`enter` before anything is read, `leave` once per permit; `vouch` for the source of a valid secret."""

    limits: Limits = Limits()
    _active: dict[Standing, int] = field(init=False, factory=lambda: dict.fromkeys(Standing, 0))
    # Until when a source is taken for genuine, by its address; the longest quiet one is forgotten beyond
    # `limits.sources`.
    _known: OrderedDict[str, float] = field(init=False, factory=OrderedDict)
    _sources: OrderedDict[str, _SourceState] = field(init=False, factory=OrderedDict)

    def __len__(self) -> int:
        return len(self._sources)

    @property
    def active(self) -> int:
        return sum(self._active.values())

    def enter(self, key: str, now: float, standing: Standing = Standing.STRANGER) -> RequestPermit | None:
        """A permit for one more request of this source, None if a limit is reached."""
        limits = self.limits
        if now < self._known.get(key, now):
            standing = Standing.KNOWN
        source = self._sources.get(key)
        if source is None:
            self._make_room()
            source = self._sources[key] = _SourceState(full(limits.rate, limits.burst, now))
        self._sources.move_to_end(key)
        is_full = source.active >= limits.at_once or self._active[standing] >= limits.total
        # Before a token of the bucket is taken: a caller that is turned away here uses up none of its rate.
        if is_full:
            return None
        source.bucket, wait = take(source.bucket, now)
        if wait > 0.0:
            return None
        source.active += 1
        self._active[standing] += 1
        return RequestPermit(key, standing)

    def vouch(self, key: str, now: float) -> None:
        """Note that this source sent a valid secret or signature."""
        self._known[key] = now + self.limits.known_seconds
        self._known.move_to_end(key)
        if len(self._known) > self.limits.sources:
            self._known.popitem(last=False)

    def leave(self, permit: RequestPermit) -> None:
        self._active[permit.standing] -= 1
        source = self._sources.get(permit.key)
        if source is not None:
            source.active -= 1

    def _make_room(self) -> None:
        if len(self._sources) < self.limits.sources:
            return
        # Sources with running requests stay: `total` of each standing at most, so the table is bounded all the same.
        idle = next((key for key, source in self._sources.items() if not source.active), None)
        if idle is not None:
            del self._sources[idle]


def source_key(address: Address | None) -> str:
    """The key under which requests of an address are counted."""
    if isinstance(address, IPv6Address):
        return str(ip_network((address, 64), strict=False))
    return str(address) if address is not None else "unknown"
