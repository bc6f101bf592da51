"""The life of one post: of a message that reached us, or of a post that we wrote. Reads only."""

from collections.abc import Sequence

from attrs import evolve, frozen

from oc_trio.core.ledger import Obligation, OutboxRow
from oc_trio.core.turn_events import Usage
from oc_trio.ids import AccountId, TurnId
from oc_trio.store import obligations, outbox, turns, usage
from oc_trio.store.admission import SEEN, Seen, seen_of
from oc_trio.store.engine import Tx
from oc_trio.store.turns import Turn

# Who is refused has no claim on an answer; what they are told is named after their message itself.
PAIRING_STEM, DENIED_STEM = "pair.", "denied."
# Words that stand in for a post are named after it. In front, as names may end with what somebody else has chosen.
FALLBACK_PREFIX = "instead."


@frozen
class PostLife:
    """Everything known about `post_id`.

    `seen` are all accounts' decisions about it (for a post of ours: about the messages it answers), `obligations`
    those that share its turn. `ours` is true for a post that we wrote. `turn` is None before one has begun.
    """

    post_id: str
    ours: bool
    seen: tuple[Seen, ...] = ()
    obligations: tuple[Obligation, ...] = ()
    turn: Turn | None = None
    outbox: tuple[OutboxRow, ...] = ()
    usage: tuple[Usage, ...] = ()


def _seen(tx: Tx, trigger: str) -> tuple[Seen, ...]:
    return tuple(seen_of(row) for row in tx.all(SEEN + " WHERE trigger = ? ORDER BY account", trigger))


def _turn_life(tx: Tx, post_id: str, turn_id: TurnId, ours: bool) -> PostLife:
    owed = obligations.of_turn(tx, turn_id)
    rows = tx.all(outbox.SELECT + " WHERE turn = ? ORDER BY seq, serial", turn_id)
    asked = [post_id] if not ours else [item.trigger for item in owed]
    return PostLife(
        post_id,
        ours,
        seen=tuple(item for trigger in asked for item in _seen(tx, trigger)),
        obligations=owed,
        turn=turns.get(tx, turn_id),
        outbox=tuple(outbox.outbox_of(row) for row in rows),
        usage=usage.of_turn(tx, turn_id),
    )


def _of_trigger(tx: Tx, trigger: str, account: AccountId | None) -> PostLife | None:
    rows = tx.all(obligations.SELECT + " WHERE o.trigger = ? ORDER BY o.serial", trigger)
    owed = [item for item in map(obligations.obligation_of, rows) if account in (None, item.account)]
    for item in owed:
        if item.turn is not None:
            return _turn_life(tx, trigger, item.turn, ours=False)
    seen = tuple(item for item in _seen(tx, trigger) if account in (None, item.account))
    if not seen and not owed:
        return None
    return PostLife(trigger, ours=False, seen=seen, obligations=tuple(owed), outbox=_beside(tx, trigger, owed))


def _beside(tx: Tx, trigger: str, owed: Sequence[Obligation]) -> tuple[OutboxRow, ...]:
    """Posts outside of turns that were written because of a message: they are named after it, or after its claim."""
    named = [PAIRING_STEM + trigger, DENIED_STEM + trigger, *(f"{item.id}." for item in owed)]
    stems = [*named, *(FALLBACK_PREFIX + name for name in named)]
    found = [tx.all(outbox.SELECT + " WHERE substr(id, 1, ?) = ? ORDER BY serial", len(stem), stem) for stem in stems]
    return tuple(outbox.outbox_of(row) for rows in found for row in rows)


def _occasion(tx: Tx, letter: str) -> str:
    """The message that such a post was written because of; empty for none, as with a cron job's."""
    letter = letter.removeprefix(FALLBACK_PREFIX)
    claim = tx.one(obligations.SELECT + " WHERE o.id = ?", letter.rpartition(".")[0])
    trigger = (
        obligations.obligation_of(claim).trigger
        if claim
        else letter.removeprefix(PAIRING_STEM).removeprefix(DENIED_STEM)
    )
    return trigger if trigger != letter else ""


def _of_ours(tx: Tx, post_id: str) -> PostLife | None:
    row = tx.one(outbox.SELECT + " WHERE post_id = ? OR id = ? OR pending_post_id = ?", post_id, post_id, post_id)
    sent = outbox.outbox_of(row) if row else None
    turn_id = sent.turn if sent else None
    if turn_id is None and post_id.isalnum():  # an id; anything else could hold wildcards
        # A draft, or a final that a draft became, has no outbox row that knows its post.
        turn_id = tx.value(
            "SELECT id FROM turns WHERE ' ' || drafts || ' ' || outcome_posts || ' ' LIKE ? ORDER BY serial DESC",
            f"% {post_id} %",
        )
    if turn_id is not None:
        return _turn_life(tx, post_id, turn_id, ours=True)
    if sent is None:
        return None
    asked = _of_trigger(tx, _occasion(tx, sent.id), sent.account)
    return evolve(asked, post_id=post_id, ours=True) if asked else PostLife(post_id, ours=True, outbox=(sent,))


def explain(tx: Tx, post_id: str, account: AccountId | None = None) -> PostLife | None:
    """None when the post never reached us or is beyond retention. `account` chooses where several saw it."""
    return _of_trigger(tx, post_id, account) or _of_ours(tx, post_id) or _of_turn_id(tx, post_id)


def _of_turn_id(tx: Tx, text: str) -> PostLife | None:
    turn = turns.get(tx, TurnId(text))
    return _turn_life(tx, text, turn.id, ours=True) if turn else None
