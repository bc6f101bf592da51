"""When each scheduled job was last run, which is where its next time is counted from."""

from oc_trio.classes import frozen
from oc_trio.store.engine import Engine, Tx


@frozen
class CronRun:
    """`at` is the scheduled time (not when it really ran), `result` one line for people."""

    job: str
    at: int
    result: str = ""


def record_last(tx: Tx, job: str, at: int, result: str) -> None:
    tx.run(
        "INSERT INTO cron (job, at, result) VALUES (?, ?, ?)"
        " ON CONFLICT (job) DO UPDATE SET at = excluded.at, result = excluded.result",
        *(job, at, result),
    )


@frozen
class Cron:
    """Remembers the last run of each job, so that a restart neither repeats nor forgets one."""

    _engine: Engine

    async def last_run(self, job: str) -> CronRun | None:
        row = await self._engine.run(lambda tx: tx.one("SELECT job, at, result FROM cron WHERE job = ?", job))
        return CronRun(*row) if row else None

    async def record_run(self, job: str, at: int, result: str = "") -> None:
        await self._engine.run(lambda tx: record_last(tx, job, at, result))

    async def all(self) -> tuple[CronRun, ...]:
        rows = await self._engine.run(lambda tx: tx.all("SELECT job, at, result FROM cron ORDER BY job"))
        return tuple(CronRun(*row) for row in rows)
