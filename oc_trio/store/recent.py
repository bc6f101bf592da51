"""Reads what happened lately, for the status page: ended obligations, refused people, turns by the minute, retries.

Writes nothing.
"""

from contextlib import suppress

from oc_trio.classes import frozen
from oc_trio.core.inbound import InboundMessage
from oc_trio.ids import AccountId, ChannelId, SessionKey, UserId
from oc_trio.store.damage import WRONG_SHAPE
from oc_trio.store.engine import Engine, Row, Tx

MINUTE_MS = 60_000
# Rows of each kind; the page is for a look, not for a search.
MAX_ROWS = 20
# Reasons of posts that nobody expects an answer to: most of what a busy channel has.
NOT_FOR_THE_BOT = (
    "deleted_post",
    "edit_without_new_mention",
    "empty_post",
    "no_mention",
    "own_action",
    "own_post",
    "system_post",
)


@frozen
class EndedMessage:
    """A message whose obligation has ended. `message` is None where its payload can't be read."""

    obligation: str
    account: AccountId
    session: SessionKey
    message: InboundMessage | None
    state: str
    reason: str
    admitted_at: int
    ended_at: int


@frozen
class RefusedMessage:
    """A message that was not admitted, with the reason that `core.access` or `core.gating` gave."""

    trigger: str
    account: AccountId
    user_id: UserId
    channel_id: ChannelId
    reason: str
    at: int


@frozen
class WaitingPost:
    """An outgoing post that was tried and is not confirmed."""

    outbox: str
    account: AccountId
    kind: str
    channel_id: str
    attempts: int
    error: str
    created_at: int


@frozen
class TurnMinute:
    """The turns that ended in the minute that begins at `at`; seconds from their begin to their end."""

    at: int
    turns: int
    failed: int
    mean_seconds: float
    longest_seconds: float


@frozen
class RecentRows:
    """What happened lately; rows are newest first, minutes oldest first."""

    ended: tuple[EndedMessage, ...]
    refused: tuple[RefusedMessage, ...]
    waiting: tuple[WaitingPost, ...]
    minutes: tuple[TurnMinute, ...]


def _ended(row: Row) -> EndedMessage:
    *values, payload = row
    message: InboundMessage | None = None
    with suppress(*WRONG_SHAPE):  # reported by the checks of the journal; the page goes on without
        message = InboundMessage.from_json(payload)
    identity, account, session, state, reason, admitted_at, ended_at = values
    return EndedMessage(identity, account, session, message, state, reason, admitted_at, ended_at)


def _read(tx: Tx, since: int) -> RecentRows:
    ended = tx.all(
        "SELECT id, account, session, state, outcome_reason, admitted_at, ended_at, payload FROM obligations"
        " WHERE ended_at > 0 ORDER BY ended_at DESC, serial DESC LIMIT ?",
        MAX_ROWS,
    )
    refused = tx.all(
        "SELECT trigger, account, user_id, channel_id, reason, at FROM seen WHERE at > ? AND decision <> 'admit'"
        " AND reason NOT IN (??) ORDER BY at DESC LIMIT ?",
        *(since, NOT_FOR_THE_BOT, MAX_ROWS),
    )
    waiting = tx.all(
        "SELECT id, account, kind, channel_id, attempts, error, created_at FROM outbox"
        " WHERE state IN ('queued', 'sending') AND (attempts > 1 OR error <> '') ORDER BY serial DESC LIMIT ?",
        MAX_ROWS,
    )
    minutes = tx.all(
        # Both databases divide whole numbers without a rest.
        "SELECT ended_at / ? AS minute, COUNT(*), SUM(CASE WHEN outcome = 'failed' THEN 1 ELSE 0 END),"
        " AVG(ended_at - begun_at), MAX(ended_at - begun_at) FROM turns WHERE ended_at > ?"
        " GROUP BY minute ORDER BY minute",
        *(MINUTE_MS, since),
    )
    return RecentRows(
        tuple(map(_ended, ended)),
        tuple(RefusedMessage(*row) for row in refused),
        tuple(WaitingPost(*row) for row in waiting),
        tuple(
            TurnMinute(int(at) * MINUTE_MS, int(count), int(failed), float(mean) / 1000, float(longest) / 1000)
            for at, count, failed, mean, longest in minutes
        ),
    )


@frozen
class Recent:
    """All accounts together."""

    _engine: Engine

    async def read(self, since: int) -> RecentRows:
        """The newest rows of each kind; refusals and minutes after `since`."""
        return await self._engine.run(lambda tx: _read(tx, since))
