"""Catch-up of one account: on every connect, again shortly after going live, and when the audit finds a loss.

Owns the watermarks' look-up, where a channel that is new to us begins, and saying aloud what the caps left out.
"""

from collections.abc import Awaitable, Callable, Container
from functools import partial

import trio
from attrs import define, field

from oc_trio.config.mattermost import Catchup as CatchupSettings
from oc_trio.core.catchup import Capped, CatchUpPolicy, Watermark, first_mark
from oc_trio.core.entities import Channel
from oc_trio.core.events import Post
from oc_trio.core.ledger import OutboxKind
from oc_trio.errors import MattermostError, MattermostRejected
from oc_trio.ids import ChannelId, OutboxId, PostId
from oc_trio.mattermost.audit import Behind, run_audit
from oc_trio.mattermost.catchup import CatchUpResult, catch_up
from oc_trio.runtime.delivery.fallback import send_with_fallback
from oc_trio.runtime.delivery.outbox_message import OutboxMessage
from oc_trio.runtime.inbound.event_handler import SKEW_MS, EventHandler
from oc_trio.runtime.services import AccountServices
from oc_trio.runtime.task_slot import TaskSlot
from oc_trio.telemetry.log import get_logger

# After so long even a late read replica has what was written.
_SETTLED_MS = 60_000
# With polling there are no events at all, and a short interval is no reason to read every question each time.
_LOOK_PAUSE = 15.0

log = get_logger(part="catchup")


