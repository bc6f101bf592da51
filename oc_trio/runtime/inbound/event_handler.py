"""Events of one account, one at a time and in order: what each means for the journal, the sessions and the drafts.

Raises MattermostError where a fact could not be had: the listener then tells the event again after a reconnect.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import assert_never

from attrs import define

from oc_trio.core.chat_commands import parse_command
from oc_trio.core.entities import Channel
from oc_trio.core.events import (
    ChannelAppeared,
    ChannelArchived,
    ChannelChanged,
    ChannelType,
    Event,
    Hello,
    MemberAdded,
    MemberRemoved,
    Post,
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
from oc_trio.core.inbound import InboundMessage
from oc_trio.core.ledger import Obligation, ObligationState, OutboxKind, Source, cancelled, failed, silent
from oc_trio.errors import MattermostRejected
from oc_trio.ids import ChannelId, OutboxId, SessionKey
from oc_trio.runtime.conversation.cancel_reason import CancelReason
from oc_trio.runtime.conversation.dispatcher import Dispatcher
from oc_trio.runtime.conversation.mailbox import Job
from oc_trio.runtime.delivery.fallback import send_with_fallback
from oc_trio.runtime.delivery.outbox_message import OutboxMessage, row_of
from oc_trio.runtime.error_boundary import DEFECT, SORRY
from oc_trio.runtime.inbound.admission import AdmissionPipeline, Admitted
from oc_trio.runtime.inbound.chat_commands import ChatCommandHandler
from oc_trio.runtime.inbound.event_tries import EventTries
from oc_trio.runtime.inbound.reactions import note_reaction
from oc_trio.runtime.inbound.recheck import find_changes, message_of
from oc_trio.runtime.services import AccountServices
from oc_trio.runtime.turn.end_without_agent import settle
from oc_trio.runtime.turn.live_drafts import LiveDrafts
from oc_trio.telemetry.log import get_logger

# The sign with and without the word on it; which of the two a picker offers depends on the client.
STOP_REACTIONS = frozenset({"octagonal_sign", "stop_sign"})

# Our clock and the server's may differ by so much: a new channel's first post must not look older than its beginning.
SKEW_MS = 60_000

log = get_logger(part="event_handler")


@define(eq=False)
class EventHandler:
    """Where the listener and catch-up hand in what they have; `missed` counts people's posts that only catch-up had."""

    services: AccountServices
    intake: AdmissionPipeline
    dispatcher: Dispatcher
    desk: ChatCommandHandler
    live: LiveDrafts
    tries: EventTries
    # Who else hears of each event, and who takes a text as the answer that it waits for.
    note: Callable[[Event], None]
    take_text: Callable[[InboundMessage], bool]
    missed: int = 0

    async def on_event(self, event: Event) -> None:
        post = event.post if isinstance(event, Posted | PostEdited | PostDeleted) else None

        def about() -> dict[str, object]:
            return {"kind": type(event).__name__, "post": post.id if post is not None else ""}

        handle = partial(self._handle, event)
        if not isinstance(event, Posted):
            await self.tries.carry_out(handle, "event", about, again=handle)
            return
        again = partial(self._once_more, event.post, handle)
        if await self.tries.carry_out(handle, "event", about, again=again) is not None:
            await self._given_up(event.post)

    async def _handle(self, event: Event) -> None:
        services = self.services
        services.directory.note(event)
        self.note(event)
        services.health.update(services.account, last_event_at=services.clock.now_ms())
        match event:
            case Posted():
                await self._posted(event.post, event.channel_type, Source.LIVE)
            case PostEdited():
                await self._edited(event.post)
            case PostDeleted():
                await self._deleted(event.post)
            case Reacted():
                await self._reacted(event)
            case Hello() | Typed() | Unhandled():
                return  # the listener's, and nobody's
            case TeamJoined() | ChannelChanged() | UserChanged():
                return  # for the directory and the registration of commands, which were told above
            case MemberAdded() | MemberRemoved() | TeamLeft() | ChannelAppeared() | ChannelArchived():
                await self._membership(event)
            case _:
                assert_never(event)

    async def _membership(
        self, event: MemberAdded | MemberRemoved | TeamLeft | ChannelAppeared | ChannelArchived
    ) -> None:
        """Where the bot is: what it has left is not answered any more, what it has come to is read from then on."""
        services = self.services
        match event:
            case ChannelArchived():
                await self._left(event.channel_id)
            case ChannelAppeared():
                await self._entered(event.channel_id)
            case MemberAdded() | MemberRemoved() | TeamLeft() if event.user_id != services.user.id:
                return  # somebody else came or went
            case MemberAdded():
                await self._entered(event.channel_id)
            case MemberRemoved():
                await self._left(event.channel_id)
            case TeamLeft():
                for session in self.dispatcher:
                    if any(job.inbound.team_id == event.team_id for job in session.running):
                        session.stop(reason=CancelReason.REMOVED.value, drop_queue=True)
            case _:
                assert_never(event)

    async def _entered(self, channel_id: ChannelId) -> None:
        services = self.services
        await services.store.watermarks.start(services.account, channel_id, services.clock.now_ms() - SKEW_MS)

    async def _reacted(self, event: Reacted) -> None:
        if event.added and event.emoji in STOP_REACTIONS:
            await self._stopped_by_reaction(event)
        await note_reaction(self.services, event)

    async def on_catchup_posts(self, channel: Channel, posts: tuple[Post, ...], *, began_at: int = -1) -> None:
        """A channel's posts from catch-up, oldest first, through the same admission as live ones.

        What is not newer than `began_at` was said before this channel was ours to answer: it is noted, not answered.
        """
        services = self.services
        services.metrics.catchup_posts.labels(services.account).inc(len(posts))
        known = await services.store.admission.seen(services.account, [post.id for post in posts])
        for post in posts:
            if post.user_id == services.user.id:
                await self._receive(post)
            if post.id in known:
                if post.edit_at and post.user_id != services.user.id:
                    # Its edit may have had no event: a mention that it added is one all the same.
                    edited = partial(self._edited, post)
                    await self.tries.carry_out(edited, "caught-up post", {"post": post.id}, again=edited)
                continue
            if post.create_at <= began_at:
                await self.intake.pass_over(post, "before_first_start")
            else:
                self.missed += post.user_id != services.user.id
                posted = partial(self._posted, post, channel.type, Source.CATCHUP)
                again = partial(self._once_more, post, posted)
                about = {"post": post.id}
                if await self.tries.carry_out(posted, "caught-up post", about, again=again) is not None:
                    await self._given_up(post)

    async def _once_more(self, post: Post, take_in: Callable[[], Awaitable[None]]) -> None:
        """Another try at taking a post in. Where it was admitted by an earlier one, it is only handed on."""
        obligation = await self.services.store.obligations.by_trigger(self.services.account, post.id)
        if obligation is None:
            await take_in()
        elif obligation.state is ObligationState.OPEN and not any(each.holds(post.id) for each in self.dispatcher):
            await self.resubmit(obligation)

    async def resubmit(self, obligation: Obligation) -> None:
        """Hand on a message that was admitted before."""
        message = message_of(obligation)
        command = parse_command(message.text) if message.command else None
        if command is not None:
            self.desk.submit(obligation, message, command)
        else:
            self.submit(obligation, message)

    async def _given_up(self, post: Post) -> None:
        """A defect kept a post from being taken in: it is noted as seen, so that no later look meets the same again.
        Who plainly asked us, or was admitted before, is told.
        """

        async def give_up() -> None:
            services = self.services
            obligation = await services.store.obligations.by_trigger(services.account, post.id)
            message = message_of(obligation) if obligation is not None else None
            if obligation is None:
                await self._pass_over(post)
            elif obligation.state is not ObligationState.OPEN or any(each.holds(post.id) for each in self.dispatcher):
                return
            elif message is not None:
                await settle(services, [Job(obligation, message)], DEFECT)
            else:
                await services.store.obligations.close([obligation.id], failed(DEFECT), services.clock.now_ms())

        await self.services.boundary.contain(give_up, "message", {"post": post.id})

    async def _pass_over(self, post: Post) -> None:
        services, letter = self.services, None

        async def look() -> None:
            nonlocal letter
            way = await self.intake.question(post)
            if way is not None:
                name = OutboxId(f"failed.{services.account}.{post.id}")
                letter = OutboxMessage(name, post.channel_id, SORRY, OutboxKind.NOTICE, way.reply_root or "")

        # What the post was failed at may be just this.
        await services.boundary.contain(look, "message", {"post": post.id})
        row = (
            row_of(letter, services.account, services.user.id, services.clock.now_ms()) if letter is not None else None
        )
        if await self.intake.pass_over(post, "could_not_be_handled", row) and letter is not None:
            # Apart from the inbox: it may have to wait for the server.
            services.boundary.start(self.desk.nursery, partial(self._say, letter), "notice", {"post": post.id})

    async def _say(self, letter: OutboxMessage) -> None:
        try:
            await send_with_fallback(self.services.delivery, letter)
        except MattermostRejected as refusal:
            log.info("could not say so", account=self.services.account, outbox=letter.id, problem=str(refusal))

    def submit(self, obligation: Obligation, message: InboundMessage) -> None:
        self.dispatcher.submit(obligation, message)

    async def _posted(self, post: Post, chat_type: ChannelType | None, source: Source) -> None:
        if post.user_id == self.services.user.id and source is Source.LIVE:
            await self._receive(post)
        await self._hand_on(await self.intake.admit(post, chat_type, source))

    async def _receive(self, post: Post) -> None:
        """One of our own posts came back; one that stands twice is removed."""
        if not await self.services.delivery.acknowledge(post):
            log.warning("a held-up request made a post twice; removing the second", post=post.id)
            # Apart from the inbox: it may have to wait for the server.
            remove = partial(self.services.delivery.delete_quietly, post.id)
            self.services.boundary.start(self.desk.nursery, remove, "second post", {"post": post.id})

    async def _hand_on(self, admitted: Admitted | None) -> None:
        if admitted is None:
            return
        if admitted.command is not None:
            self.desk.submit(admitted.obligation, admitted.message, admitted.command)
        elif self.take_text(admitted.message):
            answered = silent("it answered a question")
            await self.services.store.obligations.close(
                [admitted.obligation.id], answered, self.services.clock.now_ms()
            )
        else:
            self.submit(admitted.obligation, admitted.message)

    async def _edited(self, post: Post) -> None:
        """An edit that changes an unanswered message's words runs it again; one that adds a mention wakes the bot."""
        services = self.services
        if post.user_id == services.user.id:
            if services.late_edits.is_overwritten(post):
                # Apart from the inbox: it may have to wait for the server.
                repair = partial(services.late_edits.repair, post.id)
                services.boundary.start(self.desk.nursery, repair, "late edit", {"post": post.id})
            return
        if post.is_system:
            return
        obligation = await services.store.obligations.by_trigger(services.account, post.id)
        if obligation is None:
            await self._hand_on(await self.intake.admit(post, None, Source.EDIT, watermark=False))
            return
        if obligation.state is not ObligationState.OPEN:
            return
        post = await self._newest(post)
        message = await self.intake.reworded(post, obligation)
        if message.text == message_of(obligation).text:
            return  # a pin, a preview or a reaction: the words are the same
        await self._reads_now(obligation, message)

    async def _reads_now(self, obligation: Obligation, message: InboundMessage) -> None:
        """An unanswered message has other words: they are the ones to be answered."""
        await self.services.store.obligations.revise(obligation.id, message.to_json())
        session = self.dispatcher.get(message.session)
        if session is not None:
            session.replace(Job(obligation, message))

    async def look_again(self) -> None:
        """Carry out what happened to unanswered messages while no event could tell."""
        services = self.services
        obligations = await services.store.obligations.open_for(services.account)
        found = await find_changes(self.intake, obligations)
        for obligation in obligations:
            change = found.get(obligation.id)
            if isinstance(change, InboundMessage):
                await self._reads_now(obligation, change)
            elif change is not None and not self.dispatcher.cancel_trigger(obligation.trigger, reason=change.value):
                await services.store.obligations.close(
                    [obligation.id], cancelled(change.value), services.clock.now_ms()
                )

    async def _newest(self, post: Post) -> Post:
        """What a post says now: a resumed connection tells old edits again, and a replica may lag behind the event."""
        try:
            current = await self.services.api.posts.get(post.id)
        except MattermostRejected:
            return post
        return current if current.update_at > post.update_at else post

    async def _deleted(self, post: Post) -> None:
        services = self.services
        if post.user_id == services.user.id:
            self.live.lost(post.id)
        if self.dispatcher.cancel_trigger(post.id, reason=CancelReason.DELETED.value):
            return
        if not post.root_id:
            # The replies of a deleted root are gone with it, and no event of their own tells so.
            for session in self.dispatcher:
                if any(job.inbound.root_id == post.id for job in session.running):
                    session.stop(reason=CancelReason.DELETED.value, drop_queue=True)
        obligation = await services.store.obligations.by_trigger(services.account, post.id)
        if obligation is None and post.user_id != services.user.id:
            await self.intake.withdrawn(post)
        if obligation is not None and obligation.state is ObligationState.OPEN:
            await services.store.obligations.close(
                [obligation.id], cancelled(CancelReason.DELETED.value), services.clock.now_ms()
            )

    async def _stopped_by_reaction(self, reacted: Reacted) -> None:
        """A stop sign on a post that is being written, by someone who could have asked for it, ends its turn."""
        services = self.services
        session = self.dispatcher.get(self.live.session_of(reacted.post_id) or SessionKey(""))
        if session is None or reacted.user_id == services.user.id:
            return
        if await self.intake.may_stop(reacted.user_id, reacted.channel_id):
            session.stop(reason=CancelReason.STOPPED.value, drop_queue=True, until=reacted.create_at)

    async def _left(self, channel_id: ChannelId) -> None:
        """Nothing can be written there any more."""
        self.dispatcher.cancel_channel(channel_id, reason=CancelReason.REMOVED.value)
        await self.services.store.watermarks.forget(self.services.account, channel_id)
        log.info("no longer in a channel", account=self.services.account, channel=channel_id)
