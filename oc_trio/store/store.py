"""Opens the journal database and gives access to its tables: `Store` has one attribute per kind of row.

Opening means lock, connection and migration. What the rows mean is in the module of each kind.
"""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NoReturn

from attrs import field

from oc_trio.classes import frozen
from oc_trio.ids import AccountId
from oc_trio.lease import Fence
from oc_trio.store import retention
from oc_trio.store.admission import Admissions
from oc_trio.store.claims import Claims
from oc_trio.store.commands import Commands
from oc_trio.store.context import Context
from oc_trio.store.cron import Cron
from oc_trio.store.cron_jobs import CronJobs
from oc_trio.store.cron_runs import CronRuns
from oc_trio.store.damage import damaged_rows
from oc_trio.store.engine import Engine
from oc_trio.store.explain import PostLife, explain
from oc_trio.store.fences import FencedEngine
from oc_trio.store.inline_engine import InlineEngine
from oc_trio.store.installation import Installations
from oc_trio.store.leases import Leases
from oc_trio.store.location import Purpose, driver_of, is_postgres
from oc_trio.store.lock import file_lock
from oc_trio.store.migrations import migrate, require_current
from oc_trio.store.obligations import Obligations
from oc_trio.store.outbox import Outbox
from oc_trio.store.pairing import Pairing
from oc_trio.store.participation import Participation
from oc_trio.store.pending_edits import PendingEdits
from oc_trio.store.recent import Recent
from oc_trio.store.relayed import Relayed
from oc_trio.store.restored import Restored
from oc_trio.store.resume import Resume
from oc_trio.store.sessions import Sessions
from oc_trio.store.transcripts import Transcripts
from oc_trio.store.turns import Turns
from oc_trio.store.usage import UsageRows
from oc_trio.store.watermarks import Watermarks
from oc_trio.store.writer import open_writer


@frozen
class Store:
    """Every method is one durable transaction and raises StoreError when the journal fails.

    Cancelling a call cancels the wait, never the write. Times are integer milliseconds, given by the caller.
    """

    admission: Admissions
    obligations: Obligations
    turns: Turns
    outbox: Outbox
    watermarks: Watermarks
    resume: Resume
    sessions: Sessions
    transcripts: Transcripts
    context: Context
    pairing: Pairing
    participation: Participation
    commands: Commands
    claims: Claims
    pending_edits: PendingEdits
    cron: Cron
    cron_jobs: CronJobs
    cron_runs: CronRuns
    usage: UsageRows
    installation: Installations
    restored: Restored
    recent: Recent
    relayed: Relayed
    leases: Leases
    schema: int
    _engine: Engine = field(alias="engine")

    def fenced(self, fence: Fence) -> "Store":
        """The same journal for the holder of a lease: each write raises FenceRefused once another process has it."""
        return _store(FencedEngine(self._engine, fence), self.schema, self.leases)

    async def explain(self, post_id: str, account: AccountId | None = None) -> PostLife | None:
        """All about a message or a post of ours; also takes an outbox id, a pending_post_id or a turn id."""
        return await self._engine.run(lambda tx: explain(tx, post_id, account))

    async def wait_unusable(self) -> NoReturn:
        """Raises StoreUnusable once any transaction has failed permanently, for instance on a damaged page."""
        await self._engine.permanent_failure.wait()

    async def prune(self, now: int, keep: retention.Retention | None = None) -> int:
        """Deletes what is beyond retention, in short transactions; returns the number of rows."""
        return await retention.prune(self._engine, now, keep or retention.Retention())

    async def stats(self) -> retention.Stats:
        return await retention.stats(self._engine, self.schema)

    async def backup(self, path: str | Path) -> None:
        """Copies the journal to a new file while it is in use. StoreError for PostgreSQL, which has pg_dump."""
        await self._engine.run_unlocked(lambda: self._engine.driver.backup(str(path)))

    async def integrity_check(self) -> tuple[str, ...]:
        """Damage that SQLite finds (PostgreSQL checks itself) and rows that can't be decoded; empty if none."""
        # In this order: rows of a damaged file could not be read at all.
        return await self._engine.run_unlocked(self._engine.driver.check) or await self._engine.run(damaged_rows)


def _store(engine: Engine, schema: int, leases: Leases | None = None) -> Store:
    return Store(
        admission=Admissions(engine),
        obligations=Obligations(engine),
        turns=Turns(engine),
        outbox=Outbox(engine),
        watermarks=Watermarks(engine),
        resume=Resume(engine),
        sessions=Sessions(engine),
        transcripts=Transcripts(engine),
        context=Context(engine),
        pairing=Pairing(engine),
        participation=Participation(engine),
        commands=Commands(engine),
        claims=Claims(engine),
        pending_edits=PendingEdits(engine),
        cron=Cron(engine),
        cron_jobs=CronJobs(engine),
        cron_runs=CronRuns(engine),
        usage=UsageRows(engine),
        installation=Installations(engine),
        restored=Restored(engine),
        recent=Recent(engine),
        relayed=Relayed(engine),
        leases=leases or Leases(engine),
        schema=schema,
        engine=engine,
    )


@asynccontextmanager
async def open_store(location: str | Path | sqlite3.Connection, *, exclusive: bool = True) -> AsyncIterator[Store]:
    """Opens the journal: a file's path, a `postgresql://` URL, or an sqlite3 connection to use in the event loop.

    `exclusive` takes the lock of an SQLite file, and migrates. Without it (a command beside a running gateway) the
    schema must be current already, and nothing is created. Raises StoreError if in use, unreachable, too new or
    damaged.
    """
    async with AsyncExitStack() as stack:
        if isinstance(location, sqlite3.Connection):
            inline = InlineEngine(location)
            yield _store(inline, await migrate(inline, copy_to=None))
            return
        is_file = not is_postgres(location)
        # Before the connection: opening the file could already change it.
        if exclusive and is_file:
            stack.enter_context(file_lock(Path(f"{location}.lock")))
        elif exclusive:
            async with open_writer(driver_of(location, Purpose.MIGRATIONS)) as patient:
                await migrate(patient, copy_to=None)
        engine = await stack.enter_async_context(open_writer(driver_of(location, create=exclusive)))
        if exclusive and is_file:
            version = await migrate(engine, copy_to=str(location))
        else:
            version = await require_current(engine)
        yield _store(engine, version)
