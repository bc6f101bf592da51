"""Obligations: one row per admitted message, which ends in exactly one terminal state.

`admission` makes them and `turns` binds them; here they are read and closed.
"""

from collections.abc import Iterable

from attrs import frozen

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
    values = list(row)  # the columns stand in the order of the fields
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
        " WHERE id IN (??) AND state = 'open'",
        *(outcome.state.value, join_ids(outcome.posts), outcome.reason, at, ids),
    )


def _close_saying(tx: Tx, ids: tuple[ObligationId, ...], outcome: Outcome, at: int, notice: OutboxRow) -> int:
    moved = close(tx, ids, outcome, at)
    if moved:
        put(tx, notice)
    return moved


def of_turn(tx: Tx, turn: TurnId) -> tuple[Obligation, ...]:
    return tuple(obligation_of(row) for row in tx.all(SELECT + " WHERE o.turn = ? ORDER BY o.serial", turn))


@frozen
class Obligations:
    """The face of this family."""

    _engine: Engine

    async def open_for(self, account: AccountId) -> tuple[Obligation, ...]:
        """What is still owed, in the order of admission."""
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

    async def close(self, ids: Iterable[ObligationId], outcome: Outcome, at: int) -> int:
        """Move open ones to a terminal state; returns how many moved. What has ended keeps its end."""
        wanted = tuple(ids)
        return await self._engine.run(lambda tx: close(tx, wanted, outcome, at))

    async def close_saying(self, ids: Iterable[ObligationId], outcome: Outcome, at: int, notice: OutboxRow) -> int:
        """As `close`, and queue the words about it in the same transaction: whoever is told that there will be no
        answer gets none, whatever comes in between. Where nothing moved there is nothing to say.
        """
        wanted = tuple(ids)
        return await self._engine.run(lambda tx: _close_saying(tx, wanted, outcome, at, notice))

    async def note_refusal(self, notice: OutboxId, reason: str) -> None:
        """The words of a `close_saying` were not taken; where they are, their post is noted as it is confirmed."""
        await self._engine.run(lambda tx: note_refusal(tx, notice, reason))

    async def excuse(self, account: AccountId) -> int:
        """The account failed by no fault of its turns: each open obligation has been tried once less."""
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
