"""Words about the end of messages that get no turn: one post may speak for several of a conversation.

Such a post is named after the first of them, so that whatever confirms it finds all that it speaks for.
"""

from oc_trio.ids import ObligationId, OutboxId, PostId
from oc_trio.store.engine import Row, Tx

_MARK = "x"


def notice_id(obligation: ObligationId) -> OutboxId:
    """The name of the post that says why a message is not answered, and others with it."""
    return OutboxId(f"{obligation}.{_MARK}")


def ended_with(outbox: str) -> ObligationId | None:
    """The message that such a post, or one in its place, is named after; None where the name is another's."""
    name, _, mark = outbox.rpartition(".")
    return ObligationId(name.rpartition(".")[2]) if mark == _MARK else None


def note_post(tx: Tx, outbox: OutboxId, post: PostId) -> None:
    """The post stands: everything that ended with it was told so there."""
    if ended := _ended_with(tx, outbox):
        tx.run(
            "UPDATE obligations SET outcome_posts = ?"
            " WHERE account = ? AND session = ? AND ended_at = ? AND outcome_reason = ? AND state = 'failed'",
            *(post, *ended),
        )


def note_refusal(tx: Tx, outbox: OutboxId, reason: str) -> None:
    """The words were not taken: `reason` says so for each that ended with them."""
    if ended := _ended_with(tx, outbox):
        tx.run(
            "UPDATE obligations SET outcome_reason = ?"
            " WHERE account = ? AND session = ? AND ended_at = ? AND outcome_reason = ? AND state = 'failed'",
            *(reason, *ended),
        )


def _ended_with(tx: Tx, outbox: OutboxId) -> Row | None:
    """What all that ended with these words have in common."""
    first = ended_with(outbox)
    sql = "SELECT account, session, ended_at, outcome_reason FROM obligations WHERE id = ? AND state = 'failed'"
    return tx.one(sql, first) if first is not None else None
