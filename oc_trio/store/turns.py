"""Turns: one run of an agent for one or several obligations, its drafts and its decided final.

The final is written here before it is delivered, so that a restart repeats the same delivery and not another answer.
"""

from collections.abc import Iterable

from attrs import frozen

from oc_trio.core.ledger import ObligationState, Outcome, cancelled
from oc_trio.errors import StoreError
from oc_trio.ids import AccountId, ChannelId, ObligationId, PostId, SessionKey, TurnId
from oc_trio.store.columns import join_ids, split_posts
from oc_trio.store.engine import Engine, Row, Tx
from oc_trio.store.obligations import require_terminal


@frozen
class Turn:
    """`draft` is the preview being edited, `drafts` every preview post so far, `final` JSON, empty until decided.

    `outcome` is None until the turn has ended.
    """

    id: TurnId
    account: AccountId
    session: SessionKey
    channel_id: ChannelId
    root_id: str
    obligations: tuple[ObligationId, ...] = ()
    draft: PostId | None = None
    drafts: tuple[PostId, ...] = ()
    final: str = ""
    begun_at: int = 0
    ended_at: int = 0
    outcome: Outcome | None = None


SELECT = (
    "SELECT id, account, session, channel_id, root_id, draft, drafts, final, begun_at, ended_at, outcome,"
    " outcome_posts, outcome_reason FROM turns"
)


def turn_of(tx: Tx, row: Row) -> Turn:
    bound = tx.all("SELECT id FROM obligations WHERE turn = ? ORDER BY serial", row[0])
    ended = Outcome(ObligationState(row[10]), split_posts(row[11]), row[12]) if row[10] else None
    return Turn(*[*row[:5], tuple(item[0] for item in bound), row[5], split_posts(row[6]), *row[7:10], ended])


def get(tx: Tx, turn: TurnId) -> Turn | None:
    row = tx.one(SELECT + " WHERE id = ?", turn)
    return turn_of(tx, row) if row else None


def _mark_ended(tx: Tx, turn: TurnId, outcome: Outcome, at: int) -> int:
    return tx.run(
        "UPDATE turns SET ended_at = ?, outcome = ?, outcome_posts = ?, outcome_reason = ?"
        " WHERE id = ? AND ended_at = 0",
        *(at, outcome.state.value, join_ids(outcome.posts), outcome.reason, turn),
    )


def _with_draft(drafts: tuple[PostId, ...], draft: PostId | None) -> tuple[PostId, ...]:
    return drafts if draft is None or draft in drafts else (*drafts, draft)


def _insert(tx: Tx, turn: Turn, at: int) -> None:
    tx.run(
        "INSERT INTO turns (id, account, session, channel_id, root_id, draft, drafts, final, begun_at, ended_at,"
        " outcome, outcome_posts, outcome_reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, '', '', '')"
        " ON CONFLICT (id) DO NOTHING",
        *(turn.id, turn.account, turn.session, turn.channel_id, turn.root_id),
        *(turn.draft, join_ids(_with_draft(turn.drafts, turn.draft)), turn.final, at),
    )


def begin(tx: Tx, turn: Turn, ids: tuple[ObligationId, ...], at: int) -> tuple[ObligationId, ...]:
    if tx.value("SELECT ended_at FROM turns WHERE id = ?", turn.id):
        # Bound to a turn that no restart looks at, an obligation would be open for ever.
        raise StoreError(f"turn {turn.id} has ended, it can't begin again")
    earlier = tx.all(
        "SELECT DISTINCT turn FROM obligations WHERE id IN (??) AND turn <> ? AND state = 'open'", ids, turn.id
    )
    bound = tx.all(
        "UPDATE obligations SET turn = ?, attempts = attempts + 1 WHERE id IN (??) AND state = 'open' RETURNING id",
        *(turn.id, ids),
    )
    if bound or not ids:
        _insert(tx, turn, at)
    for (other,) in earlier:
        # A turn that owes nothing any more would be resumed at every start.
        if not tx.one("SELECT 1 FROM obligations WHERE turn = ? AND state = 'open'", other):
            _mark_ended(tx, other, cancelled(f"superseded by {turn.id}"), at)
    moved = {row[0] for row in bound}
    return tuple(item for item in ids if item in moved)


