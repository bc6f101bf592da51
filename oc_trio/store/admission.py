"""Admits inbound messages: seen id, obligation and watermark in one transaction, before any work is done for them.

Owns the table `seen`, which deduplicates messages across restarts. Only `admit` creates obligations.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from oc_trio.classes import frozen
from oc_trio.core.ledger import Obligation, OutboxRow, Source
from oc_trio.ids import AccountId, ChannelId, ObligationId, PostId, SessionKey, UserId
from oc_trio.store.context import ContextPost
from oc_trio.store.context import add as add_context
from oc_trio.store.engine import Engine, Row, Tx, in_parts, rows_of
from oc_trio.store.obligations import insert_obligation
from oc_trio.store.outbox import put
from oc_trio.store.watermarks import advance, advance_all

ADMIT = "admit"
CONTEXT = "context"
IGNORE = "ignore"
DENY = "deny"
DECISIONS = frozenset({ADMIT, CONTEXT, IGNORE, DENY})

# Why posts are ignored for good: an edit of one that is older than the bot, or that the program failed at, doesn't
# wake it.
BEFORE_FIRST_START = "before_first_start"
NOT_HANDLED = "could_not_be_handled"


@frozen
class Admission:
    """The decision about one inbound message. `trigger` is its post id, or an id made for a click or command.

    `session` is required if `decision` is "admit". `watermark` false leaves the channel's watermark unchanged, as for
    clicks and edits of old posts. `create_at` is the server's time of the post, `at` our time of the decision.
    """

    account: AccountId
    trigger: str
    channel_id: ChannelId
    user_id: UserId
    root_id: str
    create_at: int
    source: Source
    decision: str
    reason: str
    session: SessionKey | None
    payload: str
    at: int
    watermark: bool = True
    # A reply to the sender (a denial, a pairing code), queued in the same transaction if the message is new.
    notice: OutboxRow | None = None


@frozen
class AdmissionResult:
    """`fresh` is false for a trigger seen before; `obligation` is set if and only if this call created one."""

    fresh: bool
    obligation: Obligation | None = None


@frozen
class Seen:
    """The row kept for every inbound message, whatever the decision."""

    account: AccountId
    trigger: str
    channel_id: ChannelId
    user_id: UserId
    root_id: str
    create_at: int
    source: Source
    decision: str
    reason: str
    session: SessionKey | None
    at: int


SEEN = (
    "SELECT account, trigger, channel_id, user_id, root_id, create_at, source, decision, reason, session, at FROM seen"
)


def seen_of(row: Row) -> Seen:
    account, trigger, channel, user, root, create_at, source, decision, reason, session, at = row
    return Seen(account, trigger, channel, user, root, create_at, Source(source), decision, reason, session, at)


def obligation_id(account: AccountId, trigger: str) -> ObligationId:
    """Derived from account and trigger, so that a replayed simulation run has the same ids as the first."""
    # The zero byte separates them: without it, other pairs of names could give the same text.
    # 96 bits: no two messages that a journal ever holds come out alike.
    return ObligationId("ob" + hashlib.sha256(f"{account}\0{trigger}".encode()).hexdigest()[:24])


_COLUMNS = "account, trigger, channel_id, user_id, root_id, create_at, source, decision, reason, session, at"


def _insert(tx: Tx, items: Sequence[Admission]) -> int:
    """How many of `items` were not there before."""
    rows = rows_of(len(items), 11)
    sql = f"INSERT INTO seen ({_COLUMNS}) VALUES {rows} ON CONFLICT DO NOTHING"  # noqa: S608 - placeholders only
    return tx.run(sql, *(value for item in items for value in _values(item)))


def _values(item: Admission) -> tuple[object, ...]:
    return (
        *(item.account, item.trigger, item.channel_id, item.user_id, item.root_id, item.create_at),
        *(item.source.value, item.decision, item.reason, item.session, item.at),
    )


def _insert_seen(tx: Tx, item: Admission) -> bool:
    return bool(_insert(tx, (item,)))


def _insert_all_seen(tx: Tx, items: Sequence[Admission]) -> tuple[bool, ...]:
    """Whether each was new."""
    fresh: list[bool] = []
    for part in in_parts(items):
        triggers = tuple(item.trigger for item in part)
        # `ON CONFLICT DO NOTHING` says how many rows were new and not which. No other process adds any in between: each
        # write for an account carries the fence of its lease.
        rows = tx.all(
            "SELECT account, trigger FROM seen WHERE account IN (??) AND trigger IN (??)",
            tuple({item.account for item in part}),
            triggers,
        )
        known = {(account, trigger) for account, trigger in rows}
        news: dict[tuple[str, str], Admission] = {}
        for item in part:
            key = (item.account, item.trigger)
            fresh.append(key not in known and key not in news)
            if fresh[-1]:
                news[key] = item
        if news:
            _insert(tx, tuple(news.values()))
    return tuple(fresh)


def _upgrade(tx: Tx, item: Admission) -> bool:
    """An edit that mentions the bot admits a message that was context or ignored; a denied one stays denied."""
    return bool(
        tx.run(
            "UPDATE seen SET source = ?, decision = ?, reason = ?, session = ?, at = ?"
            " WHERE account = ? AND trigger = ? AND decision IN (??) AND reason NOT IN (??)",
            *(item.source.value, item.decision, item.reason, item.session, item.at),
            *(item.account, item.trigger, (CONTEXT, IGNORE), (BEFORE_FIRST_START, NOT_HANDLED)),
        )
    )


def _new_obligation(item: Admission) -> Obligation:
    if item.session is None:
        raise ValueError("an admitted message needs a session")
    return Obligation(
        id=obligation_id(item.account, item.trigger),
        account=item.account,
        trigger=item.trigger,
        channel_id=item.channel_id,
        user_id=item.user_id,
        root_id=item.root_id,
        session=item.session,
        source=item.source,
        reason=item.reason,
        payload=item.payload,
        admitted_at=item.at,
    )


def admit(tx: Tx, item: Admission) -> AdmissionResult:
    if item.decision not in DECISIONS:
        raise ValueError(f"unknown decision {item.decision!r}")
    # Also for ignored posts: the catch-up must not read them again.
    if item.watermark:
        advance(tx, item.account, item.channel_id, PostId(item.trigger), item.create_at)
    # The unique key (account, trigger) makes admission idempotent: a repeated event inserts nothing.
    fresh = _insert_seen(tx, item)
    # Only with a new row: a repeated event must not send its notice a second time.
    if fresh and item.notice is not None:
        put(tx, item.notice)
    is_upgraded = not fresh and item.source is Source.EDIT and item.decision == ADMIT and _upgrade(tx, item)
    if item.decision != ADMIT or not (fresh or is_upgraded):
        return AdmissionResult(fresh)
    obligation = _new_obligation(item)
    insert_obligation(tx, obligation)
    return AdmissionResult(fresh, obligation)


def record_unaddressed(
    tx: Tx, items: Sequence[Admission], contexts: Mapping[str, ContextPost], limit: int
) -> tuple[bool, ...]:
    """See `Admissions.record_unaddressed`."""
    newest: dict[tuple[AccountId, ChannelId], Admission] = {}
    for item in items:
        key = (item.account, item.channel_id)
        best = newest.get(key)
        if best is None or (item.create_at, item.trigger) > (best.create_at, best.trigger):
            newest[key] = item
    # One row for each channel: posts below the newest would not move its watermark anyway.
    advance_all(tx, [(item.account, item.channel_id, PostId(item.trigger), item.create_at) for item in newest.values()])
    fresh = _insert_all_seen(tx, items)
    # A post that was seen before may be in a turn's prompt by now.
    kept = [contexts[item.trigger] for item, is_fresh in zip(items, fresh) if is_fresh and item.trigger in contexts]
    add_context(tx, kept, limit)
    return fresh


@frozen
class Admissions:
    """Writes and reads the decisions about inbound messages."""

    _engine: Engine

    async def admit(self, admission: Admission) -> AdmissionResult:
        return await self._engine.run(lambda tx: admit(tx, admission))

    async def admit_soon(self, admission: Admission, seconds: float) -> AdmissionResult:
        """As `admit`, for who answers a caller: raises StoreError where it has not begun after `seconds`, and then it
        never will. One that has begun is waited for.
        """
        return await self._engine.run_soon(lambda tx: admit(tx, admission), seconds)

    async def record_unaddressed(
        self, items: Sequence[Admission], contexts: Mapping[str, ContextPost], limit: int
    ) -> tuple[bool, ...]:
        """Records posts that don't address the bot, with their watermarks, in one transaction; whether each was new.

        `contexts`, by trigger, are those that are kept for the next turn of their session, which holds `limit`.
        """
        return await self._engine.run(lambda tx: record_unaddressed(tx, items, contexts, limit))

    async def seen(self, account: AccountId, triggers: Iterable[str]) -> frozenset[str]:
        """The `triggers` that are known already, whatever the decision was."""
        ids = tuple(triggers)
        rows = await self._engine.run(
            lambda tx: tx.all("SELECT trigger FROM seen WHERE account = ? AND trigger IN (??)", account, ids)
        )
        return frozenset(str(row[0]) for row in rows)

    async def decision(self, account: AccountId, trigger: str) -> Seen | None:
        row = await self._engine.run(lambda tx: tx.one(SEEN + " WHERE account = ? AND trigger = ?", account, trigger))
        return seen_of(row) if row else None
