"""The outbox: one row per outgoing post, moved only as `core.ledger.OUTBOX_MOVES` allows."""

from collections.abc import Iterable, Sequence

from oc_trio.classes import frozen
from oc_trio.core.events import Post
from oc_trio.core.ledger import OUTBOX_MOVES, OutboxKind, OutboxRow, OutboxState
from oc_trio.core.post_marker import marker_key
from oc_trio.errors import StoreError
from oc_trio.ids import AccountId, ChannelId, OutboxId, PostId, TurnId
from oc_trio.store.engine import Engine, Row, Tx
from oc_trio.store.notices import note_post
from oc_trio.store.watermarks import advance

SELECT = (
    "SELECT id, account, channel_id, root_id, kind, body, pending_post_id, created_at, turn, seq, to_user, state,"
    " sending_at, attempts, post_id, error FROM outbox"
)

# The states from which a row may move to each state.
_BEFORE = {to: tuple(state.value for state in OutboxState if to in OUTBOX_MOVES[state]) for to in OutboxState}


def outbox_of(row: Row) -> OutboxRow:
    values = list(row)  # columns are selected in the order of the fields
    values[4] = OutboxKind(row[4])
    values[11] = OutboxState(row[11])
    return OutboxRow(*values)


def put(tx: Tx, item: OutboxRow) -> int:
    return _insert(tx, item, OutboxState.QUEUED)


def _insert(tx: Tx, item: OutboxRow, state: OutboxState, sending_at: int = 0, attempts: int = 0) -> int:
    return tx.run(
        "INSERT INTO outbox (id, account, channel_id, root_id, kind, body, pending_post_id, created_at, turn, seq,"
        " to_user, state, sending_at, attempts, post_id, error, ended_at)"
        # Ids are derived from what the post is for, so a repeated delivery finds its rows and queues nothing twice.
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, '', 0) ON CONFLICT (id) DO NOTHING",
        *(item.id, item.account, item.channel_id, item.root_id, item.kind.value, item.body),
        *(item.pending_post_id, item.created_at, item.turn, item.seq, item.to_user, state.value, sending_at, attempts),
    )


def _state(tx: Tx, outbox: OutboxId) -> OutboxState:
    state = tx.value("SELECT state FROM outbox WHERE id = ?", outbox)
    if state is None:
        raise StoreError(f"there is no outbox row {outbox}")
    return OutboxState(state)


def _move(tx: Tx, outbox: OutboxId, to: OutboxState, columns: str, *values: object) -> bool:
    """Moves a row and sets `columns`; False if it is in that state already. Raises StoreError for a move that the table
    does not allow.
    """
    sql = f"UPDATE outbox SET state = ?, {columns} WHERE id = ? AND state IN (??)"  # noqa: S608 - names of columns
    if tx.run(sql, to.value, *values, outbox, _BEFORE[to]):
        return True
    state = _state(tx, outbox)
    if state is not to:
        raise StoreError(f"outbox row {outbox} is {state.value}, it can't become {to.value}")
    return False


def _mark_sending(tx: Tx, outbox: OutboxId, at: int) -> bool:
    return _move(tx, outbox, OutboxState.SENDING, "sending_at = ?, attempts = attempts + 1", at)


def _begin_sending(tx: Tx, item: OutboxRow, at: int) -> OutboxRow:
    # Nearly always it is new, and one statement enough.
    if _insert(tx, item, OutboxState.SENDING, at, attempts=1):
        return item
    row = outbox_of(tx.all(SELECT + " WHERE id = ?", item.id)[0])
    if row.state is OutboxState.QUEUED:
        _mark_sending(tx, item.id, at)
    return row


def _confirm(tx: Tx, outbox: OutboxId, post: PostId, at: int) -> bool:
    if not _move(tx, outbox, OutboxState.CONFIRMED, "post_id = ?, error = '', ended_at = ?", post, at):
        return False
    # In the same transaction, so that `explain` never knows of a notice without its post.
    note_post(tx, outbox, post)
    return True


def _confirm_answered(tx: Tx, outbox: OutboxId, post: PostId, at: int) -> PostId | None:
    if _confirm(tx, outbox, post, at):
        return None
    return PostId(tx.value("SELECT post_id FROM outbox WHERE id = ?", outbox))


def _requeue(tx: Tx, outbox: OutboxId, error: str) -> bool:
    return _move(tx, outbox, OutboxState.QUEUED, "error = ?", error)


def _mark_dead(tx: Tx, outbox: OutboxId, error: str, at: int) -> bool:
    return _move(tx, outbox, OutboxState.DEAD, "error = ?, ended_at = ?", error, at)


