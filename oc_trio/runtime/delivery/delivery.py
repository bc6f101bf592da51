"""Writes posts so that each is written once: outbox row first, then the request, then the confirmation.

Owns the outbox's life and the retries that keep the idempotency key. What is said, and where, is decided elsewhere.
A row's id is its owner's choice: the same id always means the same post, before and after a restart.
"""

from collections.abc import Awaitable, Callable, Iterable

import trio
from attrs import evolve, frozen

from oc_trio.core.backoff import RetryPolicy
from oc_trio.core.entities import NewPost
from oc_trio.core.events import Post
from oc_trio.core.ledger import OutboxKind, OutboxRow, OutboxState
from oc_trio.core.ratelimit import Lane
from oc_trio.errors import MattermostRejected, MattermostUnavailable, PayloadError, StoreError
from oc_trio.ids import AccountId, ChannelId, OutboxId, PostId, UserId
from oc_trio.mattermost.post_creator import WAS_DELETED, marker
from oc_trio.runtime.clock import Clock
from oc_trio.runtime.delivery.outbox_message import OutboxMessage, outbox_message_of, post_of, refusal_of, row_of
from oc_trio.runtime.delivery.retry import RetryState
from oc_trio.store.store import Store
from oc_trio.telemetry.log import get_logger
from oc_trio.telemetry.metrics import Metrics

EDIT_SECONDS = 20.0
# A refused token is replaced by people: nothing is lost meanwhile, and nothing is gained by asking every second.
AUTH_SECONDS = 15.0
# So often in a row the server may fail at one edit while it does answer: a minute and a half of pauses.
MOST_FAULTS = 8

log = get_logger(part="delivery")


async def _no_direct(user_id: UserId) -> ChannelId:
    raise MattermostUnavailable(f"the direct channel with {user_id} can't be opened here")


async def _no_read(post_id: PostId) -> Post:
    raise MattermostUnavailable(f"the post {post_id} can't be read here")


# Sends `new` once and for all under its pending id; True where an earlier try may have been applied.
SendSurely = Callable[[NewPost, Lane, bool], Awaitable[Post]]


