"""Writes posts so that each is written once: outbox row first, then the request, then the confirmation.

Owns the outbox's life and the retries that keep the idempotency key. What is said, and where, is decided elsewhere.
A row's id is its owner's choice: the same id always means the same post, before and after a restart.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import trio
from attrs import field, frozen

from oc_trio.core.backoff import RetryPolicy, no_sooner_than
from oc_trio.core.entities import NewPost
from oc_trio.core.events import Post
from oc_trio.core.obligations import OutboxKind, OutboxRow, OutboxState
from oc_trio.core.ratelimit import Lane
from oc_trio.errors import MattermostRejected, MattermostUnavailable, PayloadError
from oc_trio.ids import AccountId, ChannelId, FileId, OutboxId, PostId, TurnId, UserId
from oc_trio.runtime.env import Env
from oc_trio.store.store import Store
from oc_trio.telemetry.log import get_logger
from oc_trio.telemetry.metrics import Metrics

MARKER = "oc_trio"
EDIT_SECONDS = 20.0

log = get_logger(part="delivery")

# Sends `new` once and for all under its pending id; True where an earlier try may have been applied.
SendSurely = Callable[[NewPost, Lane, bool], Awaitable[Post]]


@frozen
class Letter:
    """A post to be delivered: `id` names it for good; `root_id` is empty for the channel itself."""

    id: OutboxId
    channel_id: ChannelId
    message: str
    kind: OutboxKind
    root_id: str = ""
    turn: TurnId | None = None
    seq: int = 0
    props: Mapping[str, Any] = field(factory=dict, hash=False)
    file_ids: tuple[FileId, ...] = ()


@frozen(eq=False)
class Delivery:
    """The one way out for an account's posts and edits."""

    account: AccountId
    bot_id: UserId
    store: Store
    env: Env
    metrics: Metrics
    send: SendSurely
    patch: Callable[[PostId, str, Lane], Awaitable[Post]]
    remove: Callable[[PostId], Awaitable[None]]
    retries: RetryPolicy

    async def queue(self, letter: Letter) -> None:
        """Write `letter` down for good; who sends it calls `post` or `post_until_done`, or the next start does."""
        await self._row(letter)

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
        await self.patch(post_id, message, Lane.EDIT)

    async def edit_until_done(self, post_id: PostId, message: str) -> None:
        """Make `message` a post's text, for as long as it takes. Raises MattermostRejected: the post is gone."""
        attempt = 0
        while True:
            try:
                with trio.fail_after(EDIT_SECONDS):
                    await self.patch(post_id, message, Lane.FINAL)
                return
            except (MattermostUnavailable, trio.TooSlowError, PayloadError) as problem:
                attempt += 1
                await self._pause(attempt, problem, post_id)

    async def delete_quietly(self, post_id: PostId) -> None:
        """Remove a post that an answer has replaced, for as long as it takes; a refusal leaves it and is logged."""
        attempt = 0
        while True:
            try:
                with trio.fail_after(EDIT_SECONDS):
                    await self.remove(post_id)
                return
            except MattermostRejected as refusal:
                if refusal.status != 404:
                    log.warning("a stale preview may remain", account=self.account, post=post_id, problem=str(refusal))
                return
            except (MattermostUnavailable, trio.TooSlowError, PayloadError) as problem:
                attempt += 1
                await self._pause(attempt, problem, post_id)

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

    async def receipt(self, post: Post) -> None:
        """Our own `posted` event: the post stands, whatever became of the request's answer."""
        if post.pending_post_id:
            await self.store.outbox.receipt(self.account, post.pending_post_id, post.id, self.env.now_ms())

    async def _row(self, letter: Letter) -> OutboxRow:
        row = await self.store.outbox.get(letter.id)
        if row is None:
            marked = {**letter.props, MARKER: {"k": letter.id}}
            body = {"message": letter.message, "props": marked, "file_ids": list(letter.file_ids)}
            row = OutboxRow(
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
            )
            await self.store.outbox.put([row])
        return row

    async def _send(self, row: OutboxRow, new: NewPost) -> PostId:
        if row.state is OutboxState.CONFIRMED and row.post_id is not None:
            return row.post_id
        if row.state is OutboxState.DEAD:
            raise MattermostRejected(row.error, status=403)
        lane = Lane.CREATE if row.kind is OutboxKind.DRAFT else Lane.FINAL
        in_doubt = row.state is OutboxState.SENDING
        await self.store.outbox.sending(row.id, self.env.now_ms())
        problem: MattermostRejected | MattermostUnavailable
        try:
            post = await self.send(new, lane, in_doubt)
        except (MattermostRejected, MattermostUnavailable) as raised:
            problem = raised
        else:
            await self.store.outbox.confirm(row.id, post.id, self.env.now_ms())
            return post.id
        if isinstance(problem, MattermostRejected):
            log.warning("the server refused a post", account=self.account, outbox=row.id, problem=str(problem))
            await self.store.outbox.dead(row.id, str(problem), self.env.now_ms())
            raise problem
        if problem.ambiguous:
            self.metrics.outbox_ambiguous.labels(self.account).inc()
        now = await self.store.outbox.get(row.id)
        if now is not None and now.state is OutboxState.CONFIRMED and now.post_id is not None:
            return now.post_id  # our own event came although the answer did not
        if not problem.ambiguous and not in_doubt:
            await self.store.outbox.requeue(row.id, str(problem))
        raise problem

    async def _pause(self, attempt: int, problem: Exception, what: str) -> None:
        retry_after = problem.retry_after if isinstance(problem, MattermostUnavailable) else None
        seconds = no_sooner_than(self.retries.delay(attempt - 1, self.env.random.random()), retry_after)
        why = str(getattr(problem, "status", "") or type(problem).__name__)
        self.metrics.rest_retries.labels(self.account, why).inc()
        log.info("will try again", account=self.account, what=what, seconds=round(seconds, 1), problem=str(problem))
        await trio.sleep(seconds)


def _new_post(letter: Letter, row: OutboxRow) -> NewPost:
    """The text may have grown since the row was made (a draft); the key stays."""
    props = json.loads(row.body)["props"]
    return NewPost(letter.channel_id, letter.message, letter.root_id, row.pending_post_id, props, letter.file_ids)
