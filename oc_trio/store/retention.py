"""Deletes old rows, and counts rows for `status`. Open obligations and what belongs to them are never deleted."""

from oc_trio.classes import frozen
from oc_trio.store.engine import Engine, Tx

DAY_MS, HOUR_MS = 86_400_000, 3_600_000
CHUNK = 2000  # rows deleted in one transaction: the writer is not held up for longer than a few milliseconds


@frozen
class Retention:
    """Ages in milliseconds. `seen_ms` must exceed catch-up's `max_age_ms`, or catch-up would answer old posts again."""

    seen_ms: int = 30 * DAY_MS
    ended_ms: int = 30 * DAY_MS
    transcript_ms: int = 90 * DAY_MS
    context_ms: int = 7 * DAY_MS
    session_ms: int = 180 * DAY_MS
    participation_ms: int = 30 * DAY_MS
    # More than a year: a month can be compared with the same one of the year before.
    usage_ms: int = 400 * DAY_MS
    seen_rows: int = 500_000
    transcript_rows: int = 500_000
    cron_rows: int = 100_000


@frozen
class Stats:
    """Row counts for `status`; `size` is in bytes, 0 if unknown."""

    database: str
    schema: int
    size: int
    seen: int
    open_obligations: int
    unfinished_turns: int
    outbox_queued: int
    outbox_sending: int
    outbox_dead: int
    sessions: int
    transcript_entries: int
    pairing_pending: int


# Each deletes at most `LIMIT ?` rows whose own time is before `?`, which is asked twice: another process may have given
# a row another time after it was chosen. The + has the rows looked up by the list, not by their time. Obligations are
# deleted before their `seen` rows: without the `seen` row their message could be admitted again.
OBLIGATIONS = (
    "DELETE FROM obligations WHERE +ended_at < ? AND serial IN"
    " (SELECT serial FROM obligations WHERE state <> 'open' AND ended_at < ? LIMIT ?)"
)
SEEN = (
    "DELETE FROM seen WHERE +at < ? AND (account, trigger) IN (SELECT s.account, s.trigger FROM seen s"
    " LEFT JOIN obligations o ON o.account = s.account AND o.trigger = s.trigger"
    " WHERE s.at < ? AND o.id IS NULL LIMIT ?)"
)
TURNS = (
    "DELETE FROM turns WHERE +ended_at < ? AND serial IN"
    " (SELECT t.serial FROM turns t LEFT JOIN obligations o ON o.turn = t.id"
    # An obligation points to its turn: the turn goes only after it.
    " WHERE t.ended_at > 0 AND t.ended_at < ? AND o.id IS NULL LIMIT ?)"
)
OUTBOX = (
    "DELETE FROM outbox WHERE +ended_at < ? AND serial IN"
    " (SELECT serial FROM outbox WHERE state IN ('confirmed', 'dead') AND ended_at < ? LIMIT ?)"
)
TRANSCRIPTS = (
    "DELETE FROM transcripts WHERE +at < ? AND serial IN (SELECT x.serial FROM transcripts x"
    " LEFT JOIN turns t ON t.id = x.turn AND t.ended_at = 0 WHERE x.at < ? AND t.id IS NULL LIMIT ?)"
)
CONTEXT = "DELETE FROM context WHERE +at < ? AND serial IN (SELECT serial FROM context WHERE at < ? LIMIT ?)"
SESSIONS = (
    "DELETE FROM sessions WHERE +last_at < ? AND key IN (SELECT s.key FROM sessions s WHERE s.last_at < ?"
    " AND NOT EXISTS (SELECT 1 FROM transcripts x WHERE x.session = s.key) LIMIT ?)"
)
PARTICIPATION = (
    "DELETE FROM participation WHERE +at < ? AND (account, channel_id, root_id) IN"
    " (SELECT account, channel_id, root_id FROM participation WHERE at < ? LIMIT ?)"
)
USAGE = "DELETE FROM usage WHERE +at < ? AND (turn, model) IN (SELECT turn, model FROM usage WHERE at < ? LIMIT ?)"
CLAIMS = (
    "DELETE FROM claims WHERE +expires_at < ? AND (scope, key) IN"
    " (SELECT scope, key FROM claims WHERE expires_at < ? LIMIT ?)"
)
DOUBTS = (
    "DELETE FROM doubts WHERE +until < ? AND (account, post_id) IN"
    " (SELECT account, post_id FROM doubts WHERE until < ? LIMIT ?)"
)
# Its posts and its turn end later than it begins, so that what they say of it is there for as long.
CRON_RUNS = (
    "DELETE FROM cron_runs WHERE +ran_at < ? AND serial IN"
    " (SELECT serial FROM cron_runs WHERE ran_at < ? AND state <> 'wanted' LIMIT ?)"
)
RELAYED = (
    "DELETE FROM relayed WHERE +ended_at < ? AND serial IN"
    " (SELECT serial FROM relayed WHERE ended_at > 0 AND ended_at < ? LIMIT ?)"
)
# Of accounts that no process serves any more: one that does ends its own rows long before.
RELAYED_OPEN = (
    "DELETE FROM relayed WHERE ended_at = 0 AND +created_at < ? AND serial IN"
    " (SELECT serial FROM relayed WHERE ended_at = 0 AND created_at < ? LIMIT ?)"
)
PAIRING = (
    "DELETE FROM pairing WHERE approved_at = 0 AND +expires_at < ? AND (account, user_id) IN"
    " (SELECT account, user_id FROM pairing WHERE approved_at = 0 AND expires_at < ? LIMIT ?)"
)

