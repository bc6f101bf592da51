"""Writes posts so that each is written once: outbox row first, then the request, then the confirmation.

Owns the outbox's life and the retries that keep the idempotency key. What is said, and where, is decided elsewhere.
A row's id is its owner's choice: the same id always means the same post, before and after a restart.
"""

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import trio
from attrs import evolve, field, frozen

from oc_trio.core.backoff import RetryPolicy, no_sooner_than
from oc_trio.core.entities import NewPost
from oc_trio.core.events import Post
from oc_trio.core.obligations import OutboxKind, OutboxRow, OutboxState
from oc_trio.core.ratelimit import Lane
from oc_trio.errors import MattermostRejected, MattermostUnavailable, PayloadError, StoreError
from oc_trio.ids import AccountId, ChannelId, FileId, OutboxId, PostId, TurnId, UserId
from oc_trio.mattermost.sender import marker
from oc_trio.runtime.env import Env
from oc_trio.store.store import Store
from oc_trio.telemetry.log import get_logger
from oc_trio.telemetry.metrics import Metrics

MARKER = "oc_trio"
EDIT_SECONDS = 20.0
# A refused token is replaced by people: nothing is lost meanwhile, and nothing is gained by asking every second.
AUTH_SECONDS = 15.0
# So often in a row the server may fail at one edit while it does answer: a minute and a half of pauses.
MOST_FAULTS = 8

log = get_logger(part="delivery")


async def _no_direct(user_id: UserId) -> ChannelId:
    raise MattermostUnavailable(f"the direct channel with {user_id} can't be opened here")


# Sends `new` once and for all under its pending id; True where an earlier try may have been applied.
SendSurely = Callable[[NewPost, Lane, bool], Awaitable[Post]]


@frozen
class Letter:
    """A post to be delivered: `id` names it for good; `root_id` is empty for the channel itself.

    `to_user` is given instead of `channel_id` where the direct channel is still to be opened.
    """

    id: OutboxId
    channel_id: ChannelId
    message: str
    kind: OutboxKind
    root_id: str = ""
    turn: TurnId | None = None
    seq: int = 0
    props: Mapping[str, Any] = field(factory=dict, hash=False)
    file_ids: tuple[FileId, ...] = ()
    to_user: str = ""


