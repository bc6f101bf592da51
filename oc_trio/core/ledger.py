"""The ledger: the states of obligations (messages to be answered) and of the outbox (outgoing posts).

This module alone says which state may follow which. `store` keeps the rows, `runtime` changes their states.
"""

from enum import Enum

from oc_trio.classes import frozen
from oc_trio.ids import (
    AccountId,
    ChannelId,
    ObligationId,
    OutboxId,
    PostId,
    SessionKey,
    TurnId,
    UserId,
)


class ObligationState(Enum):
    """`OPEN` until the turn that answers it ends; the other four are terminal."""

    OPEN = "open"
    DELIVERED = "delivered"
    SILENT = "silent"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        return self is not ObligationState.OPEN


@frozen
class Outcome:
    """How an obligation ended: `posts` if delivered (or of a failure notice), `reason` otherwise."""

    state: ObligationState
    posts: tuple[PostId, ...] = ()
    reason: str = ""


def delivered(*posts: PostId) -> Outcome:
    return Outcome(ObligationState.DELIVERED, posts=posts)


def silent(reason: str) -> Outcome:
    return Outcome(ObligationState.SILENT, reason=reason)


def failed(reason: str, *notices: PostId) -> Outcome:
    return Outcome(ObligationState.FAILED, posts=notices, reason=reason)


def cancelled(by: str) -> Outcome:
    return Outcome(ObligationState.CANCELLED, reason=by)


class Source(Enum):
    """How an inbound message reached us."""

    LIVE = "live"
    CATCHUP = "catchup"
    EDIT = "edit"
    BUTTON = "button"
    COMMAND = "command"
    HOOK = "hook"
    CRON = "cron"


@frozen
class Obligation:
    """One admitted message that must be answered, and the turn that answers it.

    `trigger` is the post id, or for clicks and commands an id made from them (unique per account). `payload` is the
    JSON of the `InboundMessage`. `draft` is the draft post of an unfinished turn, so that a restart continues in the
    same post. `attempts` counts the turns begun, except those that were interrupted on purpose.
    """

    id: ObligationId
    account: AccountId
    trigger: str
    channel_id: ChannelId
    user_id: UserId
    root_id: str
    session: SessionKey
    source: Source
    reason: str
    payload: str
    admitted_at: int
    state: ObligationState = ObligationState.OPEN
    turn: TurnId | None = None
    draft: PostId | None = None
    # A message at which the process dies is given up by this count, or each start would die at it.
    attempts: int = 0
    outcome_posts: tuple[PostId, ...] = ()
    outcome_reason: str = ""
    ended_at: int = 0


class OutboxState(Enum):
    """In `SENDING` it is unknown whether the post exists: find out before sending more to that conversation."""

    QUEUED = "queued"
    SENDING = "sending"
    CONFIRMED = "confirmed"
    DEAD = "dead"


OUTBOX_MOVES: dict[OutboxState, frozenset[OutboxState]] = {
    # Never straight to CONFIRMED: a crash in between would leave a post that nobody looks for.
    OutboxState.QUEUED: frozenset({OutboxState.SENDING, OutboxState.DEAD}),
    # Back to QUEUED when the server certainly did not create the post, or will deduplicate a retry.
    OutboxState.SENDING: frozenset({OutboxState.QUEUED, OutboxState.CONFIRMED, OutboxState.DEAD}),
    OutboxState.CONFIRMED: frozenset(),
    OutboxState.DEAD: frozenset(),
}


class OutboxKind(Enum):
    """Why a post is created: a `DRAFT` is edited later, the others are final."""

    DRAFT = "draft"
    FINAL = "final"
    NOTICE = "notice"
    MESSAGE = "message"


@frozen
class OutboxRow:
    """One outgoing post. `pending_post_id` is the idempotency key; `body` is the JSON of `POST /posts`.

    `turn` is the turn that wrote it, `seq` the order within the turn. `to_user` is set instead of `channel_id` as long
    as the direct channel is not known.
    """

    id: OutboxId
    account: AccountId
    channel_id: str
    root_id: str
    kind: OutboxKind
    body: str
    pending_post_id: str
    created_at: int
    turn: TurnId | None = None
    seq: int = 0
    to_user: str = ""
    state: OutboxState = OutboxState.QUEUED
    sending_at: int = 0
    attempts: int = 0
    post_id: PostId | None = None
    error: str = ""
