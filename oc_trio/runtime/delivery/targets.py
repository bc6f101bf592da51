"""Resolves targets (`#channel`, `@user`, ids) to channels and users that the bot can see.

Owns the lookups and the sentences about targets that can't be resolved. The syntax of targets is in `core.targets`;
direct channels are opened by the sender, not here.
"""

import re
from collections import OrderedDict
from typing import assert_never

import trio
from attrs import field

from oc_trio.classes import define, frozen
from oc_trio.core.entities import Channel, User
from oc_trio.core.events import ChannelType
from oc_trio.core.targets import (
    ChannelById,
    ChannelByName,
    OpaqueId,
    Target,
    UserById,
    UserByName,
    choose_channel,
    parse_target,
)
from oc_trio.errors import MattermostRejected, UnknownTarget
from oc_trio.ids import ChannelId, UserId
from oc_trio.mattermost.concurrency import run_bounded
from oc_trio.mattermost.directory import Directory

# How long the kind (user or channel) of a bare id is cached: as long as OpenClaw does.
KIND_SECONDS = 300.0
# Of each kind of entry, for memory: models and scripts may name any number of targets.
MAX_KINDS = 1024
# Short, as a channel may be renamed at any time; enough to make one lookup of a burst of messages.
NAME_SECONDS = 60.0
# A bot may be in dozens of teams, and each is a request.
_TEAMS_AT_ONCE = 8
# Statuses for a name or id that does not exist, or that the bot may not see.
_ABSENT = frozenset({400, 403, 404})
_DIRECT_NAME = re.compile(r"([a-z0-9]{26})__([a-z0-9]{26})")


@frozen
class Place:
    """A channel, or a user whose direct channel is opened when it is needed; exactly one is set."""

    channel: Channel | None = None
    user: User | None = None

    @property
    def channel_id(self) -> ChannelId:
        """Empty for a person."""
        return self.channel.id if self.channel else ChannelId("")

    @property
    def user_id(self) -> UserId:
        """Empty for a channel."""
        return self.user.id if self.user else UserId("")

    def __str__(self) -> str:
        if self.user is not None:
            return f"@{self.user.username}" if self.user.username else f"user:{self.user.id}"
        if self.channel is None or self.channel.type in (ChannelType.DIRECT, ChannelType.GROUP):
            return f"channel:{self.channel_id}"
        return f"#{self.channel.name}" if self.channel.name else f"channel:{self.channel.id}"


@define(eq=False)
class TargetResolver:
    """One account's lookups. Raises TargetError (a sentence for a person), MattermostError (the server is away)."""

    directory: Directory
    bot: User
    _kinds: OrderedDict[str, tuple[float, bool]] = field(init=False, factory=OrderedDict)
    _names: OrderedDict[ChannelByName, tuple[float, Channel]] = field(init=False, factory=OrderedDict)

    async def resolve(self, target: Target | str) -> Place:
        """Where `target` is; text is parsed first."""
        parsed = parse_target(target) if isinstance(target, str) else target
        match parsed:
            case ChannelById():
                return Place(await self._channel(parsed.id))
            case ChannelByName():
                # Mattermost names a direct channel after the ids of its two members.
                pair = _DIRECT_NAME.fullmatch(parsed.name)
                if pair and not parsed.team and self.bot.id in pair.groups():
                    other = pair[2] if pair[1] == self.bot.id else pair[1]
                    return Place(user=await self._user(UserId(other)))
                return Place(await self._named(parsed))
            case UserById():
                return Place(user=await self._user(parsed.id))
            case UserByName():
                return Place(user=await self._username(parsed.username))
            case OpaqueId():
                return await self._opaque(parsed.id)
            case _:
                assert_never(parsed)

    async def _opaque(self, opaque: str) -> Place:
        """A user if there is one, else a channel. The kind is cached, so that a channel costs no second request."""
        cached = self._kinds.get(opaque)
        is_user = cached[1] if cached and trio.current_time() - cached[0] < KIND_SECONDS else None
        if is_user is not False:
            try:
                place = Place(user=await self.directory.user(UserId(opaque)))
            except MattermostRejected as refusal:
                if refusal.status not in _ABSENT:
                    raise
            else:
                self._remember(opaque, is_user=True)
                return place
        try:
            channel = await self.directory.channel(ChannelId(opaque))
        except MattermostRejected as refusal:
            if refusal.status not in _ABSENT:
                raise
            raise UnknownTarget(
                f"{opaque} is neither a user nor a channel that @{self.bot.username} may see. "
                "Write user:<id> or channel:<id> to say which one is meant."
            ) from refusal
        self._remember(opaque, is_user=False)
        return Place(channel)

    def _remember(self, opaque: str, *, is_user: bool) -> None:
        self._kinds[opaque] = (trio.current_time(), is_user)
        self._kinds.move_to_end(opaque)
        while len(self._kinds) > MAX_KINDS:
            self._kinds.popitem(last=False)

    async def _channel(self, channel_id: ChannelId) -> Channel:
        try:
            return await self.directory.channel(channel_id)
        except MattermostRejected as refusal:
            if refusal.status not in _ABSENT:
                raise
            # The server answers the same for unknown, foreign and forbidden channels, so the sentence is one, too.
            raise UnknownTarget(
                f"There is no channel {channel_id}, or @{self.bot.username} may not see it: "
                f"check the id, or write /invite @{self.bot.username} in the channel."
            ) from refusal

    async def _user(self, user_id: UserId) -> User:
        try:
            return await self.directory.user(user_id)
        except MattermostRejected as refusal:
            if refusal.status == 403:  # people may be hidden from a bot that may write to them all the same
                return User(user_id, "")
            if refusal.status not in _ABSENT:
                raise
            raise UnknownTarget(f"There is no user with the id {user_id}.") from refusal

    async def _username(self, name: str) -> User:
        try:
            return await self.directory.username(name)
        except MattermostRejected as refusal:
            if refusal.status not in _ABSENT:
                raise
            raise UnknownTarget(f"There is no user @{name}.") from refusal

    async def _named(self, target: ChannelByName) -> Channel:
        cached = self._names.get(target)
        if cached and trio.current_time() - cached[0] < NAME_SECONDS:
            return cached[1]
        teams = await self.directory.teams()
        named = [team for team in teams if not target.team or team.name == target.team]
        if not named:
            known = ", ".join(sorted(team.name for team in teams)) or "none"
            where = f"team {target.team}" if target.team else "any team"
            raise UnknownTarget(f"@{self.bot.username} is not in {where}; its teams: {known}.")
        channels: list[tuple[str, Channel]] = []

        async def look_up(number: int) -> None:
            team = named[number]
            try:
                channel = await self.directory.api.channels.by_name(team.id, target.name)
            except MattermostRejected as refusal:
                if refusal.status not in _ABSENT:
                    raise
                return
            channels.append((team.name, channel))

        await run_bounded(look_up, range(len(named)), _TEAMS_AT_ONCE)
        # Sorted, because answers come in any order, and an error that lists teams should read the same each time.
        channel = choose_channel(target, sorted(channels, key=lambda pair: pair[0]))
        self._names[target] = (trio.current_time(), channel)
        while len(self._names) > MAX_KINDS:
            self._names.popitem(last=False)
        return channel


def refusal_text(refusal: MattermostRejected, place: Place, bot: User) -> str:
    """A refused write as a sentence that says what to do."""
    if refusal.status == 403 and place.user is None:
        return f"@{bot.username} may not write in {place}: write /invite @{bot.username} there ({refusal})"
    return f"the server refused it: {refusal}"
