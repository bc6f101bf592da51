"""Validates slash command tokens against the server; checks share requests, and unknown tokens are rate limited.

Concurrent checks of one command and token wait for one request. A refused token is refused for 5 s without a request;
that holds for this token only, so that guessing can't lock the real ones out.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import TypeVar

import trio
from attrs import field

from oc_trio.classes import define, frozen
from oc_trio.core.entities import SlashCommand
from oc_trio.core.slash import SlashCall, is_current
from oc_trio.core.token_bucket import Bucket, full, take
from oc_trio.errors import MattermostError
from oc_trio.ids import CommandId
from oc_trio.mattermost.client import Api
from oc_trio.telemetry.log import get_logger

log = get_logger(part="token_check")

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

# The numbers are OpenClaw's.
# A person waits for the answer to the command; two such look-ups may be needed.
LOOKUP_SECONDS = 1.0
# So long a token that was refused is refused without a look-up: an old command repeats its own with each use.
NEGATIVE_SECONDS = 5.0
# Requests per command for tokens that we don't have: 20 at once, then one each half second. What was refused before
# does not bound them, as each guess is another token.
BURST, REFILL_SECONDS = 20.0, 0.5
# For memory only: what is forgotten is asked for again.
MAX_KEPT = 2000


@frozen
class _Key:
    command: CommandId
    token: str


@define
class _Lookup:
    done: trio.Event = field(factory=trio.Event)
    command: SlashCommand | None = None
    is_answered: bool = False


@define(eq=False)
class SlashTokenValidator:
    """One account's; every table is bounded."""

    api: Api
    # Under way now; a second call with the same token waits for the first one's.
    _lookups: dict[_Key, _Lookup] = field(init=False, factory=dict)
    # Until when a token is refused without a request; the oldest are dropped beyond `MAX_KEPT`, as are buckets.
    _refused: OrderedDict[_Key, float] = field(init=False, factory=OrderedDict)
    _buckets: OrderedDict[CommandId, Bucket] = field(init=False, factory=OrderedDict)
    _quiet_until: float = field(init=False, default=0.0)

    async def confirm(self, command: SlashCommand, call: SlashCall, *, known: bool) -> SlashCommand | None:
        """The server's record if it confirms the call's token, else None; `known`: the token is the one we have."""
        # Hashed, so that tables in memory hold no tokens.
        key = _Key(command.id, hashlib.sha256(call.token.encode("utf-8", "surrogatepass")).hexdigest())
        if trio.current_time() < self._refused.get(key, 0.0):
            return None
        lookup = self._lookups.get(key)
        if lookup is None:
            # The rate limit is for unknown tokens only: guessing must not use up the budget of real calls.
            if not known and not self._is_within_rate(command.id):
                return None
            lookup = self._lookups[key] = _Lookup()
            try:
                lookup.command = await self._look_up(command)
                lookup.is_answered = True
            finally:
                del self._lookups[key]
                lookup.done.set()
        else:
            await lookup.done.wait()
        live = lookup.command
        if live is not None and is_current(command, live, call):
            return live
        if not lookup.is_answered:
            return None  # the request was cancelled: that says nothing about the token
        _put(self._refused, key, trio.current_time() + NEGATIVE_SECONDS)
        return None

    async def _look_up(self, command: SlashCommand) -> SlashCommand | None:
        current = await self._within(lambda: self.api.commands.get(command.id))
        if current is not None and not current.delete_at:
            return current
        listed = await self._within(lambda: self.api.commands.list(command.team_id))
        if listed is None:
            log.warning("mattermost: slash command can't be confirmed by the server", command=command.trigger)
            return None
        return next((other for other in listed if other.id == command.id), current)

    async def _within(self, request: Callable[[], Awaitable[T]]) -> T | None:
        try:
            with trio.fail_after(LOOKUP_SECONDS):
                return await request()
        except (MattermostError, trio.TooSlowError) as problem:
            log.info("slash command look-up failed", problem=str(problem) or type(problem).__name__)
            return None

    def _is_within_rate(self, command: CommandId) -> bool:
        now = trio.current_time()
        bucket, wait = take(self._buckets.get(command) or full(1 / REFILL_SECONDS, BURST, now), now)
        _put(self._buckets, command, bucket)
        if wait <= 0.0:
            return True
        if now >= self._quiet_until:
            self._quiet_until = now + NEGATIVE_SECONDS
            log.warning("slash command validation is rate-limited", command=command)
        return False


def _put(table: OrderedDict[K, V], key: K, value: V) -> None:
    table[key] = value
    table.move_to_end(key)
    while len(table) > MAX_KEPT:
        table.popitem(last=False)
