"""Handles posts of one account: new, edited and deleted ones, by an event or from catch-up.

Raises MattermostError where the server can't give a fact: the event or the catch-up then comes again.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import islice, takewhile

import trio

from oc_trio.classes import define
from oc_trio.core.chat_commands import ChatCommand, parse_command
from oc_trio.core.entities import Channel
from oc_trio.core.events import ChannelType, Post, Posted
from oc_trio.core.inbound import InboundMessage
from oc_trio.core.ledger import Obligation, ObligationState, OutboxKind, Source, cancelled, failed, silent
from oc_trio.errors import MattermostRejected
from oc_trio.ids import OutboxId
from oc_trio.runtime.conversation.cancel_reason import CancelReason
from oc_trio.runtime.conversation.dispatcher import Dispatcher
from oc_trio.runtime.conversation.mailbox import Job
from oc_trio.runtime.delivery.delivery import Receipt
from oc_trio.runtime.delivery.fallback import send_with_fallback
from oc_trio.runtime.delivery.outbox_message import OutboxMessage, row_of
from oc_trio.runtime.error_boundary import DEFECT, SORRY
from oc_trio.runtime.inbound.admission import AdmissionPipeline, Admitted
from oc_trio.runtime.inbound.chat_commands import ChatCommandHandler
from oc_trio.runtime.inbound.event_tries import PASSING, EventTries
from oc_trio.runtime.inbound.recheck import find_changes, message_of
from oc_trio.runtime.journal_write import finish_write
from oc_trio.runtime.services import AccountServices
from oc_trio.runtime.turn.end_without_agent import settle
from oc_trio.runtime.turn.live_drafts import LiveDrafts
from oc_trio.store.admission import BEFORE_FIRST_START, NOT_HANDLED
from oc_trio.telemetry.log import get_logger

MAX_TOGETHER = 200  # posts of catch-up in one transaction

log = get_logger(part="post_handler")


@define(eq=False)
class PostHandler:
    """One account's, for posts of the listener's events and of catch-up.

    What may have to wait for the server is done by children of `nursery`: the next post doesn't wait for it.
    `posts_without_event` counts people's posts that only catch-up brought.
    """

    services: AccountServices
    admission: AdmissionPipeline
    dispatcher: Dispatcher
    chat_commands: ChatCommandHandler
    live: LiveDrafts
    tries: EventTries
    nursery: trio.Nursery
    # Whether a message was the answer that an open question waits for.
    take_text: Callable[[InboundMessage], bool]
    posts_without_event: int = 0

    async def on_posted(self, post: Post, chat_type: ChannelType | None, source: Source) -> None:
        """Admit one post, and hand it on."""
        if post.user_id == self.services.user.id and source is Source.LIVE:
            await self._confirm_own_post(post, is_live=True)
        await self._hand_on(await self.admission.admit(post, chat_type, source))

    async def on_catchup_posts(self, channel: Channel, posts: tuple[Post, ...], *, began_at: int = -1) -> None:
        """Admit a channel's posts from catch-up, oldest first, as if they had come as events.

        Posts up to `began_at` (server milliseconds) are from before the bot's first start in this channel: they are
        recorded as ignored, not answered.
        """
        services = self.services
        services.metrics.catchup_posts.labels(services.account).inc(len(posts))
        services.directory.learn_channel(channel)
        # One query for all: after a long downtime nearly every post of the overlap has been seen.
        seen = await services.store.admission.seen(services.account, [post.id for post in posts])
        at = 0
        while at < len(posts):
            news = takewhile(lambda post: post.id not in seen and post.create_at > began_at, posts[at:])
            count = await self.record_unaddressed(tuple(islice(news, MAX_TOGETHER)), Source.CATCHUP)
            self.posts_without_event += count
            at += count
            # Most channels have nothing for the bot: all of one may be done by now.
            if count < MAX_TOGETHER and at < len(posts):
                await self._caught_up(channel, posts[at], is_seen=posts[at].id in seen, began_at=began_at)
                at += 1

    async def _caught_up(self, channel: Channel, post: Post, *, is_seen: bool, began_at: int) -> None:
        """Admit one post of catch-up."""
        is_ours = post.user_id == self.services.user.id
        if is_ours:
            await self._confirm_own_post(post, is_live=False)
        if is_seen:
            if post.edit_at and not is_ours:
                # The event of the edit may have been missed, and the edit may have added a mention.
                edited = partial(self.on_edited, post)
                await self.tries.run(edited, "caught-up post", {"post": post.id}, retry=edited)
            return
        # A bot that is new in an old channel must not answer its history.
        if post.create_at <= began_at:
            await self.admission.mark_ignored(post, BEFORE_FIRST_START)
            return
        # Counted for the log: many of them mean that the websocket loses events.
        self.posts_without_event += not is_ours
        posted = partial(self.on_posted, post, channel.type, Source.CATCHUP)
        retry = partial(self.retry, post, posted)
        if await self.tries.run(posted, "caught-up post", {"post": post.id}, retry=retry) is not None:
            await self.give_up(post)

    async def record_unaddressed(self, posts: Sequence[Post], source: Source) -> int:
        """How many of the first `posts` were recorded as not addressed; 0 after a defect, which one of them may cause:
        each is then handled by itself.
        """
        count = 0

        async def record() -> None:
            nonlocal count
            count = await self.admission.admit_unaddressed(posts, source)

        about = {"kind": Posted.__name__, "posts": len(posts)}
        if posts:
            await self.services.boundary.contain(record, "event", about, passing=PASSING, will_retry=True)
        return count

    async def retry(self, post: Post, handle: Callable[[], Awaitable[None]]) -> None:
        """Handle a post again after a defect; if it was admitted by then, only hand it to its session."""
        obligation = await self.services.store.obligations.by_trigger(self.services.account, post.id)
        if obligation is None:
            await handle()
        elif obligation.state is ObligationState.OPEN and not any(each.holds(post.id) for each in self.dispatcher):
            await self.resubmit(obligation)

    async def resubmit(self, obligation: Obligation) -> None:
        """Hand on a message that was admitted before. Raises StoreUnusable where its record can't be read."""
        message = message_of(obligation)
        self.submit(obligation, message, parse_command(message.text) if message.command else None)

    def submit(self, obligation: Obligation, message: InboundMessage, command: ChatCommand | None = None) -> None:
        """Hand an admitted message to the chat commands or to its session. Never waits."""
        if command is not None:
            self.chat_commands.submit(obligation, message, command)
        else:
            self.dispatcher.submit(obligation, message)

    async def give_up(self, post: Post) -> None:
        """A defect kept a post from being handled: record it as seen, so that catch-up doesn't meet the defect again.

        If it was admitted before the defect, its obligation ends in words instead.
        """

        async def give_up() -> None:
            services = self.services
            obligation = await services.store.obligations.by_trigger(services.account, post.id)
            message = message_of(obligation) if obligation is not None else None
            if obligation is None:
                await self._ignore_poison(post)
            # It has ended, or it waits in a conversation, whose turn will end it.
            elif obligation.state is not ObligationState.OPEN or any(each.holds(post.id) for each in self.dispatcher):
                return
            elif message is not None:
                await settle(services, [Job(obligation, message)], DEFECT)
            else:
                await services.store.obligations.close([obligation.id], failed(DEFECT), services.clock.now_ms())

        await self.services.boundary.contain(give_up, "message", {"post": post.id})

    async def _ignore_poison(self, post: Post) -> None:
        """Record a post as ignored; its author is told, if it plainly was a question to the bot."""
        services, notice = self.services, None

        async def build_notice() -> None:
            nonlocal notice
            route = await self.admission.question_route(post)
            if route is not None:
                name = OutboxId(f"failed.{services.account}.{post.id}")
                notice = OutboxMessage(name, post.channel_id, SORRY, OutboxKind.NOTICE, route.reply_root or "")

        # The defect may be in these very look-ups.
        await services.boundary.contain(build_notice, "message", {"post": post.id})
        row = (
            row_of(notice, services.account, services.user.id, services.clock.now_ms()) if notice is not None else None
        )
        if await self.admission.mark_ignored(post, NOT_HANDLED, row) and notice is not None:
            services.boundary.start(self.nursery, partial(self._send_notice, notice), "notice", {"post": post.id})

    async def _send_notice(self, notice: OutboxMessage) -> None:
        try:
            await send_with_fallback(self.services.delivery, notice)
        except MattermostRejected as refusal:
            log.info("could not say so", account=self.services.account, outbox=notice.id, problem=str(refusal))

    async def _confirm_own_post(self, post: Post, *, is_live: bool) -> None:
        """Confirm the outbox row of one of our own posts; a second post of the same row is deleted.

        What another gateway has posted with the same bot raises the alarm, and stays.
        """
        alarm = self.services.second_gateway
        if alarm.is_anothers(post):
            alarm.examine(post, is_sent=False, is_live=is_live)
            return
        self._examine(post, await self.services.delivery.acknowledge(post), is_live=is_live)

    async def on_own_posted(self, posts: Sequence[Post]) -> None:
        """As `on_posted` with events of our own posts, in one transaction."""
        for post, receipt in zip(posts, await self.services.delivery.acknowledge_read(posts)):
            self._examine(post, receipt, is_live=True)

    def _examine(self, post: Post, receipt: Receipt, *, is_live: bool) -> None:
        self.services.second_gateway.examine(post, is_sent=receipt is not Receipt.NOT_SENT, is_live=is_live)
        if receipt is Receipt.SENT_TWICE:
            log.warning("a held-up request made a post twice; removing the second", post=post.id)
            remove = partial(self.services.delivery.delete_quietly, post.id)
            self.services.boundary.start(self.nursery, remove, "second post", {"post": post.id})

    async def _hand_on(self, admitted: Admitted | None) -> None:
        if admitted is None:
            return
        # An answer to a question of the running turn: that turn waits for it, so it must not wait in the queue behind
        # it.
        if admitted.command is None and self.take_text(admitted.message):
            answered, now = silent("it answered a question"), self.services.clock.now_ms()
            # Also if the connection ends meanwhile: it was taken, and must not be a message at the next start.
            close = partial(self.services.store.obligations.close, [admitted.obligation.id], answered, now)
            await finish_write(close)
        else:
            self.submit(admitted.obligation, admitted.message, admitted.command)

    async def on_edited(self, post: Post) -> None:
        """A changed text of an unanswered message runs its turn again; an edit that adds a mention is admitted."""
        services = self.services
        if post.user_id == services.user.id:
            if services.late_edits.is_overwritten(post):
                repair = partial(services.late_edits.repair, post.id)
                services.boundary.start(self.nursery, repair, "late edit", {"post": post.id})
            return
        if post.is_system:
            return
        obligation = await services.store.obligations.by_trigger(services.account, post.id)
        if obligation is None:
            await self._hand_on(await self.admission.admit(post, None, Source.EDIT, watermark=False))
            return
        if obligation.state is not ObligationState.OPEN:
            return
        post = await self._current(post)
        message = await self.admission.revised(post, obligation)
        if message.text == message_of(obligation).text:
            return  # a pin, a link preview or a reaction is an edit, too
        await self._revise(obligation, message)

    async def _revise(self, obligation: Obligation, message: InboundMessage) -> None:
        """Let the answer be to the current text of an unanswered message."""
        # The journal first: a crash in between then answers the new text. It is finished even if the connection ends
        # meanwhile: when the edit comes again, the journal has its text.
        await finish_write(partial(self.services.store.obligations.revise, obligation.id, message.to_json()))
        session = self.dispatcher.get(message.session)
        if session is not None:
            session.replace(Job(obligation, message))

    async def recheck_unanswered(self) -> None:
        """Apply edits and deletions of unanswered posts that had no event, as after a downtime."""
        services = self.services
        obligations = await services.store.obligations.open_for(services.account)
        changes = await find_changes(self.admission, obligations)
        for obligation in obligations:
            change = changes.get(obligation.id)
            if isinstance(change, InboundMessage):
                await self._revise(obligation, change)
            # Where no conversation holds it (any more), nobody else would end it.
            elif change is not None and not self.dispatcher.cancel_trigger(obligation.trigger, reason=change.value):
                await services.store.obligations.close(
                    [obligation.id], cancelled(change.value), services.clock.now_ms()
                )

    async def _current(self, post: Post) -> Post:
        """The newer of the event's post and the server's: a resumed connection replays old edits, a replica may lag."""
        try:
            current = await self.services.api.posts.get(post.id)
        except MattermostRejected:
            return post
        return current if current.update_at > post.update_at else post

    async def on_deleted(self, post: Post) -> None:
        """End what waits for an answer to the post or runs for it, or forget it as context."""
        services = self.services
        if post.user_id == services.user.id:
            self.live.post_deleted(post.id)
        # The session ends the obligation, together with the draft of the turn.
        if self.dispatcher.cancel_trigger(post.id, reason=CancelReason.DELETED.value):
            return
        if not post.root_id:
            # The replies of a deleted root are deleted with it, without an event of their own.
            for session in self.dispatcher:
                if any(job.inbound.root_id == post.id for job in session.running):
                    session.stop(reason=CancelReason.DELETED.value, drop_queue=True)
        obligation = await services.store.obligations.by_trigger(services.account, post.id)
        if obligation is None and post.user_id != services.user.id:
            await self.admission.forget_context(post)
        if obligation is not None and obligation.state is ObligationState.OPEN:
            await services.store.obligations.close(
                [obligation.id], cancelled(CancelReason.DELETED.value), services.clock.now_ms()
            )
