"""Catches up with the posts that no event told of: on every connect, shortly after it, and when the audit finds a loss.

Owns the look-up of watermarks, the first watermark of a new channel, and the notice about posts that a cap left out.
The requests are `mattermost.catchup`'s, what a post means is the event handler's.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Container
from functools import partial

import trio
from attrs import evolve, field

from oc_trio.classes import define
from oc_trio.config.mattermost import CatchupSettings
from oc_trio.core.catchup import Capped, CatchUpPolicy, Watermark, first_watermark
from oc_trio.core.entities import Channel
from oc_trio.core.events import Post
from oc_trio.core.ledger import OutboxKind
from oc_trio.errors import MattermostError, MattermostRejected
from oc_trio.ids import ChannelId, OutboxId, PostId
from oc_trio.mattermost.audit import Behind, run_audit
from oc_trio.mattermost.catchup import CatchUpResult, catch_up
from oc_trio.runtime.delivery.fallback import send_with_fallback
from oc_trio.runtime.delivery.outbox_message import OutboxMessage
from oc_trio.runtime.inbound.event_handler import SKEW_MS, take_own_name
from oc_trio.runtime.inbound.post_handler import PostHandler
from oc_trio.runtime.services import AccountServices
from oc_trio.runtime.task_slot import TaskSlot
from oc_trio.telemetry.account_status import CatchUpStatus
from oc_trio.telemetry.log import get_logger

# After so long even a read replica that lags has what was written.
_REPLICATED_MS = 60_000
# Between two rechecks with polling: its interval may be short, and a recheck reads every unanswered post.
_RECHECK_SECONDS = 15.0

log = get_logger(part="catchup")


@define
class _ChannelState:
    """What this run knows of a channel besides its watermark."""

    # The last post before the channel's first watermark, if that was set at the very first start, of this run or of an
    # earlier one: the overlap reads behind it, and what it finds there is not ours to answer.
    began_at: int = -1
    # The channel's `last_post_at` when the audit last found it behind. An edit moves that too; it is read once only.
    audited_at: int = 0


@define
class _RecheckTimer:
    """Says when unanswered messages are compared with the server again. Recovery does so at the start of an account,
    so the first connection counts as one that has just done it.
    """

    has_connected: bool = False
    at: float = 0.0

    def done(self) -> None:
        self.has_connected, self.at = True, trio.current_time()

    def is_due(self, pause: float) -> bool:
        return self.has_connected and trio.current_time() >= self.at + pause


@define(eq=False)
class CatchUp:
    """`on_connected` is the listener's hook; it returns when the account has everything that was posted meanwhile."""

    services: AccountServices
    posts: PostHandler
    settings: CatchupSettings
    nursery: trio.Nursery
    _second_pass: TaskSlot = field(init=False)
    _policy: CatchUpPolicy = field(init=False)
    # As many as the bot has channels.
    _channels: defaultdict[ChannelId, _ChannelState] = field(init=False, factory=lambda: defaultdict(_ChannelState))
    _recheck: _RecheckTimer = field(init=False, factory=_RecheckTimer)
    # The journal is asked once: during this run `_watermarks` sets them itself.
    _knows_began_at: bool = field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        self._second_pass = TaskSlot(self.nursery)
        self._policy = CatchUpPolicy(
            overlap_ms=int(self.settings.overlap * 1000),
            max_age_ms=int(self.settings.max_age * 1000),
            max_posts=self.settings.max_posts,
            concurrency=self.settings.concurrency,
        )

    async def on_connected(self, resumed: bool) -> None:
        """The first pass, with live events held back behind it."""
        services = self.services
        services.metrics.resumes.labels(services.account, "resumed" if resumed else "fresh").inc()
        await self._learn_own_name()
        if self.settings.enabled:
            await self._pass()
        if resumed:
            self._recheck.done()  # the server sends every event that the connection missed
        else:
            await self._check_unanswered(0.0)
        if self.settings.enabled and self.settings.second_pass > 0:
            # In a slot: a connection that was lost meanwhile begins its own second pass, and two would read everything
            # twice.
            await self._second_pass.start(self._pass_later, replacing="a newer connection")

    async def poll(self, _resumed: bool) -> None:
        """One pass, as the poller's hook. It needs no second pass: the next poll comes soon enough."""
        await self._learn_own_name()
        if self.settings.enabled:
            await self._pass()
        await self._check_unanswered(_RECHECK_SECONDS)

    async def _learn_own_name(self) -> None:
        """Ask under which name the bot is mentioned, before posts are judged by it: no event tells of a rename while
        the connection is down, or where there is none, and one that the server sends again comes after the posts.
        """
        user = await self.services.api.users.me()
        take_own_name(self.services, user.username)

    async def audit(self, interval: float, on_loss: Callable[[], Awaitable[None]]) -> None:
        """Every `interval` seconds, look for posts that no event told of; read them, then call `on_loss`."""

        async def seen_until(channel: Channel) -> int | None:
            marks = await self._watermarks((channel,))
            return max(marks[channel.id].at, self._channels[channel.id].audited_at)

        async def on_behind(behind: tuple[Behind, ...]) -> None:
            count_before = self.posts.posts_without_event
            await self._pass(frozenset(each.channel.id for each in behind))
            # After the pass: one that failed has to be found behind again.
            for each in behind:
                self._channels[each.channel.id].audited_at = each.channel.last_post_at
            # Only posts that are new to us count as a loss; what the channels moved for may have been edits or our own
            # posts.
            missed = self.posts.posts_without_event - count_before
            if missed > 0:
                log.warning("posts came without an event", account=self.services.account, count=missed)
                await on_loss()

        while self.settings.enabled:
            try:
                await run_audit(self.services.api, seen_until, on_behind, interval=interval)
            except MattermostError as problem:
                # The connection meets the same error and shows it; the next audit looks at every channel again.
                log.info("the audit failed", account=self.services.account, problem=str(problem))

    async def _check_unanswered(self, pause: float) -> None:
        """Find edits and deletions of which no event told: of our answers, and of messages that are still unanswered,
        these unless that was done less than `pause` seconds ago.
        """
        alive_at = await self._alive_at()
        # Beside the pass: a repair may have to wait for the server.
        # Since the account was alive: later changes came as events.
        self.services.boundary.start(self.nursery, partial(self.services.late_edits.check, alive_at or 0), "late edits")
        if self._recheck.is_due(pause):
            await self.posts.recheck_unanswered()
            self._recheck.done()
        elif not self._recheck.has_connected:
            self._recheck.done()

    async def _pass_later(self) -> None:
        """The second pass: a read replica may have hidden the newest posts from the first one."""
        await trio.sleep(self.settings.second_pass)
        try:
            await self._pass()
        except MattermostError as problem:
            # The next connect reads the same; this pass only makes it sooner.
            log.info("the second pass failed", account=self.services.account, problem=str(problem))

    async def _pass(self, only: Container[ChannelId] | None = None) -> CatchUpResult:
        services = self.services
        before = services.health.account(services.account).catch_up
        try:
            result = await catch_up(
                services.api,
                services.user.id,
                self._watermarks,
                self._admit,
                now_ms=services.clock.now_ms(),
                policy=self._policy,
                only=only,
                alive_at=await self._alive_at(),
            )
        except MattermostError as problem:
            services.health.update(services.account, catch_up=evolve(before, error=str(problem)))
            raise
        status = CatchUpStatus(services.clock.now_ms(), result.posts, result.moved, len(result.capped))
        if not (result.posts or result.capped):  # what an earlier pass read is worth more than nothing
            status = evolve(before, at=status.at, error="")
        services.health.update(services.account, catch_up=status)
        for capped in result.capped:
            await self._note_capped(capped)
        await self._note_read(result.read)
        if result.posts:
            log.info("caught up", account=services.account, channels=result.moved, posts=result.posts)
        return result

    async def _admit(self, channel: Channel, posts: tuple[Post, ...]) -> None:
        await self.posts.on_catchup_posts(channel, posts, began_at=self._channels[channel.id].began_at)

    async def _alive_at(self) -> int | None:
        """When the account was last known to be live, in milliseconds; None before its first connection."""
        resume = await self.services.store.resume.load(self.services.account)
        return resume.at if resume else None

    async def _watermarks(self, channels: tuple[Channel, ...]) -> dict[ChannelId, Watermark]:
        """How far each channel was admitted. A channel without a watermark gets its first one: it was made, or the bot
        joined it, while no gateway ran; at the very first start it begins now.
        """
        services = self.services
        now = services.clock.now_ms()
        if not self._knows_began_at:
            for channel_id, began_at in (await services.store.watermarks.began_at(services.account, now)).items():
                self._channels[channel_id].began_at = began_at
            self._knows_began_at = True
        rows = await services.store.watermarks.all(services.account)
        marks = {row.channel_id: Watermark(row.channel_id, row.create_at, row.post_id) for row in rows}
        alive_at = await self._alive_at()
        # Without a resume point, as with an older journal, the newest watermark is the best known sign of life.
        known_until = alive_at - SKEW_MS if alive_at is not None else max((row.create_at for row in rows), default=None)
        new = [channel for channel in channels if channel.id not in marks]
        for channel in new:
            # At the very first start nothing that was said before is ours to answer, nor worth a request: the mark is
            # beyond the last post, or every channel that was used in the last minutes would be read.
            marks[channel.id] = first_watermark(channel.id, now=channel.last_post_at + 1, known_until=known_until)
        if new:
            began = {channel.id: channel.last_post_at for channel in new} if known_until is None else {}
            times = {channel.id: marks[channel.id].at for channel in new}
            await services.store.watermarks.start_all(services.account, times, began, now)
            for channel_id, began_at in began.items():
                self._channels[channel_id].began_at = began_at
        return marks

    async def _note_read(self, channels: tuple[Channel, ...]) -> None:
        """Move the watermarks of channels that were read a while after their last write: nothing is left in them.

        That write may have been an edit, which moves no watermark: without this, every channel in which the bot has
        answered is read again at each connect.
        """
        services, replicated = self.services, self.services.clock.now_ms() - _REPLICATED_MS
        # A millisecond beyond that write: posts of the same time were read with it, so no tie has to be read again.
        read_until = {
            channel.id: channel.last_post_at + 1 for channel in channels if channel.last_post_at <= replicated
        }
        if read_until:
            await services.store.watermarks.read_until(services.account, read_until)

    async def _note_capped(self, capped: Capped) -> None:
        services = self.services
        services.metrics.catchup_capped.labels(services.account).inc()
        log.warning("catch-up hit its cap", account=services.account, channel=capped.channel_id, limit=capped.limit)
        # Without this, a channel whose new posts are all too old is capped at every connect.
        floor = services.clock.now_ms() - self._policy.max_age_ms
        await services.store.watermarks.advance(services.account, capped.channel_id, PostId(""), floor)
        notice = OutboxMessage(
            # One notice per channel and minute: several connects in a row hit the same cap.
            id=OutboxId(f"capped.{capped.channel_id}.{services.clock.now_ms() // 60_000}"),
            channel_id=capped.channel_id,
            message=f"{capped} Please ask again if you still need an answer.",
            kind=OutboxKind.NOTICE,
        )
        # In the outbox before the send: a crash here must not swallow the only word about messages that nobody will
        # answer.
        await services.delivery.queue([notice])
        # Beside the pass: a channel that takes no posts right now must not hold up the connection.
        send = partial(self._send_notice, notice)
        services.boundary.start(self.nursery, send, "notice", {"outbox": notice.id})

    async def _send_notice(self, notice: OutboxMessage) -> None:
        try:
            await send_with_fallback(self.services.delivery, notice)
        except MattermostRejected as refusal:
            log.info("could not say so in the channel", channel=notice.channel_id, problem=str(refusal))