COUNTS = (
    "SELECT COUNT(*) FROM seen",
    "SELECT COUNT(*) FROM obligations WHERE state = 'open'",
    "SELECT COUNT(*) FROM turns WHERE ended_at = 0",
    "SELECT COUNT(*) FROM outbox WHERE state = 'queued'",
    "SELECT COUNT(*) FROM outbox WHERE state = 'sending'",
    "SELECT COUNT(*) FROM outbox WHERE state = 'dead'",
    "SELECT COUNT(*) FROM sessions",
    "SELECT COUNT(*) FROM transcripts",
    "SELECT COUNT(*) FROM pairing WHERE approved_at = 0",
)


def _aged(keep: Retention) -> tuple[tuple[str, int], ...]:
    return (
        (OBLIGATIONS, keep.ended_ms),
        (SEEN, keep.seen_ms),
        (TURNS, keep.ended_ms),
        (OUTBOX, keep.ended_ms),
        (TRANSCRIPTS, keep.transcript_ms),
        (CONTEXT, keep.context_ms),
        (SESSIONS, keep.session_ms),
        (PARTICIPATION, keep.participation_ms),
        (USAGE, keep.usage_ms),
        (CLAIMS, 0),
        (DOUBTS, DAY_MS),  # a day longer: the next start still reads those that were not watched to the end
        (PAIRING, 0),
        (CRON_RUNS, keep.ended_ms),
        # An answer is fetched within seconds or not at all; what is left of a row is of use to nobody.
        (RELAYED, HOUR_MS),
        (RELAYED_OPEN, 7 * DAY_MS),
    )


async def _delete_chunks(engine: Engine, sql: str, before: int) -> int:
    total = 0
    while True:
        deleted = await engine.run(lambda tx: tx.run(sql, before, before, CHUNK))
        total += deleted
        if deleted < CHUNK:
            return total


async def _delete_surplus(engine: Engine, rows: int, count_sql: str, time_sql: str, delete_sql: str) -> int:
    """Deletes the oldest rows so that about `rows` stay, by the time of the newest one that has to go."""

    # By time, with the statements that delete by age: so the same rows are spared, such as those of unfinished turns.
    def cut(tx: Tx) -> int | None:
        surplus = int(tx.value(count_sql)) - rows
        return int(tx.value(time_sql, surplus - 1)) + 1 if surplus > 0 else None

    before = await engine.run(cut)
    return 0 if before is None else await _delete_chunks(engine, delete_sql, before)


async def prune(engine: Engine, now: int, keep: Retention) -> int:
    """Deletes what is too old or beyond the row limits; returns the number of rows."""
    total = 0
    for sql, age in _aged(keep):
        total += await _delete_chunks(engine, sql, now - age)
    for rows, count_sql, time_sql, delete_sql in (
        (keep.seen_rows, "SELECT COUNT(*) FROM seen", "SELECT at FROM seen ORDER BY at LIMIT 1 OFFSET ?", SEEN),
        (
            keep.transcript_rows,
            "SELECT COUNT(*) FROM transcripts",
            "SELECT at FROM transcripts ORDER BY at LIMIT 1 OFFSET ?",
            TRANSCRIPTS,
        ),
        (
            keep.cron_rows,
            "SELECT COUNT(*) FROM cron_runs WHERE state <> 'wanted'",
            "SELECT ran_at FROM cron_runs WHERE state <> 'wanted' ORDER BY ran_at LIMIT 1 OFFSET ?",
            CRON_RUNS,
        ),
    ):
        total += await _delete_surplus(engine, rows, count_sql, time_sql, delete_sql)
    return total


async def stats(engine: Engine, schema: int) -> Stats:
    counts = await engine.run(lambda tx: [int(tx.value(sql)) for sql in COUNTS])
    return Stats(engine.driver.name, schema, engine.driver.size(), *counts)
