"""When each scheduled job was last run."""

from attrs import frozen

from oc_trio.store.engine import Engine


@frozen
class CronRun:
    """`at` is the scheduled time that was run, `result` one line for people."""

    job: str
    at: int
    result: str = ""


@frozen
class Cron:
    """The face of this family."""

    _engine: Engine

    async def last(self, job: str) -> CronRun | None:
        row = await self._engine.run(lambda tx: tx.one("SELECT job, at, result FROM cron WHERE job = ?", job))
        return CronRun(*row) if row else None

    async def ran(self, job: str, at: int, result: str = "") -> None:
        await self._engine.run(
            lambda tx: tx.run(
                "INSERT INTO cron (job, at, result) VALUES (?, ?, ?)"
                " ON CONFLICT (job) DO UPDATE SET at = excluded.at, result = excluded.result",
                *(job, at, result),
            )
        )

    async def all(self) -> tuple[CronRun, ...]:
        rows = await self._engine.run(lambda tx: tx.all("SELECT job, at, result FROM cron ORDER BY job"))
        return tuple(CronRun(*row) for row in rows)