@frozen(eq=False)
class Delivery:
    """The one way out for an account's posts and edits; `open_direct` gives the direct channel with a user."""

    account: AccountId
    bot_id: UserId
    store: Store
    env: Env
    metrics: Metrics
    send: SendSurely
    patch: Callable[[PostId, str, Lane], Awaitable[Post]]
    remove: Callable[[PostId], Awaitable[None]]
    retries: RetryPolicy
    open_direct: Callable[[UserId], Awaitable[ChannelId]] = _no_direct

    async def queue(self, letters: Iterable[Letter]) -> None:
        """Make letters durable, all or none; who sends them calls `post` or `post_until_done`, or a later start."""
        await self.store.outbox.put([self._new_row(letter) for letter in letters])

    async def post(self, letter: Letter) -> PostId:
        """Write `letter` once. Raises MattermostUnavailable (the row waits; ask again), MattermostRejected (dead)."""
        row = await self._row(letter)
        return await self._send(row, _new_post(letter, row))

    async def post_until_done(self, letter: Letter) -> PostId:
        """As `post`, for as long as it takes: the server being away only delays an answer. Ends by cancellation."""
        attempt = 0
        while True:
            try:
                return await self.post(letter)
            except MattermostUnavailable as problem:
                attempt += 1
                await self._pause(attempt, problem, letter.id)

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

    async def delete_quietly(self, post_id: PostId) -> None:
        """Remove a post that an answer has replaced, for as long as it takes; a refusal is logged."""
        try:
            await self._until_done(post_id, lambda: self.remove(post_id))
        except MattermostRejected as refusal:
            if refusal.status != 404:
                log.warning("a stale preview may remain", account=self.account, post=post_id, problem=str(refusal))

    async def resume(self, row: OutboxRow) -> PostId | None:
        """Finish a row that an earlier run left queued or in flight; None if the server refuses it for good."""
        body = json.loads(row.body)
        new = NewPost(
            ChannelId(row.channel_id),
            body["message"],
            row.root_id,
            row.pending_post_id,
            body.get("props", {}),
            tuple(FileId(file_id) for file_id in body.get("file_ids", ())),
        )
        attempt = 0
        while True:
            try:
                return await self._send(row, new)
            except MattermostRejected:
                return None
            except MattermostUnavailable as problem:
                attempt += 1
                await self._pause(attempt, problem, row.id)
                row = await self.store.outbox.get(row.id) or row

    async def knows(self, letter: OutboxId) -> bool:
        """Whether a post of that name was begun, by this run or an earlier one."""
        return await self.store.outbox.get(letter) is not None

    async def receipt(self, post: Post) -> bool:
        """A post of ours that the server showed us: it stands, whatever became of the request's answer.

        False for a twin: another post stands for the same letter. A request that was held up for longer than the
        server remembers its key makes one, and nobody can prevent that. Live events carry the pending id; over REST
        there is only the marker.
        """
        key = post.pending_post_id
        if not key:
            row = await self.store.outbox.get(OutboxId(marker(post.props)))
            key = row.pending_post_id if row is not None and row.account == self.account else ""
        row = await self.store.outbox.receipt(self.account, key, post.id, self.env.now_ms()) if key else None
        return row is None or row.post_id in (None, post.id)

    async def _row(self, letter: Letter) -> OutboxRow:
        row = await self.store.outbox.get(letter.id)
        if row is None:
            row = self._new_row(letter)
            await self.store.outbox.put([row])
        return row

    def _new_row(self, letter: Letter) -> OutboxRow:
        marked = {**letter.props, MARKER: {"k": letter.id}}
        body = {"message": letter.message, "props": marked, "file_ids": list(letter.file_ids)}
        return OutboxRow(
            id=letter.id,
            account=self.account,
            channel_id=letter.channel_id,
            root_id=letter.root_id,
            kind=letter.kind,
            body=json.dumps(body, ensure_ascii=False, separators=(",", ":")),
            pending_post_id=f"{self.bot_id}:{letter.id}",
            created_at=self.env.now_ms(),
            turn=letter.turn,
            seq=letter.seq,
            to_user=letter.to_user,
        )

    async def _send(self, row: OutboxRow, new: NewPost) -> PostId:
        if row.state is OutboxState.CONFIRMED and row.post_id is not None:
            return row.post_id
        if row.state is OutboxState.DEAD:
            raise MattermostRejected(row.error, status=403)
        if not new.channel_id:
            new = evolve(new, channel_id=await self._address(row))
        lane = Lane.CREATE if row.kind is OutboxKind.DRAFT else Lane.FINAL
        in_doubt = row.state is OutboxState.SENDING
        standing = await self._move(row.id, self.store.outbox.sending(row.id, self.env.now_ms()))
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
            if await self.store.outbox.confirm(row.id, post.id, self.env.now_ms()):
                return post.id
            # The event of an earlier try's post was quicker: that one is the answer, and this one its twin.
            return await self._standing(row.id) or post.id
        return await self._failed(row, in_doubt, problem)

    async def _failed(
        self, row: OutboxRow, in_doubt: bool, problem: MattermostRejected | MattermostUnavailable
    ) -> PostId:
        """File the failure and raise it; the post's id where its own event came although the answer did not."""
        outbox = self.store.outbox
        if isinstance(problem, MattermostRejected):
            log.warning("the server refused a post", account=self.account, outbox=row.id, problem=str(problem))
            standing = await self._move(row.id, outbox.dead(row.id, str(problem), self.env.now_ms()))
        elif problem.ambiguous or in_doubt:
            self.metrics.outbox_ambiguous.labels(self.account).inc()
            standing = await self._standing(row.id)
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
            await self.store.outbox.dead(row.id, str(problem), self.env.now_ms())
        raise problem

    async def _move(self, row: OutboxId, moving: Awaitable[bool]) -> PostId | None:
        """Make the move. Our own event may confirm the row at any await: then the post's id, and nothing is moved."""
        try:
            await moving
        except StoreError as problem:
            refused = problem
        else:
            return None
        standing = await self._standing(row)
        if standing is None:
            raise refused
        return standing

    async def _standing(self, row: OutboxId) -> PostId | None:
        now = await self.store.outbox.get(row)
        return now.post_id if now is not None and now.state is OutboxState.CONFIRMED else None

    async def _until_done(self, what: PostId, write: Callable[[], Awaitable[object]]) -> None:
        attempt = faults = 0
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
            # An answer that says 500 is about this post; a server that is away says something else, or nothing.
            faults = faults + 1 if problem.status == 500 else 0
            if faults >= MOST_FAULTS:
                raise MattermostRejected(f"failed {faults} times: {problem}", status=500, code=problem.code)
            attempt += 1
            await self._pause(attempt, problem, what)

    async def _pause(self, attempt: int, problem: MattermostUnavailable, what: str) -> None:
        seconds = no_sooner_than(self.retries.delay(attempt - 1, self.env.random.random()), problem.retry_after)
        why = str(problem.status or "no answer")
        self.metrics.rest_retries.labels(self.account, why).inc()
        log.info("will try again", account=self.account, what=what, seconds=round(seconds, 1), problem=str(problem))
        await trio.sleep(seconds)


def _new_post(letter: Letter, row: OutboxRow) -> NewPost:
    """The text may have grown since the row was made (a draft); the key stays."""
    props, where = json.loads(row.body)["props"], letter.channel_id or ChannelId(row.channel_id)
    return NewPost(where, letter.message, letter.root_id, row.pending_post_id, props, letter.file_ids)


def _unless_final(refusal: MattermostRejected) -> MattermostRejected | MattermostUnavailable:
    """A refused token says nothing about the post: it is to be written once the token is good again."""
    if not refusal.is_auth:
        return refusal
    return MattermostUnavailable(str(refusal), status=401, code=refusal.code, retry_after=AUTH_SECONDS)
