"""Reads over REST what was posted while nobody listened, and hands it to admission, oldest first.

Owns which pages are read and what the caps cut off. Keeps no watermark: those are looked up and moved by the caller.
Never `since=`: it drops posts beyond 1000 and brings the history of every edit. Facts: contract kit, "Catching up".
"""

from collections.abc import Awaitable, Callable, Container

import trio
from attrs import define, field, frozen

from oc_trio.core.entities import Channel
from oc_trio.core.events import Post
from oc_trio.errors import MattermostRejected
from oc_trio.ids import ChannelId, PostId
from oc_trio.mattermost.client import Api
from oc_trio.mattermost.groups import each_bounded
from oc_trio.mattermost.pages import PER_PAGE

AT_ONCE = 4
SECOND_PASS_SECONDS = 10.0  # a read replica may lag this far behind the event stream
OVERLAP_POSTS = 20  # `after=` compares times strictly: a post in the same millisecond as the cursor would be skipped
OVERLAP_MS = 60_000


@frozen
class CatchUpPolicy:
    """The caps: `max_age` in seconds, `max_posts` per channel; beyond either the newest are kept."""

    max_age: float = 24 * 3600.0
    max_posts: int = 500


@frozen
class Watermark:
    """The newest post admitted in a channel (`post_id` empty if only the time is known), and since when we watch it."""

    create_at: int
    post_id: str = ""
    floor_at: int = 0


@frozen
class Capped:
    """A channel of which older posts were left unread, because of their `age` or their `count`."""

    channel: Channel
    reason: str


@frozen
class CaughtUp:
    """What a pass did. `unknown` channels have no watermark: they start now, at their `last_post_at`."""

    checked: int = 0
    moved: int = 0
    posts: int = 0
    capped: tuple[Capped, ...] = ()
    unknown: tuple[Channel, ...] = ()
    refused: tuple[ChannelId, ...] = ()


LookUp = Callable[[Channel], Awaitable[Watermark | None]]
Admit = Callable[[Channel, tuple[Post, ...]], Awaitable[None]]


@define(eq=False)
class _Pass:
    api: Api
    look_up: LookUp
    admit: Admit
    now_ms: int
    policy: CatchUpPolicy
    moved: int = 0
    posts: int = 0
    capped: list[Capped] = field(factory=list)
    unknown: list[Channel] = field(factory=list)
    refused: list[ChannelId] = field(factory=list)

    async def channel(self, channel: Channel) -> None:
        watermark = await self.look_up(channel)
        if watermark is None:
            self.unknown.append(channel)
            return
        if channel.last_post_at <= watermark.create_at:
            return
        self.moved += 1
        try:
            found = await self._read(channel, watermark)
        except MattermostRejected as exc:
            if exc.is_auth:
                raise
            self.refused.append(channel.id)  # removed from it meanwhile: the event tells, if it matters
            return
        floor = max(watermark.create_at - OVERLAP_MS, watermark.floor_at, self._oldest())
        fresh = {post.id: post for post in found if post.create_at >= floor and not _is_history(post)}
        if fresh:
            posts = tuple(sorted(fresh.values(), key=_age))
            self.posts += len(posts)
            await self.admit(channel, posts)

    async def _read(self, channel: Channel, watermark: Watermark) -> list[Post]:
        if watermark.create_at < self._oldest():
            return await self._walk(channel, self._oldest(), "age")
        start = await self._cursor(channel, watermark) if watermark.post_id else None
        if start is not None:
            found = await self._follow(channel, start)
            if found is not None:
                return found
        return await self._walk(channel, max(watermark.create_at - OVERLAP_MS, watermark.floor_at), "")

    async def _cursor(self, channel: Channel, watermark: Watermark) -> PostId | None:
        """A post a little before the watermark; None where the server doesn't know the watermark's post (any more)."""
        earlier = await self.api.posts.before(channel.id, PostId(watermark.post_id), per_page=OVERLAP_POSTS)
        return min(earlier.posts, key=_age).id if earlier.posts else None

    async def _follow(self, channel: Channel, start: PostId) -> list[Post] | None:
        """Everything after `start`; None if that is more than the cap."""
        found: dict[PostId, Post] = {}
        while True:
            page = (await self.api.posts.after(channel.id, start)).posts
            fresh = [post for post in page if post.id not in found]
            found.update((post.id, post) for post in fresh)
            if len(found) > self.policy.max_posts + OVERLAP_POSTS:
                return None
            if len(page) < PER_PAGE or not fresh:
                return list(found.values())
            newest = max(page, key=_age)
            # One millisecond back, for posts that share the newest one's.
            start = max((post for post in page if post.create_at < newest.create_at), key=_age, default=newest).id

    async def _walk(self, channel: Channel, until: int, reason: str) -> list[Post]:
        """From the newest back to the time `until`, at most as many as the cap."""
        found: dict[PostId, Post] = {}
        number = 0
        while True:
            page = (await self.api.posts.page(channel.id, page=number, per_page=PER_PAGE)).posts
            # The last of one page comes again as posts arrive; deletions meanwhile are the second pass's business.
            found.update((post.id, post) for post in page if post.create_at >= until)
            if len(found) > self.policy.max_posts:
                reason = "count"
                break
            if len(page) < PER_PAGE or min(post.create_at for post in page) < until:
                break
            number += 1
        if reason:
            self.capped.append(Capped(channel, reason))
        return sorted(found.values(), key=_age)[-self.policy.max_posts :]

    def _oldest(self) -> int:
        return self.now_ms - int(self.policy.max_age * 1000)


async def catch_up(
    api: Api,
    look_up: LookUp,
    admit: Admit,
    *,
    now_ms: int,
    policy: CatchUpPolicy | None = None,
    only: Container[ChannelId] | None = None,
) -> CaughtUp:
    """One pass over the channels that moved beyond their watermark; `admit` gets each one's posts once, oldest first.

    Posts may come that were admitted before: admission drops them by id. Raises MattermostError if a channel could not
    be read to its end; what was admitted until then stands.
    """
    work = _Pass(api, look_up, admit, now_ms, policy or CatchUpPolicy())
    mine = [channel for channel in await api.channels.mine() if only is None or channel.id in only]
    await each_bounded(work.channel, mine, AT_ONCE)
    return CaughtUp(
        checked=len(mine),
        moved=work.moved,
        posts=work.posts,
        capped=tuple(work.capped),
        unknown=tuple(work.unknown),
        refused=tuple(work.refused),
    )


async def second_pass(
    api: Api,
    look_up: LookUp,
    admit: Admit,
    *,
    now_ms: Callable[[], int],
    policy: CatchUpPolicy | None = None,
) -> CaughtUp:
    """Wait SECOND_PASS_SECONDS and catch up once more, for posts that a lagging replica had hidden."""
    await trio.sleep(SECOND_PASS_SECONDS)
    return await catch_up(api, look_up, admit, now_ms=now_ms(), policy=policy)


def _is_history(post: Post) -> bool:
    return bool(post.original_id or post.delete_at)


def _age(post: Post) -> tuple[int, str]:
    return post.create_at, post.id
