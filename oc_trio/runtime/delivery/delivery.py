"""Delivers posts and edits exactly once: outbox row first, then the request, then the confirmation.

Owns the states of outbox rows and the retries with one idempotency key. Text and target are decided elsewhere. A
message's id is its sender's choice: the same id always means the same post, before and after a restart.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from enum import Enum
from functools import partial

import trio
from attrs import evolve

from oc_trio.classes import frozen
from oc_trio.core.backoff import RetryPolicy
from oc_trio.core.entities import NewPost
from oc_trio.core.events import Post
from oc_trio.core.ledger import OutboxKind, OutboxRow, OutboxState
from oc_trio.core.ratelimit import Lane
from oc_trio.errors import MattermostRejected, MattermostUnavailable, PayloadError, StoreError
from oc_trio.ids import AccountId, ChannelId, OutboxId, PostId, UserId
from oc_trio.mattermost.post_creator import WAS_DELETED
from oc_trio.retry import retrying
from oc_trio.runtime.clock import Clock
from oc_trio.runtime.delivery.outbox_message import OutboxMessage, outbox_message_of, post_of, refusal_of, row_of
from oc_trio.runtime.delivery.retry import WriteRetryState
from oc_trio.store.store import Store
from oc_trio.telemetry.log import get_logger
from oc_trio.telemetry.metrics import Metrics

# For one attempt, below the 30 s of a request: an edit can be repeated without harm, so a hanging one is not worth it.
EDIT_SECONDS = 20.0
# A refused token is replaced by a person: asking more often would gain nothing.
AUTH_SECONDS = 15.0
# Answers with status 500 in a row after which an edit is given up: a minute and a half of pauses.
MAX_SERVER_ERRORS = 8

log = get_logger(part="delivery")


async def _no_direct(user_id: UserId) -> ChannelId:
    raise MattermostUnavailable(f"the direct channel with {user_id} can't be opened here")


async def _no_read(post_id: PostId) -> Post:
    raise MattermostUnavailable(f"the post {post_id} can't be read here")


# Creates a post under its pending id, so that a repetition makes no second one; the flag says that an earlier request
# may have been applied.
SendSurely = Callable[[NewPost, Lane, bool], Awaitable[Post]]


class Receipt(Enum):
    """What a post by our bot's user is to the outbox.

    SENT_TWICE: another post is confirmed for the same message, or the message was given up. A request that is delayed
    for longer than the server remembers its pending id makes such a post; nothing on our side can prevent it.
    """

    SENT = "sent"
    SENT_TWICE = "sent twice"
    NOT_SENT = "not sent"


@frozen(eq=False)
class Delivery:
    """Delivers one account's posts and edits. `open_direct` gives the direct channel with a user, `read` a post as the
    server has it.
    """

    account: AccountId
    bot_id: UserId
    store: Store
    clock: Clock
    metrics: Metrics
    send: SendSurely
    patch: Callable[[PostId, str, Lane], Awaitable[Post]]
    remove: Callable[[PostId], Awaitable[None]]
    retries: RetryPolicy
    open_direct: Callable[[UserId], Awaitable[ChannelId]] = _no_direct
    read: Callable[[PostId], Awaitable[Post]] = _no_read

    async def queue(self, messages: Iterable[OutboxMessage]) -> None:
        """Make messages durable, all or none. The caller posts them with `post` or `post_until_done`; else a later
        start does.
        """
        await self.store.outbox.put(
            [row_of(message, self.account, self.bot_id, self.clock.now_ms()) for message in messages]
        )

    async def post(self, message: OutboxMessage) -> PostId:
        """Post `message`, once in all. Raises MattermostUnavailable (the row waits; call again), MattermostRejected
        (the row is dead).
        """
        return (await self.post_in_order(message))[0]

    async def post_in_order(
        self, message: OutboxMessage, begun: OutboxRow | None = None, following: OutboxMessage | None = None
    ) -> tuple[PostId, OutboxRow | None]:
        """As `post`, for one of several messages to a channel, which costs a write of the journal less each.

        With the confirmation of this one `following` is begun. Returns its row, for its own call as `begun`; None where
        that was not to be.
        """
        if not message.channel_id:
            row = await self._row(message)
            return await self._send(row, post_of(message, row)), None
        now = self.clock.now_ms()
        # Before the request, so that a crash during it leaves a row that says "may exist".
        row = begun or await self.store.outbox.begin_sending(row_of(message, self.account, self.bot_id, now), now)
        if (post_id := _post_known(row)) is not None:
            return post_id, None
        return await self._request(row, post_of(message, row), following)

    async def post_until_done(self, message: OutboxMessage) -> PostId:
        """As `post`, for as long as it takes: a server that is away only delays an answer. Ends by cancellation."""
        return await retrying(partial(self.post, message), self.retry_state(message.id))

    async def post_or_abandon(self, message: OutboxMessage) -> PostId:
        """As `post_until_done`, for a post that another can replace: one that the server fails at is given up.

        Raises MattermostRejected.
        """
        return await self._post_or_abandon(message, await self._row(message))

    async def edit_draft(self, post_id: PostId, text: str) -> None:
        """Show a draft's newest text, without retries: the next edit replaces a failed one."""
        try:
            await self.patch(post_id, text, Lane.EDIT)
        except MattermostRejected as refusal:
            raise _retryable_if_auth(refusal) from refusal

    async def edit_until_done(self, post_id: PostId, text: str) -> None:
        """Make `text` a post's text, for as long as it takes.

        Raises MattermostRejected: the post is gone, or the server can't edit it however often it is asked.
        """
        await self._until_done(post_id, lambda: self.patch(post_id, text, Lane.FINAL))

    async def rewrite_until_done(self, post_id: PostId, change: Callable[[str], str]) -> str:
        """Replace a post's text by `change` of it, for as long as it takes; returns the new text. Where nothing
        changes, nothing is written.

        Raises MattermostRejected, as `edit_until_done` does.
        """
        text = ""

        async def rewrite() -> None:
            nonlocal text
            current = (await self.read(post_id)).message
            text = change(current)
            if text != current:
                await self.patch(post_id, text, Lane.FINAL)

        await self._until_done(post_id, rewrite)
        return text

    async def delete_quietly(self, post_id: PostId) -> None:
        """Delete a post that an answer has replaced, for as long as it takes; a refusal is logged, not raised."""
        try:
            await self._until_done(post_id, lambda: self.remove(post_id))
        except MattermostRejected as refusal:
            # 404: somebody has deleted it already, which is what we want.
            if refusal.status != 404:
                log.warning("a stale preview may remain", account=self.account, post=post_id, problem=str(refusal))

    async def resume(self, row: OutboxRow) -> PostId | None:
        """Finish a row of an earlier run; None if the server refuses it, or keeps failing at it."""
        try:
            return await self._post_or_abandon(outbox_message_of(row), row)
        except MattermostRejected:
            return None

    async def retract(self, outbox_id: OutboxId) -> None:
        """Undo a post that is not wanted any more: one that was never sent is dropped, one that may have been sent is
        found and deleted.
        """
        row = await self.store.outbox.get(outbox_id)
        post_id: PostId | None = None
        if row is not None and row.state is OutboxState.QUEUED:
            # The move fails if an event has confirmed the row since it was read; `_change_state` then returns the post
            # to delete.
            dead = self.store.outbox.mark_dead(row.id, "it is not wanted any more", self.clock.now_ms())
            post_id = await self._change_state(row.id, dead)
        elif row is not None and row.state is OutboxState.SENDING:
            # Nobody knows whether it exists. Sending it once more under its pending id is the one way to learn its post
            # id.
            post_id = await self.resume(row)
        if post_id is not None:
            await self.delete_quietly(post_id)

    async def abandon(self, outbox_id: OutboxId, why: str) -> str:
        """Give a message up for good; returns the reason, an earlier run's where that has given it up."""
        row = await self.store.outbox.get(outbox_id)
        if row is not None and row.state in (OutboxState.QUEUED, OutboxState.SENDING):
            log.warning("gave a post up", account=self.account, outbox=outbox_id, problem=why)
            await self._change_state(outbox_id, self.store.outbox.mark_dead(outbox_id, why, self.clock.now_ms()))
        # The first reason stays: an earlier run has told people that one.
        return (row.error if row is not None and row.state is OutboxState.DEAD else "") or why

    async def confirmed_post(self, outbox_id: OutboxId) -> PostId | None:
        """The post of a message that is known to be in the channel."""
        row = await self.store.outbox.get(outbox_id)
        return row.post_id if row is not None and row.state is OutboxState.CONFIRMED else None

    def retry_state(self, what: str) -> WriteRetryState:
        """Counts the failures of one write, with pauses that are logged and counted. `what` is the id of its row or
        post, for the log.
        """

        def report(seconds: float, problem: MattermostUnavailable) -> None:
            self.metrics.rest_retries.labels(self.account, str(problem.status or "no answer")).inc()
            log.info("will try again", account=self.account, what=what, seconds=round(seconds, 1), problem=str(problem))

        return WriteRetryState(MattermostUnavailable, self.retries, self.clock.random.random, report)

    async def exists(self, outbox_id: OutboxId) -> bool:
        """Whether the outbox has that message, from this run or an earlier one."""
        return await self.store.outbox.get(outbox_id) is not None

    async def acknowledge(self, post: Post) -> Receipt:
        """Confirm the row of a post by our bot's user that came back by catch-up, whatever became of the request's
        answer.
        """
        [row] = await self.store.outbox.acknowledge(self.account, (post,), self.clock.now_ms())
        return _receipt_of(post, row)

    async def acknowledge_read(self, posts: Sequence[Post]) -> tuple[Receipt, ...]:
        """As `acknowledge`, for posts that came by event: in one transaction, which also advances their channels'
        watermarks. Catch-up must not read them again and again.
        """
        rows = await self.store.outbox.acknowledge(self.account, posts, self.clock.now_ms(), are_read=True)
        return tuple(map(_receipt_of, posts, rows))

    async def _row(self, message: OutboxMessage) -> OutboxRow:
        row = await self.store.outbox.get(message.id)
        if row is None:
            row = row_of(message, self.account, self.bot_id, self.clock.now_ms())
            await self.store.outbox.put([row])
        return row

    async def _post_or_abandon(self, message: OutboxMessage, row: OutboxRow) -> PostId:
        state = self.retry_state(message.id)

        async def post() -> PostId:
            # After a pause the row is read again: an event may have confirmed it meanwhile.
            current = await self._row(message) if state.failures else row
            return await self._send(current, post_of(message, current))

        async def give_up(problem: MattermostUnavailable) -> PostId | None:
            # One call is two minutes of requests, and where it ends without a doubt the post is not there.
            if not state.server_errors or problem.ambiguous:
                return None
            why = await self.abandon(message.id, str(problem))
            post_id = await self.confirmed_post(message.id)
            if post_id is None:
                raise MattermostRejected(why, status=500, code=problem.code)
            return post_id

        return await retrying(post, state, give_up)

    async def _send(self, row: OutboxRow, new: NewPost) -> PostId:
        if (post_id := _post_known(row)) is not None:
            return post_id
        if not new.channel_id:
            new = evolve(new, channel_id=await self._open_direct_channel(row))
        # As in `post`.
        post_id = await self._change_state(row.id, self.store.outbox.mark_sending(row.id, self.clock.now_ms()))
        return post_id or (await self._request(row, new))[0]

    async def _request(
        self, row: OutboxRow, new: NewPost, following: OutboxMessage | None = None
    ) -> tuple[PostId, OutboxRow | None]:
        """Send a post whose row says so already; `row` is as it was before. Returns as `post_in_order`."""
        # Under load, answers come before drafts, which only announce them.
        lane = Lane.CREATE if row.kind is OutboxKind.DRAFT else Lane.FINAL
        # An earlier request of this row may have been applied: the post is looked for before it is created.
        in_doubt = row.state is OutboxState.SENDING
        problem: MattermostRejected | MattermostUnavailable
        try:
            post = await self.send(new, lane, in_doubt)
        except MattermostRejected as refusal:
            problem = _retryable_if_auth(refusal)
        except MattermostUnavailable as failure:
            problem = failure
        except PayloadError as failure:
            problem = MattermostUnavailable(str(failure), ambiguous=True)  # it did answer, so the post may exist
        else:
            earlier, begun = await self._confirm(row.id, post.id, following)
            if earlier not in (None, post.id):
                # The event of an earlier request's post was quicker: that post stays, this one is a duplicate.
                await self.delete_quietly(post.id)
            return earlier or post.id, begun
        return await self._record_failure(row, in_doubt, problem), None

    async def _confirm(
        self, outbox_id: OutboxId, post_id: PostId, following: OutboxMessage | None
    ) -> tuple[PostId | None, OutboxRow | None]:
        """Confirm a row, and begin that of `following`; returns what `Outbox.confirm_and_begin` does."""
        outbox, now = self.store.outbox, self.clock.now_ms()
        if following is None:
            return await outbox.confirm(outbox_id, post_id, now), None
        return await outbox.confirm_and_begin(
            outbox_id, post_id, row_of(following, self.account, self.bot_id, now), now
        )

    async def _record_failure(
        self, row: OutboxRow, in_doubt: bool, problem: MattermostRejected | MattermostUnavailable
    ) -> PostId:
        """Record the failure and raise it. Returns the post's id where its event came although the answer did not."""
        outbox = self.store.outbox
        if isinstance(problem, MattermostRejected):
            log.warning("the server refused a post", account=self.account, outbox=row.id, problem=str(problem))
            post_id = await self._change_state(row.id, outbox.mark_dead(row.id, str(problem), self.clock.now_ms()))
        elif problem.ambiguous or in_doubt:
            # The row stays SENDING: the post may exist, so the next call looks for it.
            self.metrics.outbox_ambiguous.labels(self.account).inc()
            post_id = await self.confirmed_post(row.id)
        else:
            post_id = await self._change_state(row.id, outbox.requeue(row.id, str(problem)))
        if post_id is None:
            raise problem
        return post_id

    async def _open_direct_channel(self, row: OutboxRow) -> ChannelId:
        """The direct channel of a row's user, recorded with the row. While it is not open, nothing has been sent."""
        problem: MattermostRejected | MattermostUnavailable
        try:
            channel_id = await self.open_direct(UserId(row.to_user))
        except MattermostRejected as refusal:
            problem = _retryable_if_auth(refusal)
        except PayloadError as failure:
            problem = MattermostUnavailable(str(failure))
        else:
            await self.store.outbox.set_channel(row.id, channel_id)
            return channel_id
        if isinstance(problem, MattermostRejected):
            log.warning("no direct channel", account=self.account, outbox=row.id, problem=str(problem))
            await self.store.outbox.mark_dead(row.id, str(problem), self.clock.now_ms())
        raise problem

    async def _change_state(self, row: OutboxId, transition: Awaitable[bool]) -> PostId | None:
        """Change a row's state. Our own event may confirm the row at any await: then nothing changes, and the post's id
        is returned.

        Raises MattermostRejected where somebody else has given the message up meanwhile.
        """
        try:
            await transition
        except StoreError as problem:
            refused = problem
        else:
            return None
        row_now = await self.store.outbox.get(row)
        if row_now is not None and row_now.state is OutboxState.DEAD:
            raise refusal_of(row_now)
        if row_now is None or row_now.post_id is None:
            raise refused
        return row_now.post_id

    async def _until_done(self, post_id: PostId, write: Callable[[], Awaitable[object]]) -> None:
        state = self.retry_state(post_id)

        async def write_once() -> None:
            try:
                with trio.fail_after(EDIT_SECONDS):
                    await write()
            except MattermostRejected as refusal:
                raise _retryable_if_auth(refusal) from None
            except (PayloadError, trio.TooSlowError) as failure:
                raise MattermostUnavailable(str(failure) or f"not done within {EDIT_SECONDS:g} s") from failure

        async def give_up(problem: MattermostUnavailable) -> None:
            if state.server_errors >= MAX_SERVER_ERRORS:
                message = f"failed {state.server_errors} times: {problem}"
                raise MattermostRejected(message, status=500, code=problem.code)

        await retrying(write_once, state, give_up)


def _receipt_of(post: Post, row: OutboxRow | None) -> Receipt:
    # Other clients' posts have a pending id as well; none of our rows has theirs.
    if row is None:
        return Receipt.NOT_SENT
    if row.state is OutboxState.DEAD:
        # Deleted before we knew of it: then this is the event of that very post, and no duplicate.
        return Receipt.SENT if WAS_DELETED in row.error else Receipt.SENT_TWICE
    return Receipt.SENT if row.post_id in (None, post.id) else Receipt.SENT_TWICE


def _post_known(row: OutboxRow) -> PostId | None:
    """The post of a row that is confirmed. Raises MattermostRejected for one that was given up."""
    if row.state is OutboxState.DEAD:
        raise refusal_of(row)
    return row.post_id if row.state is OutboxState.CONFIRMED else None


def _retryable_if_auth(refusal: MattermostRejected) -> MattermostRejected | MattermostUnavailable:
    """A refused token says nothing about the post: it is to be written once the token is good again."""
    if not refusal.is_auth:
        return refusal
    return MattermostUnavailable(str(refusal), status=401, code=refusal.code, retry_after=AUTH_SECONDS)
