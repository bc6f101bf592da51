"""Links obligations that end without a turn to the one notice post that tells people so.

One notice may stand for several messages of a conversation. Its outbox id is made from the first one's obligation id;
the others are those that ended in the same session, at the same time and for the same reason.
"""

from oc_trio.ids import ObligationId, OutboxId, PostId
from oc_trio.store.engine import Row, Tx

_MARK = "x"


def notice_id(obligation: ObligationId) -> OutboxId:
    """The outbox id of the notice that says why this message, and others with it, are not answered."""
    return OutboxId(f"{obligation}.{_MARK}")


def notice_obligation(outbox: str) -> ObligationId | None:
    """The obligation that a notice, or the fallback for one, is named after; None for any other outbox id."""
    name, _, mark = outbox.rpartition(".")
    # A fallback's id has `instead.` in front: the obligation's id is what stands right before the mark.
    return ObligationId(name.rpartition(".")[2]) if mark == _MARK else None


def note_post(tx: Tx, outbox: OutboxId, post: PostId) -> None:
    """The notice was posted: records its post id in all obligations that it stands for."""
    if common := _common_columns(tx, outbox):
        tx.run(
            "UPDATE obligations SET outcome_posts = ?"
            " WHERE account = ? AND session = ? AND ended_at = ? AND outcome_reason = ? AND state = 'failed'",
            *(post, *common),
        )


def note_refusal(tx: Tx, outbox: OutboxId, reason: str) -> None:
    """The notice was refused: records `reason` in all obligations that it stands for."""
    if common := _common_columns(tx, outbox):
        tx.run(
            "UPDATE obligations SET outcome_reason = ?"
            " WHERE account = ? AND session = ? AND ended_at = ? AND outcome_reason = ? AND state = 'failed'",
            *(reason, *common),
        )


def _common_columns(tx: Tx, outbox: OutboxId) -> Row | None:
    """The columns by which all obligations of a notice are found."""
    first = notice_obligation(outbox)
    sql = "SELECT account, session, ended_at, outcome_reason FROM obligations WHERE id = ? AND state = 'failed'"
    return tx.one(sql, first) if first is not None else None