def _acknowledge(tx: Tx, account: AccountId, post: Post, at: int) -> OutboxRow | None:
    # Live events carry the pending id; over REST there is only the marker.
    name, value = ("pending_post_id", post.pending_post_id) if post.pending_post_id else ("id", marker_key(post.props))
    row = tx.one(f"{SELECT} WHERE account = ? AND {name} = ?", account, value) if value else None
    item = outbox_of(row) if row else None
    # A dead one stays dead: it was given up for good, and its post, which came too late, is the caller's to remove.
    if item is None or item.state in (OutboxState.CONFIRMED, OutboxState.DEAD):
        return item
    if item.state is OutboxState.QUEUED:
        # It was requeued because no response came, but the server had created the post.
        _mark_sending(tx, item.id, at)
    _confirm(tx, item.id, post.id, at)
    return outbox_of(tx.all(SELECT + " WHERE id = ?", item.id)[0])


def _acknowledge_all(
    tx: Tx, account: AccountId, posts: Sequence[Post], at: int, are_read: bool
) -> tuple[OutboxRow | None, ...]:
    if are_read:
        newest: dict[ChannelId, Post] = {}
        for post in sorted(posts, key=lambda post: (post.create_at, post.id)):
            newest[post.channel_id] = post
        for channel_id, post in newest.items():
            advance(tx, account, channel_id, post.id, post.create_at)
    return tuple(_acknowledge(tx, account, post, at) for post in posts)


@frozen
class Outbox:
    """Queues posts and records how far each got. A move returns False if the row was in that state already."""

    _engine: Engine

    async def put(self, rows: Iterable[OutboxRow]) -> int:
        """Queues posts in one transaction; existing ids are left unchanged. Returns how many are new."""
        items = tuple(rows)
        return await self._engine.run(lambda tx: sum(put(tx, item) for item in items))

    async def begin_sending(self, item: OutboxRow, at: int) -> OutboxRow:
        """Queues a post unless its id exists, and marks it as `mark_sending` does unless its state forbids it.

        Returns the row as it was before that mark.
        """
        return await self._engine.run(lambda tx: _begin_sending(tx, item, at))

    async def mark_sending(self, outbox: OutboxId, at: int) -> bool:
        """Call before the request: from now on it is unknown whether the post exists, until it is confirmed."""
        return await self._engine.run(lambda tx: _mark_sending(tx, outbox, at))

    async def confirm(self, outbox: OutboxId, post: PostId, at: int) -> PostId | None:
        """Confirms a row whose request was answered; returns the post of its event where that was quicker."""
        return await self._engine.run(lambda tx: _confirm_answered(tx, outbox, post, at))

    async def confirm_and_begin(
        self, outbox: OutboxId, post: PostId, following: OutboxRow, at: int
    ) -> tuple[PostId | None, OutboxRow]:
        """`confirm` of one post and `begin_sending` of the one that follows it, in one transaction."""
        return await self._engine.run(
            lambda tx: (_confirm_answered(tx, outbox, post, at), _begin_sending(tx, following, at))
        )

    async def requeue(self, outbox: OutboxId, error: str) -> bool:
        """Back to the queue: the server did not create the post, or still deduplicates by its `pending_post_id`."""
        return await self._engine.run(lambda tx: _requeue(tx, outbox, error))

    async def mark_dead(self, outbox: OutboxId, error: str, at: int) -> bool:
        """Never send this row again: it was refused, or nobody wants it any more. `error` says which."""
        return await self._engine.run(lambda tx: _mark_dead(tx, outbox, error, at))

    async def acknowledge(
        self, account: AccountId, posts: Sequence[Post], at: int, *, are_read: bool = False
    ) -> tuple[OutboxRow | None, ...]:
        """Confirms the rows of posts that came back by event or catch-up, even if they were requeued meanwhile.

        Returns the row of each as it is now, None for one that no row is of. `are_read`: the watermarks of their
        channels advance to them, in the same transaction.
        """
        return await self._engine.run(lambda tx: _acknowledge_all(tx, account, posts, at, are_read))

    async def set_channel(self, outbox: OutboxId, channel: ChannelId) -> None:
        """Sets the direct channel of `to_user`, once it is known."""
        await self._engine.run(lambda tx: tx.run("UPDATE outbox SET channel_id = ? WHERE id = ?", channel, outbox))

    async def get(self, outbox: OutboxId) -> OutboxRow | None:
        row = await self._engine.run(lambda tx: tx.one(SELECT + " WHERE id = ?", outbox))
        return outbox_of(row) if row else None

    async def unfinished(self, account: AccountId) -> tuple[OutboxRow, ...]:
        """The rows in state queued or sending, in the order in which they were queued."""
        rows = await self._engine.run(
            lambda tx: tx.all(SELECT + " WHERE account = ? AND state IN ('queued', 'sending') ORDER BY serial", account)
        )
        return tuple(outbox_of(row) for row in rows)

    async def of_turn(self, turn: TurnId) -> tuple[OutboxRow, ...]:
        rows = await self._engine.run(lambda tx: tx.all(SELECT + " WHERE turn = ? ORDER BY seq, serial", turn))
        return tuple(outbox_of(row) for row in rows)