def set_draft(tx: Tx, turn: TurnId, post: PostId | None) -> None:
    row = tx.one("SELECT drafts FROM turns WHERE id = ?", turn)
    drafts = split_posts(row[0]) if row else ()
    tx.run("UPDATE turns SET draft = ?, drafts = ? WHERE id = ?", post, join_ids(_with_draft(drafts, post)), turn)


def end(tx: Tx, turn: TurnId, outcome: Outcome, at: int) -> int:
    require_terminal(outcome)
    _mark_ended(tx, turn, outcome, at)
    return tx.run(
        "UPDATE obligations SET state = ?, outcome_posts = ?, outcome_reason = ?, ended_at = ?"
        " WHERE turn = ? AND state = 'open'",
        *(outcome.state.value, join_ids(outcome.posts), outcome.reason, at, turn),
    )


@frozen
class Turns:
    """The face of this family."""

    _engine: Engine

    async def begin(self, turn: Turn, obligation_ids: Iterable[ObligationId], at: int) -> tuple[ObligationId, ...]:
        """Bind the open ones among `obligation_ids` and count the attempt; returns those bound.

        When none of them is open any more, nothing is written. Beginning an unfinished turn goes on with it; one that
        has ended raises StoreError. A turn that loses its last open obligation to this one ends as cancelled.
        `turn.draft`, `drafts` and `final` are taken over when the row is new.
        """
        wanted = tuple(obligation_ids)
        return await self._engine.run(lambda tx: begin(tx, turn, wanted, at))

    async def spare(self, turn: TurnId) -> None:
        """The turn was interrupted on purpose: what it owes has not been tried in vain."""
        await self._engine.run(
            lambda tx: tx.run("UPDATE obligations SET attempts = 0 WHERE turn = ? AND state = 'open'", turn)
        )

    async def set_draft(self, turn: TurnId, post: PostId | None) -> None:
        """Remember the preview post; None when it was deleted or became something else. `drafts` only grows."""
        await self._engine.run(lambda tx: set_draft(tx, turn, post))

    async def attempts(self, turn: TurnId) -> int:
        """How often it was begun for those of its obligations that are still open, the present attempt included."""
        sql = "SELECT max(attempts) FROM obligations WHERE turn = ? AND state = 'open'"
        return await self._engine.run(lambda tx: tx.value(sql, turn)) or 0

    async def decide(self, turn: TurnId, final: str) -> None:
        """As `set_final`, where the end has just been decided: its delivery has attempts of its own, now the first."""

        def write(tx: Tx) -> None:
            tx.run("UPDATE turns SET final = ? WHERE id = ?", final, turn)
            tx.run("UPDATE obligations SET attempts = 1 WHERE turn = ? AND state = 'open' AND attempts > 1", turn)

        await self._engine.run(write)

    async def set_final(self, turn: TurnId, final: str) -> None:
        """Make the decided final durable, before the first byte of it is sent."""
        await self._engine.run(lambda tx: tx.run("UPDATE turns SET final = ? WHERE id = ?", final, turn))

    async def end(self, turn: TurnId, outcome: Outcome, at: int) -> int:
        """End the turn and all its open obligations together; returns how many obligations that were."""
        return await self._engine.run(lambda tx: end(tx, turn, outcome, at))

    async def get(self, turn: TurnId) -> Turn | None:
        return await self._engine.run(lambda tx: get(tx, turn))

    async def unfinished(self, account: AccountId) -> tuple[Turn, ...]:
        """Turns that began and did not end, oldest first: what a restart has to go on with."""

        def read(tx: Tx) -> tuple[Turn, ...]:
            rows = tx.all(SELECT + " WHERE account = ? AND ended_at = 0 ORDER BY serial", account)
            return tuple(turn_of(tx, row) for row in rows)

        return await self._engine.run(read)
