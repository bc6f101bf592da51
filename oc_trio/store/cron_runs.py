"""The history of scheduled jobs: a row for each run, also of runs by hand.

A run that waits for its posts or its agent is told by the outbox and the obligations: `list` and `get` look there.
"""

from attrs import evolve

from oc_trio.classes import frozen
from oc_trio.core.cron_runs import JobRun, RunState
from oc_trio.core.ledger import ObligationState, OutboxState
from oc_trio.ids import ChannelId, OutboxId
from oc_trio.store import obligations
from oc_trio.store.columns import join_ids, split_posts
from oc_trio.store.engine import Engine, Row, Tx

_COLUMNS = "id, job, due_at, account, by_hand, state, ran_at, ended_at, channel_id, posts, reason"
_SELECT = f"SELECT {_COLUMNS} FROM cron_runs"  # noqa: S608 - ours
_NEWEST = f"{_SELECT} WHERE serial IN (SELECT MAX(serial) FROM cron_runs GROUP BY job)"  # noqa: S608 - ours
_OF_OBLIGATION = {
    ObligationState.DELIVERED: RunState.DELIVERED,
    ObligationState.SILENT: RunState.SILENT,
    ObligationState.FAILED: RunState.FAILED,
    ObligationState.CANCELLED: RunState.FAILED,
}


def _run_of(row: Row) -> JobRun:
    values = list(row)  # columns are selected in the order of the fields
    values[4] = bool(row[4])
    values[5] = RunState(row[5])
    values[9] = split_posts(row[9])
    return JobRun(*values)


def _record(tx: Tx, run: JobRun) -> None:
    tx.run(
        f"INSERT INTO cron_runs ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - ours
        " ON CONFLICT (id) DO UPDATE SET state = excluded.state, ran_at = excluded.ran_at,"
        " ended_at = excluded.ended_at, channel_id = excluded.channel_id, posts = excluded.posts,"
        " reason = excluded.reason",
        *(run.id, run.job, run.due_at, run.account, int(run.by_hand), run.state.value, run.ran_at, run.ended_at),
        *(run.channel_id, join_ids(run.posts), run.reason),
    )
    if not run.by_hand:
        # No row: the job was removed meanwhile. A later time: it has got new ones, which count from then on.
        tx.run(
            "UPDATE cron SET at = CASE WHEN at > ? THEN at ELSE ? END, result = ? WHERE job = ?",
            *(run.due_at, run.due_at, run.result, run.job),
        )


def _now(tx: Tx, run: JobRun) -> JobRun:
    """The run as it stands, with what outbox and obligations know of it by now."""
    if run.state is RunState.QUEUED:
        return _of_outbox(tx, run)
    if run.state is RunState.ASKED:
        row = tx.one(obligations.SELECT + " WHERE o.account = ? AND o.trigger = ?", run.account, run.trigger)
        item = obligations.obligation_of(row) if row else None
        if item is not None and item.state in _OF_OBLIGATION:
            state = _OF_OBLIGATION[item.state]
            reason = item.outcome_reason or ("cancelled" if item.state is ObligationState.CANCELLED else "")
            return evolve(run, state=state, posts=item.outcome_posts, reason=reason, ended_at=item.ended_at)
    return run


def _of_outbox(tx: Tx, run: JobRun) -> JobRun:
    prefix = f"{run.id}."
    # substr, not LIKE, as in `explain`: the name of a job may hold `_`.
    rows = tx.all(
        "SELECT state, post_id, error, channel_id, ended_at FROM outbox WHERE substr(id, 1, ?) = ? ORDER BY seq",
        *(len(prefix), prefix),
    )
    ended = [row for row in rows if OutboxState(row[0]) in (OutboxState.CONFIRMED, OutboxState.DEAD)]
    if not rows or len(ended) < len(rows):
        return run
    posts = split_posts(" ".join(row[1] for row in ended if row[1]))
    problems = "; ".join(row[2] for row in ended if row[0] == OutboxState.DEAD.value)
    state = RunState.DELIVERED if posts and not problems else RunState.FAILED
    return evolve(
        run,
        state=state,
        posts=posts,
        reason=problems,
        channel_id=ChannelId(ended[-1][3]) or run.channel_id,
        ended_at=max(row[4] for row in ended),
    )


@frozen
class CronRuns:
    """Records runs and lists them."""

    _engine: Engine

    async def record(self, run: JobRun) -> None:
        """Writes how far a run is, over what was known of it. The last run of its job is this one, unless by hand."""
        await self._engine.run(lambda tx: _record(tx, run))

    async def get(self, run: OutboxId) -> JobRun | None:
        def read(tx: Tx) -> JobRun | None:
            row = tx.one(_SELECT + " WHERE id = ?", run)
            return _now(tx, _run_of(row)) if row else None

        return await self._engine.run(read)

    async def list(self, limit: int, job: str = "") -> tuple[JobRun, ...]:
        """The newest runs first, of one job or of all."""

        def read(tx: Tx) -> tuple[JobRun, ...]:
            where, values = (" WHERE job = ?", (job,)) if job else ("", ())
            rows = tx.all(_SELECT + where + " ORDER BY serial DESC LIMIT ?", *values, limit)
            return tuple(_now(tx, _run_of(row)) for row in rows)

        return await self._engine.run(read)

    async def latest(self) -> dict[str, JobRun]:
        """The newest run of each job that is still in the history."""

        def read(tx: Tx) -> dict[str, JobRun]:
            rows = tx.all(_NEWEST)
            return {run.job: _now(tx, run) for run in map(_run_of, rows)}

        return await self._engine.run(read)

    async def wanted(self) -> tuple[JobRun, ...]:
        """Runs by hand that nobody has begun, oldest first."""
        rows = await self._engine.run(lambda tx: tx.all(_SELECT + " WHERE state = 'wanted' ORDER BY serial"))
        return tuple(map(_run_of, rows))
