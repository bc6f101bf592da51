"""Catch-up of one account: on every connect, again shortly after going live, and when the audit finds a loss.

Owns the watermarks' look-up, where a channel that is new to us begins, and saying aloud what the caps left out.
"""

import trio
from attrs import define, field

from oc_trio.config.mattermost import Catchup as CatchupSettings
from oc_trio.core.entities import Channel
from oc_trio.core.events import ChannelType, Post
from oc_trio.core.obligations import OutboxKind
from oc_trio.errors import MattermostError, MattermostRejected
from oc_trio.ids import ChannelId, OutboxId
from oc_trio.mattermost.catchup import Capped, CatchUpPolicy, CaughtUp, Watermark, catch_up
from oc_trio.runtime.delivery import Letter
from oc_trio.runtime.inbox import Inbox
from oc_trio.runtime.kit import AccountKit
from oc_trio.runtime.slots import TaskSlot
from oc_trio.telemetry.log import get_logger

log = get_logger(part="catchup")

_JOINED = frozenset({"system_add_to_channel", "system_join_channel"})


@define(eq=False)
class CatchUp:
    """`on_connected` is the listener's hook; it returns when the account has everything that was posted meanwhile."""

    kit: AccountKit
    inbox: Inbox
    settings: CatchupSettings
    nursery: trio.Nursery
    _second: TaskSlot = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._second = TaskSlot(self.nursery)

    async def on_connected(self, resumed: bool) -> None:
        """The first pass, with live events held back behind it."""
        kit = self.kit
        kit.metrics.resumes.labels(kit.account, "resumed" if resumed else "fresh").inc()
        await self._pass()
        if self.settings.second_pass > 0:
            await self._second.start(self._again, replacing="a newer connection")

    async def _again(self) -> None:
        """A read replica may have hidden the newest posts from the first pass."""
        await trio.sleep(self.settings.second_pass)
        try:
            await self._pass()
        except MattermostError as problem:
            # The next connect does it all again; this pass is only there to be quicker.
            log.info("the second pass failed", account=self.kit.account, problem=str(problem))

    async def _pass(self) -> CaughtUp:
        kit = self.kit
        marks = {mark.channel_id: mark for mark in await kit.store.watermarks.all(kit.account)}
        saved = await kit.store.resume.load(kit.account)
        alive_at = saved.at if saved else max((mark.create_at for mark in marks.values()), default=0)

        async def look_up(channel: Channel) -> Watermark | None:
            mark = marks.get(channel.id)
            if mark is not None:
                return Watermark(mark.create_at, mark.post_id)
            # Before the first run nothing is ours to answer. Later, a channel that is new began while we were away.
            return Watermark(alive_at, floor_at=alive_at) if alive_at else None

        async def admit(channel: Channel, posts: tuple[Post, ...]) -> None:
            if channel.id not in marks:
                posts = self._since_joining(channel, posts)
                await kit.store.watermarks.start(kit.account, channel.id, alive_at)
            await self.inbox.on_caught_up(channel, posts)

        done = await catch_up(
            kit.api,
            look_up,
            admit,
            now_ms=kit.env.now_ms(),
            policy=CatchUpPolicy(max_age=self.settings.max_age, max_posts=self.settings.max_posts),
        )
        for channel in done.unknown:
            await kit.store.watermarks.start(kit.account, channel.id, channel.last_post_at)
        for capped in done.capped:
            await self._say_capped(capped)
        if done.posts:
            log.info("caught up", account=kit.account, channels=done.moved, posts=done.posts)
        return done

    def _since_joining(self, channel: Channel, posts: tuple[Post, ...]) -> tuple[Post, ...]:
        """What was said in a channel before the bot was in it was not said to the bot."""
        if channel.type in (ChannelType.DIRECT, ChannelType.GROUP):
            return posts
        ours = self.kit.user.id
        joined = [
            index
            for index, post in enumerate(posts)
            if post.type in _JOINED and ours in (post.user_id, post.props.get("addedUserId"))
        ]
        return posts[joined[-1] :] if joined else posts

    async def _say_capped(self, capped: Capped) -> None:
        kit, channel_id = self.kit, ChannelId(capped.channel.id)
        kit.metrics.catchup_capped.labels(kit.account).inc()
        log.warning("catch-up left older posts unread", account=kit.account, channel=channel_id, reason=capped.reason)
        letter = Letter(
            id=OutboxId(f"capped.{channel_id}.{kit.env.now_ms() // 60_000}"),
            channel_id=channel_id,
            message="I was away for a while; older messages here were left unread. Please ask again if you still "
            "need an answer.",
            kind=OutboxKind.NOTICE,
        )
        try:
            await kit.delivery.post(letter)
        except MattermostRejected as refusal:
            log.info("could not say so in the channel", channel=channel_id, problem=str(refusal))
