"""Collects all that is known about one post, for `oc-trio explain`: a message received or a post of ours."""

from collections.abc import Sequence

from attrs import evolve

from oc_trio.classes import frozen
from oc_trio.core.ledger import Obligation, OutboxRow
from oc_trio.core.turn_events import Usage
from oc_trio.ids import AccountId, TurnId
from oc_trio.store import obligations, outbox, turns, usage
from oc_trio.store.admission import SEEN, Seen, seen_of
from oc_trio.store.engine import Tx
from oc_trio.store.turns import Turn

# Outbox ids of replies to senders who were refused: prefix + post id (they have no obligation to name the reply after).
PAIRING_PREFIX, DENIED_PREFIX = "pair.", "denied."
# Outbox id of a fallback notice: prefix + id of the post it replaces. In front, for ids may end in a caller's own text.
FALLBACK_PREFIX = "instead."


@frozen
class PostLife:
    """Everything known about `post_id`.

    `seen`: the decisions of all accounts about it (for a post of ours: about the messages that it answers).
    `obligations`: all that share its turn. `ours`: we wrote the post. `turn` is None before one has begun.
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
    answered = obligations.of_turn(tx, turn_id)
    rows = tx.all(outbox.SELECT + " WHERE turn = ? ORDER BY seq, serial", turn_id)
    triggers = [post_id] if not ours else [item.trigger for item in answered]
    return PostLife(
        post_id,
        ours,
        seen=tuple(item for trigger in triggers for item in _seen(tx, trigger)),
        obligations=answered,
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
    """Posts outside of turns that a message caused: their outbox ids begin with its trigger or its obligation id."""
    own = [PAIRING_PREFIX + trigger, DENIED_PREFIX + trigger, *(f"{item.id}." for item in owed)]
    prefixes = [*own, *(FALLBACK_PREFIX + prefix for prefix in own)]
    # substr, not LIKE: ids may hold `_`, which LIKE takes for any character.
    sql = outbox.SELECT + " WHERE substr(id, 1, ?) = ? ORDER BY serial"
    return tuple(outbox.outbox_of(row) for prefix in prefixes for row in tx.all(sql, len(prefix), prefix))


def _cause(tx: Tx, outbox_id: str) -> str:
    """The trigger of the message that such a post was written for; empty if there is none, as for a cron job's."""
    outbox_id = outbox_id.removeprefix(FALLBACK_PREFIX)
    row = tx.one(obligations.SELECT + " WHERE o.id = ?", outbox_id.rpartition(".")[0])
    if row:
        return obligations.obligation_of(row).trigger
    trigger = outbox_id.removeprefix(PAIRING_PREFIX).removeprefix(DENIED_PREFIX)
    return trigger if trigger != outbox_id else ""


def _of_ours(tx: Tx, post_id: str) -> PostLife | None:
    row = tx.one(outbox.SELECT + " WHERE post_id = ? OR id = ? OR pending_post_id = ?", post_id, post_id, post_id)
    sent = outbox.outbox_of(row) if row else None
    turn_id = sent.turn if sent else None
    if turn_id is None and post_id.isalnum():  # an id; anything else could hold wildcards
        # A draft post, also one that became the final answer, has no outbox row with its post id.
        turn_id = tx.value(
            "SELECT id FROM turns WHERE ' ' || drafts || ' ' || outcome_posts || ' ' LIKE ? ORDER BY serial DESC",
            f"% {post_id} %",
        )
    if turn_id is not None:
        return _turn_life(tx, post_id, turn_id, ours=True)
    if sent is None:
        return None
    life = _of_trigger(tx, _cause(tx, sent.id), sent.account)
    return evolve(life, post_id=post_id, ours=True) if life else PostLife(post_id, ours=True, outbox=(sent,))


def explain(tx: Tx, post_id: str, account: AccountId | None = None) -> PostLife | None:
    """None if we never saw the post or it is beyond retention. `account` chooses one where several saw the post."""
    return _of_trigger(tx, post_id, account) or _of_ours(tx, post_id) or _of_turn_id(tx, post_id)


def _of_turn_id(tx: Tx, text: str) -> PostLife | None:
    turn = turns.get(tx, TurnId(text))
    return _turn_life(tx, text, turn.id, ours=True) if turn else None
