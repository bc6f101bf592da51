"""Handles the events of one account in order: what each changes in sessions and watermarks. Posts are `PostHandler`'s.

Raises MattermostError where the server can't give a fact: the listener then reconnects, and the event comes again.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import takewhile
from typing import assert_never

import trio

from oc_trio.classes import define
from oc_trio.core.events import (
    ChannelAppeared,
    ChannelArchived,
    ChannelChanged,
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
from oc_trio.core.ledger import Source
from oc_trio.ids import ChannelId, SessionKey
from oc_trio.runtime.conversation.cancel_reason import CancelReason
from oc_trio.runtime.conversation.dispatcher import Dispatcher
from oc_trio.runtime.inbound.admission import AdmissionPipeline
from oc_trio.runtime.inbound.event_tries import PASSING, EventTries
from oc_trio.runtime.inbound.post_handler import PostHandler
from oc_trio.runtime.inbound.reactions import note_reaction
from oc_trio.runtime.services import AccountServices
from oc_trio.runtime.turn.live_drafts import LiveDrafts
from oc_trio.telemetry.log import get_logger

# The stop sign, by Mattermost's name for it.
STOP_REACTION = "octagonal_sign"

# Our clock and the server's may differ by this much: a new channel's first post must not look older than its watermark.
SKEW_MS = 60_000

# So many unaddressed posts at once mean that more are coming: these are waited for, since a commit costs more than the
# posts in it. Nobody waits for an answer to them, and to another post among them it comes so much later.
BUSY = 20
GATHER_SECONDS = 0.05
# Posts that are looked at together behind one that was for the bot: the next may be as well, as in its thread, and what
# lies behind that one is then looked at in vain. More again once all of these are not.
FEW = 50

log = get_logger(part="event_handler")


@define(eq=False)
class EventHandler:
    """One account's, for the listener's events."""

    services: AccountServices
    posts: PostHandler
    admission: AdmissionPipeline
    dispatcher: Dispatcher
    live: LiveDrafts
    tries: EventTries
    # Called with each event, before it is handled.
    on_each: Callable[[Event], None]

    async def on_events(self, events: Sequence[Event]) -> None:
        """Handle events that came together, in order, as `on_event` does each; posts in a row that don't address the
        bot are recorded together, and so are our own.
        """
        at, most, look = 0, 0, len(events)
        while at < len(events):
            posts = _posts(events[at : at + look])
            if count := await self.posts.record_unaddressed(posts, Source.LIVE):
                self.services.health.update(self.services.account, last_event_at=self.services.clock.now_ms())
            at, most = at + count, max(most, count)
            if count == look:
                look = min(look * 4, len(events))
                continue
            if count < len(posts):
                look = FEW
            if at < len(events) and (count := await self._record_own(events[at:])):
                at += count
            elif at < len(events):
                await self.on_event(events[at])
                at += 1
        if most >= BUSY:
            await trio.sleep(GATHER_SECONDS)

    async def _record_own(self, events: Sequence[Event]) -> int:
        """How many of the first `events` were of our own posts, and handled together, since a long answer makes several
        posts; edits may be among them, or be all of them. 0 after a defect: each is then handled by itself.
        """
        own = [*takewhile(self._is_own, events)]
        posts = [event.post for event in own if isinstance(event, Posted)]

        async def handle() -> None:
            for event in own:
                self._note(event)
                if isinstance(event, PostEdited):
                    await self.posts.on_edited(event.post)
            if posts:
                await self.posts.on_own_posted(posts)

        about = {"kind": "own posts", "posts": len(own)}
        boundary = self.services.boundary
        if not own or await boundary.contain(handle, "event", about, passing=PASSING, will_retry=True):
            return 0
        return len(own)

    def _is_own(self, event: Event) -> bool:
        """Whether an event is of a post by our bot's user that no other gateway has made, as far as one can see."""
        if not isinstance(event, Posted | PostEdited) or event.post.user_id != self.services.user.id:
            return False
        return not self.services.second_gateway.is_anothers(event.post)

    async def on_event(self, event: Event) -> None:
        """Handle one event. Raises MattermostError, StoreError; a defect is logged and ends with this event."""
        post = event.post if isinstance(event, Posted | PostEdited | PostDeleted) else None

        def about() -> dict[str, object]:
            return {"kind": type(event).__name__, "post": post.id if post is not None else ""}

        handle = partial(self._handle, event)
        if not isinstance(event, Posted):
            await self.tries.run(handle, "event", about, retry=handle)
            return
        retry = partial(self.posts.retry, event.post, handle)
        if await self.tries.run(handle, "event", about, retry=retry) is not None:
            await self.posts.give_up(event.post)

    async def _handle(self, event: Event) -> None:
        services = self.services
        self._note(event)
        match event:
            case Posted():
                await self.posts.on_posted(event.post, event.channel_type, Source.LIVE)
            case PostEdited():
                await self.posts.on_edited(event.post)
            case PostDeleted():
                await self.posts.on_deleted(event.post)
            case Reacted():
                await self._reacted(event)
            case Hello() | Typed() | Unhandled():
                return  # the listener used the first; the others mean nothing here
            case UserChanged() if event.user_id == services.user.id:
                take_own_name(services, event.username)
            case TeamJoined() | ChannelChanged() | UserChanged():
                return  # the directory and the registration of commands used them above
            case MemberAdded() | MemberRemoved() | TeamLeft() | ChannelAppeared() | ChannelArchived():
                await self._membership(event)
            case _:
                assert_never(event)

    def _note(self, event: Event) -> None:
        """Before an event is handled, so that no decision is made with a name or membership that it has just made
        stale.
        """
        services = self.services
        services.directory.note(event)
        self.on_each(event)
        services.health.update(services.account, last_event_at=services.clock.now_ms())

    async def _membership(
        self, event: MemberAdded | MemberRemoved | TeamLeft | ChannelAppeared | ChannelArchived
    ) -> None:
        """The bot or somebody else joined or left a channel or a team, or a channel was archived or came back."""
        services = self.services
        match event:
            case ChannelArchived():
                await self._left_channel(event.channel_id)
            case ChannelAppeared():
                await self._joined_channel(event.channel_id)
            case MemberAdded() | MemberRemoved() | TeamLeft() if event.user_id != services.user.id:
                return  # somebody else came or went
            case MemberAdded():
                await self._joined_channel(event.channel_id)
            case MemberRemoved():
                await self._left_channel(event.channel_id)
            case TeamLeft():
                for session in self.dispatcher:
                    if any(job.inbound.team_id == event.team_id for job in session.running):
                        session.stop(reason=CancelReason.REMOVED.value, drop_queue=True)
            case _:
                assert_never(event)

    async def _joined_channel(self, channel_id: ChannelId) -> None:
        """Start the channel's watermark, so that catch-up reads it from now on."""
        services = self.services
        await services.store.watermarks.start(services.account, channel_id, services.clock.now_ms() - SKEW_MS)

    async def _reacted(self, event: Reacted) -> None:
        if event.added and event.emoji == STOP_REACTION:
            await self._stop_by_reaction(event)
        await note_reaction(self.services, event)

    async def _stop_by_reaction(self, reacted: Reacted) -> None:
        """A stop sign on a draft ends its turn, if the reaction's author may use `/stop` there."""
        services = self.services
        session = self.dispatcher.get(self.live.session_of(reacted.post_id) or SessionKey(""))
        if session is None or reacted.user_id == services.user.id:
            return
        if await self.admission.may_stop(reacted.user_id, reacted.channel_id):
            session.stop(reason=CancelReason.STOPPED.value, drop_queue=True, until=reacted.create_at)

    async def _left_channel(self, channel_id: ChannelId) -> None:
        """Cancel what runs or waits there: nothing can be posted any more."""
        self.dispatcher.cancel_channel(channel_id, reason=CancelReason.REMOVED.value)
        # A later return starts a new watermark: what was written in between was not for the bot.
        await self.services.store.watermarks.forget(self.services.account, channel_id)
        log.info("no longer in a channel", account=self.services.account, channel=channel_id)


def take_own_name(services: AccountServices, username: str) -> None:
    """Take the bot's name as it is now: mentions of an older one are no longer its."""
    if services.bot.rename(username):
        services.health.update(services.account, bot=username)
        log.info(f"renamed: now @{username}", account=services.account)


def _posts(events: Sequence[Event]) -> list[Post]:
    """The posts of the first events, as far as these are posts."""
    posts: list[Post] = []
    for event in events:
        if not isinstance(event, Posted):
            break
        posts.append(event.post)
    return posts
