"""Reads posts that were missed while disconnected, over REST, and passes them to admission, oldest first.

It owns the requests and how many run concurrently. `core.catchup` decides which channels are read and how far back;
the caller looks watermarks up and moves them. Never `since=`: it drops posts beyond 1000 and adds every edit's history.
"""

from collections.abc import Awaitable, Callable, Container, Mapping

from attrs import field

from oc_trio.classes import define, frozen
from oc_trio.core.catchup import Capped, CatchUpPolicy, Walk, Watermark, after_joining, channels_to_read
from oc_trio.core.entities import Channel
from oc_trio.core.events import Post
from oc_trio.errors import MattermostRejected
from oc_trio.ids import ChannelId, PostId, UserId
from oc_trio.mattermost.client import Api
from oc_trio.mattermost.concurrency import run_bounded

# Given every channel of the account: the watermarks of those that have one. The place to give new channels their first.
LookUp = Callable[[tuple[Channel, ...]], Awaitable[Mapping[ChannelId, Watermark]]]
Admit = Callable[[Channel, tuple[Post, ...]], Awaitable[None]]


@frozen
class CatchUpResult:
    """What a pass did. `read` are the channels that were read whole; `unknown` have no watermark and were not read;
    `refused` can't be read (any more).
    """

    checked: int = 0
    moved: int = 0
    posts: int = 0
    read: tuple[Channel, ...] = ()
    capped: tuple[Capped, ...] = ()
    unknown: tuple[ChannelId, ...] = ()
    refused: tuple[ChannelId, ...] = ()


@define(eq=False)
class _Pass:
    api: Api
    bot_id: UserId
    marks: Mapping[ChannelId, Watermark]
    admit: Admit
    now_ms: int
    policy: CatchUpPolicy
    posts: int = 0
    read: list[Channel] = field(factory=list)
    capped: list[Capped] = field(factory=list)
    refused: list[ChannelId] = field(factory=list)

    async def channel(self, channel: Channel) -> None:
        try:
            walk = await self._walk(channel)
        except MattermostRejected as exc:
            # About the token and not about this channel: the whole pass fails, and the connection shows it.
            if exc.is_auth:
                raise
            self.refused.append(channel.id)  # removed from it meanwhile: an event tells, if it matters
            return
        if walk.capped is not None:
            self.capped.append(walk.capped)
        # What was said before the bot was added was not meant for it.
        posts = after_joining(walk.posts, self.bot_id)
        if posts:
            self.posts += len(posts)
            await self.admit(channel, posts)
        if walk.capped is None:
            self.read.append(channel)

    async def _walk(self, channel: Channel) -> Walk:
        walk = Walk(channel.id, self.marks[channel.id], self.policy, self.now_ms)
        size = self.policy.page_size
        while not walk.done:
            if walk.before:
                # By a post and not by a page number: new posts would shift the pages while we read. A post that has
                # been deleted since still works (tests/contract, posts_deleted_in_pages).
                page = await self.api.posts.before(channel.id, PostId(walk.before), per_page=size)
            else:
                page = await self.api.posts.page(channel.id, per_page=size)
            walk = walk.feed(page)
        return walk


async def catch_up(
    api: Api,
    bot_id: UserId,
    look_up: LookUp,
    admit: Admit,
    *,
    now_ms: int,
    policy: CatchUpPolicy | None = None,
    only: Container[ChannelId] | None = None,
    alive_at: int | None = None,
) -> CatchUpResult:
    """One pass over the channels that moved beyond their watermark; `admit` gets each one's posts once, oldest first.

    `alive_at`, in milliseconds, is when the account was last known to be live: what a late replica hid then is looked
    for however long we were away since.
    Posts may come that were admitted before: admission drops them by id. Raises MattermostError if a channel could not
    be read to its end; what was admitted until then stands.
    """
    policy = policy or CatchUpPolicy()
    mine = tuple(channel for channel in await api.channels.mine() if only is None or channel.id in only)
    marks = await look_up(mine)
    work = _Pass(api, bot_id, marks, admit, now_ms, policy)
    to_read = channels_to_read(mine, marks, policy, now=now_ms if alive_at is None else min(now_ms, alive_at))
    await run_bounded(work.channel, to_read, policy.concurrency)
    return CatchUpResult(
        checked=len(mine),
        moved=len(to_read),
        posts=work.posts,
        read=tuple(work.read),
        capped=tuple(work.capped),
        unknown=tuple(channel.id for channel in mine if channel.id not in marks),
        refused=tuple(work.refused),
    )
