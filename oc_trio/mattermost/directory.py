"""Cached look-ups of users, channels and teams. A failed look-up is never cached, and never taken for an answer."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar, assert_never

import trio
from attrs import field

from oc_trio.classes import define
from oc_trio.core.entities import Channel, Team, User
from oc_trio.core.events import (
    ChannelAppeared,
    ChannelArchived,
    ChannelChanged,
    Event,
    Hello,
    MemberAdded,
    MemberRemoved,
    PostDeleted,
    Posted,
    PostEdited,
    Reacted,
    TeamJoined,
    TeamLeft,
    Typed,
    Unhandled,
    UserChanged,
)
from oc_trio.ids import ChannelId, UserId
from oc_trio.mattermost.client import Api
from oc_trio.mattermost.keyed_locks import KeyedLocks

# Changes come as events; this bounds how long a missed one matters.
TTL_SECONDS = 600.0
MAX_ENTRIES = 10_000

T = TypeVar("T")


@define(eq=False)
class Directory:
    """What the server knows of users, channels and teams; every method raises MattermostError for a failed look-up."""

    api: Api
    ttl: float = TTL_SECONDS
    # When an entry was learnt, and its value; the one that was learnt first comes first and is dropped first.
    _cache: OrderedDict[Hashable, tuple[float, Any]] = field(init=False, factory=OrderedDict)
    # Counts invalidations, to notice one that comes while a look-up is under way.
    _epoch: int = field(init=False, default=0)
    _locks: KeyedLocks = field(init=False, factory=KeyedLocks)

    async def user(self, user_id: UserId) -> User:
        """A user by id; `is_bot` is as the server says."""
        return await self._cached(("user", user_id), lambda: self.api.users.get(user_id))

    async def username(self, name: str) -> User:
        """A user by name, case and a leading `@` ignored."""
        bare = name.removeprefix("@").lower()
        return await self._cached(("username", bare), lambda: self.api.users.by_username(bare))

    async def channel(self, channel_id: ChannelId) -> Channel:
        """A channel by id; mind that its `last_post_at` is as old as the entry."""
        return await self._cached(("channel", channel_id), lambda: self.api.channels.get(channel_id))

    def known_user(self, user_id: UserId) -> User | None:
        """What `user` would return without asking the server; None where it would ask."""
        user: User | None = self._fresh(("user", user_id))
        return user

    def known_channel(self, channel_id: ChannelId) -> Channel | None:
        """What `channel` would return without asking the server; None where it would ask."""
        channel: Channel | None = self._fresh(("channel", channel_id))
        return channel

    def learn_channel(self, channel: Channel) -> None:
        """Keep a channel that a list of the server had just now: it need not be asked for."""
        self._remember(("channel", channel.id), channel)

    def cached_name(self, of: UserId | ChannelId) -> str:
        """The username or channel name of an id as it was known last, for people to read; "" without asking anybody.

        A user and a channel never have the same id. May be outdated: nothing is to be decided by it.
        """
        for kind in ("user", "channel"):
            if (entry := self._cache.get((kind, of))) is not None:
                found: User | Channel = entry[1]
                return found.username if isinstance(found, User) else found.name
        return ""

    async def teams(self) -> tuple[Team, ...]:
        """The teams of the account."""
        return await self._cached(("teams",), self.api.teams.mine)

    def note(self, event: Event) -> None:
        """Forget what an event makes stale."""
        match event:
            case UserChanged():
                self._forget_user(event.user_id, event.username)
            case ChannelChanged() | ChannelArchived():
                self._cache.pop(("channel", event.channel_id), None)
            case TeamJoined() | TeamLeft():
                self._cache.pop(("teams",), None)
            case Hello() | Posted() | PostEdited() | PostDeleted() | Reacted() | Typed() | Unhandled():
                return  # makes nothing stale that is cached here
            case MemberAdded() | MemberRemoved() | ChannelAppeared():
                return  # members are not cached, and a channel that appears was not known before
            case _:
                assert_never(event)
        self._epoch += 1

    def _forget_user(self, user_id: UserId, username: str) -> None:
        self._cache.pop(("user", user_id), None)
        # The name in the event is the new one; the entry under the old one names the same user.
        stale = [
            key
            for key, (_, value) in self._cache.items()
            if key == ("username", username.lower()) or (isinstance(value, User) and value.id == user_id)
        ]
        for key in stale:
            del self._cache[key]

    async def _cached(self, key: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        # Under the lock, so that fifty posts of one stranger cost one request.
        async with self._locks.hold(key):
            cached: T | None = self._fresh(key)
            if cached is not None:
                return cached
            epoch = self._epoch
            fresh = await ask()
            # An event in between may have made the answer stale: use it, but do not cache it.
            if epoch == self._epoch:
                self._remember(key, fresh)
            return fresh

    def _fresh(self, key: Hashable) -> Any:
        entry = self._cache.get(key)
        return entry[1] if entry is not None and trio.current_time() - entry[0] < self.ttl else None

    def _remember(self, key: Hashable, value: Any) -> None:
        self._cache[key] = (trio.current_time(), value)
        self._cache.move_to_end(key)
        while len(self._cache) > MAX_ENTRIES:
            self._cache.popitem(last=False)
