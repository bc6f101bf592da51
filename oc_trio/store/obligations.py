"""Obligations: one row per message that must be answered, which ends in exactly one terminal state.

`admission` creates them and `turns` binds them to a turn; here they are read and closed.
"""

from collections.abc import Iterable

from oc_trio.classes import frozen
from oc_trio.core.ledger import Obligation, ObligationState, OutboxRow, Outcome, Source
from oc_trio.ids import AccountId, ObligationId, OutboxId, TurnId
from oc_trio.store.columns import join_ids, split_posts
from oc_trio.store.engine import Engine, Row, Tx
from oc_trio.store.notices import note_refusal
from oc_trio.store.outbox import put

SELECT = (
    "SELECT o.id, o.account, o.trigger, o.channel_id, o.user_id, o.root_id, o.session, o.source, o.reason, o.payload,"
    " o.admitted_at, o.state, o.turn, t.draft, o.attempts, o.outcome_posts, o.outcome_reason, o.ended_at"
    " FROM obligations o LEFT JOIN turns t ON t.id = o.turn"
)


def obligation_of(row: Row) -> Obligation:
    values = list(row)  # columns are selected in the order of the fields
    values[7] = Source(row[7])
    values[11] = ObligationState(row[11])
    values[15] = split_posts(row[15])
    return Obligation(*values)


def insert_obligation(tx: Tx, item: Obligation) -> None:
    tx.run(
        "INSERT INTO obligations (id, account, trigger, channel_id, user_id, root_id, session, source, reason, payload,"
        " admitted_at, state, turn, attempts, outcome_posts, outcome_reason, ended_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'open', NULL, 0, '', '', 0)",
        *(item.id, item.account, item.trigger, item.channel_id, item.user_id, item.root_id, item.session),
        *(item.source.value, item.reason, item.payload, item.admitted_at),
    )


def require_terminal(outcome: Outcome) -> None:
    if not outcome.state.is_terminal:
        raise ValueError("an outcome is terminal")


def close(tx: Tx, ids: tuple[ObligationId, ...], outcome: Outcome, at: int) -> int:
    require_terminal(outcome)
    return tx.run(
        "UPDATE obligations SET state = ?, outcome_posts = ?, outcome_reason = ?, ended_at = ?"
        # Only open ones: whoever closes first decides, and what comes later can't change the outcome.
        " WHERE id IN (??) AND state = 'open'",
        *(outcome.state.value, join_ids(outcome.posts), outcome.reason, at, ids),
    )


def _close_with_notice(tx: Tx, ids: tuple[ObligationId, ...], outcome: Outcome, at: int, notice: OutboxRow) -> int:
    # The notice's post is found by the columns of that one: see `notices`.
    if not tx.one("SELECT 1 FROM obligations WHERE id = ? AND state = 'open'", ids[0]):
        return 0
    put(tx, notice)
    return close(tx, ids, outcome, at)


def of_turn(tx: Tx, turn: TurnId) -> tuple[Obligation, ...]:
    return tuple(obligation_of(row) for row in tx.all(SELECT + " WHERE o.turn = ? ORDER BY o.serial", turn))


@frozen
class Obligations:
    """Reads and closes obligations."""

    _engine: Engine

    async def open_for(self, account: AccountId) -> tuple[Obligation, ...]:
        """The open obligations, in the order of admission."""
        rows = await self._engine.run(
            lambda tx: tx.all(SELECT + " WHERE o.account = ? AND o.state = 'open' ORDER BY o.serial", account)
        )
        return tuple(obligation_of(row) for row in rows)

    async def get(self, obligation: ObligationId) -> Obligation | None:
        row = await self._engine.run(lambda tx: tx.one(SELECT + " WHERE o.id = ?", obligation))
        return obligation_of(row) if row else None

    async def by_trigger(self, account: AccountId, trigger: str) -> Obligation | None:
        row = await self._engine.run(
            lambda tx: tx.one(SELECT + " WHERE o.account = ? AND o.trigger = ?", account, trigger)
        )
        return obligation_of(row) if row else None

    async def still_open(self, ids: Iterable[ObligationId]) -> frozenset[ObligationId]:
        """Those that have not ended."""
        wanted = tuple(ids)
        rows = await self._engine.run(
            lambda tx: tx.all("SELECT id FROM obligations WHERE id IN (??) AND state = 'open'", wanted)
        )
        return frozenset(ObligationId(row[0]) for row in rows)

    async def close(self, ids: Iterable[ObligationId], outcome: Outcome, at: int) -> int:
        """Moves the open ones of `ids` to a terminal state; returns how many. One that has ended keeps its outcome."""
        obligations = tuple(ids)
        return await self._engine.run(lambda tx: close(tx, obligations, outcome, at))

    async def close_with_notice(self, ids: Iterable[ObligationId], outcome: Outcome, at: int, notice: OutboxRow) -> int:
        """As `close`, and queues `notice` in the same transaction, so that no message is both answered and
        reported as unanswered. The notice is named after the first of `ids`: nothing is done if that has ended.
        """
        obligations = tuple(ids)
        return await self._engine.run(lambda tx: _close_with_notice(tx, obligations, outcome, at, notice))

    async def note_refusal(self, notice: OutboxId, reason: str) -> None:
        """The notice of `close_with_notice` was refused. (If it is posted, `Outbox.confirm` records the post id.)"""
        await self._engine.run(lambda tx: note_refusal(tx, notice, reason))

    async def refund_attempt(self, account: AccountId) -> int:
        """Takes back one attempt of each open obligation: the account failed, not the turn."""
        return await self._engine.run(
            lambda tx: tx.run(
                "UPDATE obligations SET attempts = attempts - 1 WHERE account = ? AND state = 'open' AND attempts > 0",
                account,
            )
        )

    async def attempt(self, obligation: ObligationId) -> int:
        """Count an attempt at what needs no turn; returns how many that are, 0 once it has ended."""
        sql = "UPDATE obligations SET attempts = attempts + 1 WHERE id = ? AND state = 'open' RETURNING attempts"
        return await self._engine.run(lambda tx: tx.value(sql, obligation)) or 0

    async def revise(self, obligation: ObligationId, payload: str) -> bool:
        """The message was edited before it was answered: a restart must run the new text. False once it has ended."""
        sql = "UPDATE obligations SET payload = ? WHERE id = ? AND state = 'open'"
        return bool(await self._engine.run(lambda tx: tx.run(sql, payload, obligation)))

    async def recast(self, obligation: ObligationId, payload: str) -> None:
        """What was a command goes on as a message, whose turns have attempts of their own."""
        sql = "UPDATE obligations SET payload = ?, attempts = 0 WHERE id = ? AND state = 'open'"
        await self._engine.run(lambda tx: tx.run(sql, payload, obligation))