@define(eq=False)
class CatchUp:
    """`on_connected` is the listener's hook; it returns when the account has everything that was posted meanwhile."""

    services: AccountServices
    inbox: EventHandler
    settings: CatchupSettings
    nursery: trio.Nursery
    _second: TaskSlot = field(init=False)
    _policy: CatchUpPolicy = field(init=False)
    _audited: dict[ChannelId, int] = field(init=False, factory=dict)
    # When unanswered messages were last looked at; None until the first connection, since a start does so itself.
    _looked_at: float | None = field(init=False, default=None)
    # Channels whose first mark was set in this run: the overlap must not reach behind it.
    _began: dict[ChannelId, int] = field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        self._second = TaskSlot(self.nursery)
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
        if self.settings.enabled:
            await self._pass()
        if resumed:
            self._looked_at = trio.current_time()
        else:
            await self._look(0.0)
        if self.settings.enabled and self.settings.second_pass > 0:
            await self._second.start(self._again, replacing="a newer connection")

    async def poll(self, _resumed: bool) -> None:
        """One pass: without a websocket the poller's hook, whose next poll is soon enough as a second pass."""
        if self.settings.enabled:
            await self._pass()
        await self._look(_LOOK_PAUSE)

    async def audit(self, interval: float, on_loss: Callable[[], Awaitable[None]]) -> None:
        """Every `interval` seconds: is there a post that no event told us of? Then `on_loss`, after reading it."""

        async def seen(channel: Channel) -> int | None:
            marks = await self._marks((channel,))
            return max(marks[channel.id].at, self._audited.get(channel.id, 0))

        async def behind(found: tuple[Behind, ...]) -> None:
            before = self.inbox.missed
            await self._pass(frozenset(each.channel.id for each in found))
            # An edit moves `last_post_at` as well: looked at once, it is no loss again.
            self._audited.update((each.channel.id, each.channel.last_post_at) for each in found)
            if self.inbox.missed > before:
                log.warning(
                    "posts came without an event", account=self.services.account, count=self.inbox.missed - before
                )
                await on_loss()

        while self.settings.enabled:
            try:
                await run_audit(self.services.api, seen, behind, interval=interval)
            except MattermostError as problem:
                # The connection meets the same, and says so to people; what was not looked at is looked at next time.
                log.info("the audit failed", account=self.services.account, problem=str(problem))

    async def _look(self, pause: float) -> None:
        """Edits and deletions of which no event told: of our answers, and of what is still to be answered."""
        alive_at = await self._alive_at()
        # Beside the pass: a repair may have to wait for the server.
        self.services.boundary.start(self.nursery, partial(self.services.late_edits.check, alive_at or 0), "late edits")
        now = trio.current_time()
        if self._looked_at is not None and now >= self._looked_at + pause:
            await self.inbox.look_again()
            now = trio.current_time()
        elif self._looked_at is not None:
            return
        self._looked_at = now

    async def _again(self) -> None:
        """A read replica may have hidden the newest posts from the first pass."""
        await trio.sleep(self.settings.second_pass)
        try:
            await self._pass()
        except MattermostError as problem:
            # The next connect does it all again; this pass is only there to be quicker.
            log.info("the second pass failed", account=self.services.account, problem=str(problem))

    async def _pass(self, only: Container[ChannelId] | None = None) -> CatchUpResult:
        services = self.services
        done = await catch_up(
            services.api,
            services.user.id,
            self._marks,
            self._admit,
            now_ms=services.clock.now_ms(),
            policy=self._policy,
            only=only,
            alive_at=await self._alive_at(),
        )
        for capped in done.capped:
            await self._note_capped(capped)
        await self._note_read(done.read)
        if done.posts:
            log.info("caught up", account=services.account, channels=done.moved, posts=done.posts)
        return done

    async def _admit(self, channel: Channel, posts: tuple[Post, ...]) -> None:
        await self.inbox.on_catchup_posts(channel, posts, began_at=self._began.get(channel.id, -1))

    async def _alive_at(self) -> int | None:
        """When the account was last known to be live, in milliseconds; None before its first connection."""
        saved = await self.services.store.resume.load(self.services.account)
        return saved.at if saved else None

    async def _marks(self, channels: tuple[Channel, ...]) -> dict[ChannelId, Watermark]:
        """How far each channel was admitted. A channel that is new to us began while we were away, or with us."""
        services = self.services
        rows = await services.store.watermarks.all(services.account)
        marks = {row.channel_id: Watermark(row.channel_id, row.create_at, row.post_id) for row in rows}
        seen_at = await self._alive_at()
        alive_at = seen_at - SKEW_MS if seen_at is not None else max((row.create_at for row in rows), default=None)
        new = [channel for channel in channels if channel.id not in marks]
        for channel in new:
            # At the very first start nothing that was said before is ours to answer, nor worth a request: the mark is
            # beyond the last post, or every channel that was used in the last minutes would be read.
            marks[channel.id] = first_mark(channel.id, now=channel.last_post_at + 1, known_until=alive_at)
            if alive_at is None:
                self._began[channel.id] = channel.last_post_at
        if new:
            await services.store.watermarks.start_all(
                services.account, {channel.id: marks[channel.id].at for channel in new}
            )
        return marks

    async def _note_read(self, channels: tuple[Channel, ...]) -> None:
        """Nothing is left in a channel that was read a while after its last write. That may have been an edit, which no
        watermark follows: without this, every place where the bot has answered is read again at each connect.
        """
        services, settled = self.services, self.services.clock.now_ms() - _SETTLED_MS
        # Beyond that write by a millisecond: what had the same time was read with it, so there is no tie any more.
        read = {channel.id: channel.last_post_at + 1 for channel in channels if channel.last_post_at <= settled}
        if read:
            await services.store.watermarks.read_until(services.account, read)

    async def _note_capped(self, capped: Capped) -> None:
        services = self.services
        services.metrics.catchup_capped.labels(services.account).inc()
        log.warning("catch-up hit its cap", account=services.account, channel=capped.channel_id, limit=capped.limit)
        # What is too old stays so: without this, a channel whose news are all too old is capped at every connect.
        floor = services.clock.now_ms() - self._policy.max_age_ms
        await services.store.watermarks.advance(services.account, capped.channel_id, PostId(""), floor)
        letter = OutboxMessage(
            id=OutboxId(f"capped.{capped.channel_id}.{services.clock.now_ms() // 60_000}"),
            channel_id=capped.channel_id,
            message=f"{capped} Please ask again if you still need an answer.",
            kind=OutboxKind.NOTICE,
        )
        await services.delivery.queue([letter])
        # Beside the pass: a channel that takes no posts right now must not hold up the connection.
        say = partial(self._say, letter)
        services.boundary.start(self.nursery, say, "notice", {"outbox": letter.id})

    async def _say(self, letter: OutboxMessage) -> None:
        try:
            await send_with_fallback(self.services.delivery, letter)
        except MattermostRejected as refusal:
            log.info("could not say so in the channel", channel=letter.channel_id, problem=str(refusal))
