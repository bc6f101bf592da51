"""Turns: one run of an agent for one or several obligations, with its draft posts and its decided result.

The result is written here before it is delivered, so that a restart repeats the delivery and not the agent's run.
"""

from collections.abc import Callable, Iterable

from oc_trio.classes import frozen
from oc_trio.core.ledger import ObligationState, Outcome, cancelled
from oc_trio.core.turn_events import Usage
from oc_trio.errors import StoreError
from oc_trio.ids import AccountId, ChannelId, ObligationId, PostId, SessionKey, ThreadRoot, TurnId
from oc_trio.store import context, participation, transcripts, usage
from oc_trio.store.columns import join_ids, split_posts
from oc_trio.store.engine import Engine, Row, Tx
from oc_trio.store.obligations import require_terminal


@frozen
class Turn:
    """`draft` is the draft post being edited, `drafts` all draft posts so far. `final` is the decided result as JSON,
    empty until decided; `outcome` is None until the turn has ended.
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


@frozen
class TurnEnd:
    """What the end of an answered turn writes, all of it or nothing.

    `last_entry` is given the turn's transcript entries and returns the one to add, empty for none; it may be called
    several times. `thread` is the one in which the bot has answered, empty for none. Posts that were overheard up to
    `context_until` were part of the prompt.
    """

    turn: Turn
    outcome: Outcome
    at: int
    last_entry: Callable[[tuple[str, ...]], str]
    thread: str = ""
    context_until: int = 0


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
    # Earlier drafts are never forgotten: `explain` finds the turn by any of them.
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
        # A restart does not look at ended turns, so an obligation bound to one would stay open for ever.
        raise StoreError(f"turn {turn.id} has ended, it can't begin again")
    earlier = tx.all(
        "SELECT DISTINCT turn FROM obligations WHERE id IN (??) AND turn <> ? AND state = 'open'", ids, turn.id
    )
    bound = tx.all(
        "UPDATE obligations SET turn = ?, attempts = attempts + 1 WHERE id IN (??) AND state = 'open' RETURNING id",
        *(turn.id, ids),
    )
    # A turn whose messages have all ended meanwhile must not come into being.
    if bound or not ids:
        _insert(tx, turn, at)
    for (other,) in earlier:
        # A turn without open obligations would otherwise be resumed at every start.
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


def finish(tx: Tx, ended: TurnEnd) -> None:
    turn, at = ended.turn, ended.at
    if entry := ended.last_entry(transcripts.of_turn(tx, turn.id)):
        transcripts.append(tx, turn.session, turn.id, [entry], at)
    if ended.thread:
        participation.record(tx, turn.account, turn.channel_id, ThreadRoot(ended.thread), at)
    # The next turn must not get them again.
    context.clear(tx, turn.session, ended.context_until)
    end(tx, turn.id, ended.outcome, at)


@frozen
class Turns:
    """Begins and ends turns, and records their drafts and results."""

    _engine: Engine

    async def begin(self, turn: Turn, obligation_ids: Iterable[ObligationId], at: int) -> tuple[ObligationId, ...]:
        """Binds the open ones of `obligation_ids` to the turn and counts an attempt of each; returns those bound.

        If none of them is open, nothing is written. Beginning an unfinished turn again resumes it; StoreError for one
        that has ended. Another turn that loses its last open obligation to this one ends as cancelled. `turn.draft`,
        `drafts` and `final` count only if the row is new.
        """
        ids = tuple(obligation_ids)
        return await self._engine.run(lambda tx: begin(tx, turn, ids, at))

    async def reset_attempts(self, turn: TurnId) -> None:
        """Resets the attempt counters of the turn's obligations: the interruption was ours (a drain), not a failure."""
        await self._engine.run(
            lambda tx: tx.run("UPDATE obligations SET attempts = 0 WHERE turn = ? AND state = 'open'", turn)
        )

    async def set_draft(self, turn: TurnId, post: PostId | None) -> None:
        """Records the draft post; None if it was deleted or is no draft any more. `drafts` keeps earlier ones too."""
        await self._engine.run(lambda tx: set_draft(tx, turn, post))

    async def attempts(self, turn: TurnId) -> int:
        """The highest attempt count of the turn's open obligations, the current attempt included; 0 if none is open."""
        sql = "SELECT max(attempts) FROM obligations WHERE turn = ? AND state = 'open'"
        return await self._engine.run(lambda tx: tx.value(sql, turn)) or 0

    async def decide(self, turn: Turn, final: str, used: Usage | None, at: int) -> None:
        """As `set_final`, for a result just decided: attempts are counted anew, because they now count deliveries.

        `used` are the tokens that it took, where they are known.
        """

        def write(tx: Tx) -> None:
            tx.run("UPDATE turns SET final = ? WHERE id = ?", final, turn.id)
            tx.run("UPDATE obligations SET attempts = 1 WHERE turn = ? AND state = 'open' AND attempts > 1", turn.id)
            if used is not None:
                usage.record(tx, turn.id, turn.account, turn.session, used, at)

        await self._engine.run(write)

    async def set_final(self, turn: TurnId, final: str) -> None:
        """Stores the decided result, before any of it is sent."""
        await self._engine.run(lambda tx: tx.run("UPDATE turns SET final = ? WHERE id = ?", final, turn))

    async def end(self, turn: TurnId, outcome: Outcome, at: int) -> int:
        """Ends the turn and all its open obligations in one transaction; returns how many obligations."""
        return await self._engine.run(lambda tx: end(tx, turn, outcome, at))

    async def finish(self, ended: TurnEnd) -> None:
        """Ends a turn that was answered, with its place in transcript and thread: see `TurnEnd`."""
        await self._engine.run(lambda tx: finish(tx, ended))

    async def get(self, turn: TurnId) -> Turn | None:
        return await self._engine.run(lambda tx: get(tx, turn))

    async def unfinished(self, account: AccountId) -> tuple[Turn, ...]:
        """Turns that have not ended, oldest first: a restart resumes them."""

        def read(tx: Tx) -> tuple[Turn, ...]:
            rows = tx.all(SELECT + " WHERE account = ? AND ended_at = 0 ORDER BY serial", account)
            return tuple(turn_of(tx, row) for row in rows)

        return await self._engine.run(read)