@frozen(eq=False)
class Delivery:
    """The one way out for an account's posts and edits; `open_direct` gives the direct channel with a user, `read` a
    post as it stands.
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

    async def queue(self, letters: Iterable[OutboxMessage]) -> None:
        """Make letters durable, all or none; who sends them calls `post` or `post_until_done`, or a later start."""
        await self.store.outbox.put(
            [row_of(letter, self.account, self.bot_id, self.clock.now_ms()) for letter in letters]
        )

    async def post(self, letter: OutboxMessage) -> PostId:
        """Write `letter` once. Raises MattermostUnavailable (the row waits; ask again), MattermostRejected (dead)."""
        row = await self._row(letter)
        return await self._send(row, post_of(letter, row))

    async def post_until_done(self, letter: OutboxMessage) -> PostId:
        """As `post`, for as long as it takes: the server being away only delays an answer. Ends by cancellation."""
        tries = self.retry_state(letter.id)
        while True:
            try:
                return await self.post(letter)
            except MattermostUnavailable as problem:
                tries.failed(problem)
                await tries.pause(problem)

    async def post_or_abandon(self, letter: OutboxMessage) -> PostId:
        """As `post_until_done`, for a post that another can take the place of: one that the server fails at is given
        up. Raises MattermostRejected.
        """
        return await self._unless_failing(letter, await self._row(letter))

    async def edit_draft(self, post_id: PostId, message: str) -> None:
        """Show a draft's newest text, once: the next edit makes good for a failed one."""
        try:
            await self.patch(post_id, message, Lane.EDIT)
        except MattermostRejected as refusal:
            raise _unless_final(refusal) from refusal

    async def edit_until_done(self, post_id: PostId, message: str) -> None:
        """Make `message` a post's text, for as long as it takes.

        Raises MattermostRejected: the post is gone, or the server can't edit it however often it is asked.
        """
        await self._until_done(post_id, lambda: self.patch(post_id, message, Lane.FINAL))

    async def rewrite_until_done(self, post_id: PostId, change: Callable[[str], str]) -> str:
        """Make `change` of a post's text its text, for as long as it takes; returns that text. A text that it leaves as
        it is costs no edit.

        Raises MattermostRejected, as `edit_until_done` does.
        """
        text = ""

        async def rewrite() -> None:
            nonlocal text
            stands = (await self.read(post_id)).message
            text = change(stands)
            if text != stands:
                await self.patch(post_id, text, Lane.FINAL)

        await self._until_done(post_id, rewrite)
        return text

    async def delete_quietly(self, post_id: PostId) -> None:
        """Remove a post that an answer has replaced, for as long as it takes; a refusal is logged."""
        try:
            await self._until_done(post_id, lambda: self.remove(post_id))
        except MattermostRejected as refusal:
            if refusal.status != 404:
                log.warning("a stale preview may remain", account=self.account, post=post_id, problem=str(refusal))

    async def resume(self, row: OutboxRow) -> PostId | None:
        """Finish a row that nobody waits for any more; None if the server refuses it, or keeps failing at it."""
        try:
            return await self._unless_failing(outbox_message_of(row), row)
        except MattermostRejected:
            return None

    async def retract(self, letter: OutboxId) -> None:
        """Undo a post that is not wanted any more: never sent it is dropped, perhaps sent it is found and removed."""
        row = await self.store.outbox.get(letter)
        post_id: PostId | None = None
        if row is not None and row.state is OutboxState.QUEUED:
            dead = self.store.outbox.dead(row.id, "it is not wanted any more", self.clock.now_ms())
            post_id = await self._move(row.id, dead)
        elif row is not None and row.state is OutboxState.SENDING:
            post_id = await self.resume(row)
        if post_id is not None:
            await self.delete_quietly(post_id)

    async def abandon(self, letter: OutboxId, why: str) -> str:
        """Send a letter no more; returns why, an earlier run's reason where that gave it up."""
        row = await self.store.outbox.get(letter)
        if row is not None and row.state in (OutboxState.QUEUED, OutboxState.SENDING):
            log.warning("gave a post up", account=self.account, outbox=letter, problem=why)
            await self._move(letter, self.store.outbox.dead(letter, why, self.clock.now_ms()))
        return (row.error if row is not None and row.state is OutboxState.DEAD else "") or why

    async def confirmed_post(self, letter: OutboxId) -> PostId | None:
        """The post that stands for a letter."""
        row = await self.store.outbox.get(letter)
        return row.post_id if row is not None and row.state is OutboxState.CONFIRMED else None

    def retry_state(self, what: str) -> RetryState:
        """The count of a write's tries, and the pauses between them."""
        return RetryState(what, self.account, self.retries, self.clock, self.metrics)

    async def exists(self, letter: OutboxId) -> bool:
        """Whether a post of that name was begun, by this run or an earlier one."""
        return await self.store.outbox.get(letter) is not None

    async def acknowledge(self, post: Post) -> bool:
        """A post of ours that the server showed us: it stands, whatever became of the request's answer.

        False for a twin: another post stands for the same letter, or it was given up. A request that was held up for
        longer than the server remembers its key makes one, and nobody can prevent that. Live events carry the pending
        id; over REST there is only the marker.
        """
        key = post.pending_post_id
        if not key:
            row = await self.store.outbox.get(OutboxId(marker(post.props)))
            key = row.pending_post_id if row is not None and row.account == self.account else ""
        row = await self.store.outbox.receipt(self.account, key, post.id, self.clock.now_ms()) if key else None
        if row is not None and row.state is OutboxState.DEAD:
            return WAS_DELETED in row.error
        return row is None or row.post_id in (None, post.id)

    async def _row(self, letter: OutboxMessage) -> OutboxRow:
        row = await self.store.outbox.get(letter.id)
        if row is None:
            row = row_of(letter, self.account, self.bot_id, self.clock.now_ms())
            await self.store.outbox.put([row])
        return row

    async def _unless_failing(self, letter: OutboxMessage, row: OutboxRow) -> PostId:
        tries = self.retry_state(letter.id)
        while True:
            try:
                return await self._send(row, post_of(letter, row))
            except MattermostUnavailable as failure:
                problem = failure
            tries.failed(problem)
            # One try is two minutes of requests, and where it ends without a doubt the post is not there.
            if tries.faults and not problem.ambiguous:
                why = await self.abandon(letter.id, str(problem))
                standing = await self.confirmed_post(letter.id)
                if standing is None:
                    raise MattermostRejected(why, status=500, code=problem.code)
                return standing
            await tries.pause(problem)
            row = await self._row(letter)

    async def _send(self, row: OutboxRow, new: NewPost) -> PostId:
        if row.state is OutboxState.CONFIRMED and row.post_id is not None:
            return row.post_id
        if row.state is OutboxState.DEAD:
            raise refusal_of(row)
        if not new.channel_id:
            new = evolve(new, channel_id=await self._address(row))
        lane = Lane.CREATE if row.kind is OutboxKind.DRAFT else Lane.FINAL
        in_doubt = row.state is OutboxState.SENDING
        standing = await self._move(row.id, self.store.outbox.sending(row.id, self.clock.now_ms()))
        if standing is not None:
            return standing
        problem: MattermostRejected | MattermostUnavailable
        try:
            post = await self.send(new, lane, in_doubt)
        except MattermostRejected as refusal:
            problem = _unless_final(refusal)
        except MattermostUnavailable as failure:
            problem = failure
        except PayloadError as failure:
            problem = MattermostUnavailable(str(failure), ambiguous=True)  # it did answer: the post may be there
        else:
            if await self.store.outbox.confirm(row.id, post.id, self.clock.now_ms()):
                return post.id
            # The event of another try's post was quicker: that one is the answer, and this one its twin.
            standing = await self.confirmed_post(row.id) or post.id
            if standing != post.id:
                await self.delete_quietly(post.id)
            return standing
        return await self._failed(row, in_doubt, problem)

    async def _failed(
        self, row: OutboxRow, in_doubt: bool, problem: MattermostRejected | MattermostUnavailable
    ) -> PostId:
        """File the failure and raise it; the post's id where its own event came although the answer did not."""
        outbox = self.store.outbox
        if isinstance(problem, MattermostRejected):
            log.warning("the server refused a post", account=self.account, outbox=row.id, problem=str(problem))
            standing = await self._move(row.id, outbox.dead(row.id, str(problem), self.clock.now_ms()))
        elif problem.ambiguous or in_doubt:
            self.metrics.outbox_ambiguous.labels(self.account).inc()
            standing = await self.confirmed_post(row.id)
        else:
            standing = await self._move(row.id, outbox.requeue(row.id, str(problem)))
        if standing is None:
            raise problem
        return standing

    async def _address(self, row: OutboxRow) -> ChannelId:
        """The direct channel of a row's user, noted with the row. Until it is open, nothing was sent."""
        problem: MattermostRejected | MattermostUnavailable
        try:
            channel_id = await self.open_direct(UserId(row.to_user))
        except MattermostRejected as refusal:
            problem = _unless_final(refusal)
        except PayloadError as failure:
            problem = MattermostUnavailable(str(failure))
        else:
            await self.store.outbox.address(row.id, channel_id)
            return channel_id
        if isinstance(problem, MattermostRejected):
            log.warning("no direct channel", account=self.account, outbox=row.id, problem=str(problem))
            await self.store.outbox.dead(row.id, str(problem), self.clock.now_ms())
        raise problem

    async def _move(self, row: OutboxId, moving: Awaitable[bool]) -> PostId | None:
        """Make the move. Our own event may confirm the row at any await: then the post's id, and nothing is moved.

        Raises MattermostRejected where somebody else has given the letter up meanwhile.
        """
        try:
            await moving
        except StoreError as problem:
            refused = problem
        else:
            return None
        found = await self.store.outbox.get(row)
        if found is not None and found.state is OutboxState.DEAD:
            raise refusal_of(found)
        if found is None or found.post_id is None:
            raise refused
        return found.post_id

    async def _until_done(self, what: PostId, write: Callable[[], Awaitable[object]]) -> None:
        tries = self.retry_state(what)
        while True:
            problem: MattermostRejected | MattermostUnavailable
            try:
                with trio.fail_after(EDIT_SECONDS):
                    await write()
                return
            except MattermostRejected as refusal:
                problem = _unless_final(refusal)
            except MattermostUnavailable as failure:
                problem = failure
            except (PayloadError, trio.TooSlowError) as failure:
                problem = MattermostUnavailable(str(failure) or f"not done within {EDIT_SECONDS:g} s")
            if isinstance(problem, MattermostRejected):
                raise problem
            tries.failed(problem)
            if tries.faults >= MOST_FAULTS:
                raise MattermostRejected(f"failed {tries.faults} times: {problem}", status=500, code=problem.code)
            await tries.pause(problem)


def _unless_final(refusal: MattermostRejected) -> MattermostRejected | MattermostUnavailable:
    """A refused token says nothing about the post: it is to be written once the token is good again."""
    if not refusal.is_auth:
        return refusal
    return MattermostUnavailable(str(refusal), status=401, code=refusal.code, retry_after=AUTH_SECONDS)
