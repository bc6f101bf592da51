"""Leases: which process serves which account, and until when; and the processes that share the journal.

A lease ends at its deadline unless it is renewed, by the clock of the database. Its epoch grows with each holder, and
every write of a holder carries it (`fences`). SQLite has one process, which needs no lease.
"""

import json
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from oc_trio.classes import frozen
from oc_trio.core.membership import LeaseRow, Membership, ProcessInfo, ProcessRow
from oc_trio.errors import RowLocked
from oc_trio.ids import AccountId
from oc_trio.lease import LEASE_SECONDS
from oc_trio.store.damage import WRONG_SHAPE, reading
from oc_trio.store.engine import Driver, Engine, Row, Tx
from oc_trio.store.inline_engine import InlineEngine
from oc_trio.store.location import Purpose, driver_of
from oc_trio.store.migrations import MIGRATIONS, refuse_outdated
from oc_trio.store.notify import LEASES, notify
from oc_trio.store.writer import open_writer

LEASE_MS = int(LEASE_SECONDS * 1000)
# A dead process is still shown for a while, so that an operator sees which one it was.
FORGET_MS = 3_600_000

_PROCESSES = (
    "SELECT id, host, pid, version, started_at, url, draining, accounts, deadline, schema FROM processes"
    " ORDER BY started_at, id"
)
_RELEASE = "UPDATE leases SET holder = '', deadline = 0, since = 0 WHERE holder = ?"
_LEASES = "SELECT account, holder, epoch, deadline, since FROM leases ORDER BY account"


def _process_of(row: Row, now: int) -> ProcessRow:
    id_, host, pid, version, started_at, url, draining, accounts, deadline, schema = row
    with reading("processes", f"id {id_}", WRONG_SHAPE):
        names = tuple(AccountId(str(name)) for name in json.loads(accounts))
    return ProcessRow(id_, host, pid, version, started_at, url, bool(draining), names, deadline - now, schema)


def _now(tx: Tx, driver: Driver) -> int:
    return int(tx.value(f"SELECT {driver.now_sql}"))


def _read(tx: Tx, driver: Driver) -> Membership:
    now = _now(tx, driver)
    return Membership(
        tuple(_process_of(row, now) for row in tx.all(_PROCESSES)),
        tuple(
            LeaseRow(account, holder, epoch, deadline - now, since)
            for account, holder, epoch, deadline, since in tx.all(_LEASES)
        ),
        now,
    )


def _put_process(tx: Tx, driver: Driver, me: ProcessInfo) -> None:
    tx.run(
        "INSERT INTO processes (id, host, pid, version, started_at, url, draining, accounts, schema, deadline)"  # noqa: S608
        f" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, {driver.now_sql} + ?) ON CONFLICT (id) DO UPDATE SET"
        " host = excluded.host, pid = excluded.pid, version = excluded.version, started_at = excluded.started_at,"
        " url = excluded.url, draining = excluded.draining, accounts = excluded.accounts, schema = excluded.schema,"
        " deadline = excluded.deadline",
        *(me.id, me.host, me.pid, me.version, me.started_at, me.url, int(me.draining), json.dumps(me.accounts)),
        *(len(MIGRATIONS), LEASE_MS),
    )


def _renew(tx: Tx, driver: Driver, me: str, held: Mapping[AccountId, int]) -> None:
    if not held:
        return
    # One statement for all, however many: a round trip for each would take seconds of a distant database.
    pairs = ", ".join("(?, ?)" for _ in held)
    tx.run(
        f"UPDATE leases SET deadline = {driver.now_sql} + ? WHERE holder = ?"  # noqa: S608 - ours
        f" AND (account, epoch) IN (VALUES {pairs})",
        *(LEASE_MS, me),
        *(value for account, epoch in sorted(held.items()) for value in (account, epoch)),
    )


def _acquire(tx: Tx, driver: Driver, account: AccountId, me: str, expected_epoch: int) -> int | None:
    # Nobody has ever had this account: the row to compete for is made by whoever comes first.
    if expected_epoch == 0:
        tx.run(
            "INSERT INTO leases (account, holder, epoch, deadline, since) VALUES (?, '', 0, 0, 0)"
            " ON CONFLICT (account) DO NOTHING",
            account,
        )
    # The epoch is the one that the caller has seen free: somebody who was quicker has raised it.
    is_free = tx.one(
        # The row's lock waits for transactions of the last holder that have been let through already: what they write
        # is there before the next one reads.
        f"SELECT epoch FROM leases WHERE account = ? AND epoch = ? AND (holder = '' OR deadline <= {driver.now_sql})"  # noqa: S608
        f"{driver.for_update}",
        *(account, expected_epoch),
    )
    if is_free is None:
        return None
    tx.run(
        f"UPDATE leases SET holder = ?, epoch = epoch + 1, since = {driver.now_sql},"  # noqa: S608 - ours
        f" deadline = {driver.now_sql} + ? WHERE account = ?",
        *(me, LEASE_MS, account),
    )
    return expected_epoch + 1


@frozen
class Leases:
    """Renews, acquires and releases leases. Each call is one transaction; all raise StoreError."""

    _engine: Engine

    async def beat(self, me: ProcessInfo, held: Mapping[AccountId, int]) -> Membership:
        """Says that this process lives, renews the leases of `held` (their epochs), and reads what there is then.

        What was not renewed shows in the rows: it has another holder or another epoch. Raises StoreUnusable once a
        newer release has changed the journal so that this one can't go on beside it.
        """

        def work(tx: Tx) -> Membership:
            refuse_outdated(tx)
            _put_process(tx, self._engine.driver, me)
            _renew(tx, self._engine.driver, me.id, held)
            # By whoever beats: the process whose row it is can't do it any more.
            tx.run(f"DELETE FROM processes WHERE deadline < {self._engine.driver.now_sql} - ?", FORGET_MS)  # noqa: S608
            return _read(tx, self._engine.driver)

        return await self._engine.run(work)

    async def read(self) -> Membership:
        """What there is, for commands and the status: changes nothing."""
        return await self._engine.run(lambda tx: _read(tx, self._engine.driver))

    async def acquire(self, account: AccountId, me: str, expected_epoch: int) -> int | None:
        """The new epoch of a lease that was free or expired, and whose last epoch was `expected_epoch`; else None.

        None also where transactions of the last holder hold it up: try again.
        """
        try:
            return await self._engine.run(lambda tx: _acquire(tx, self._engine.driver, account, me, expected_epoch))
        except RowLocked:
            return None

    async def release(self, account: AccountId, me: str, epoch: int) -> None:
        """Gives a lease back, so that another process can have it at once; does nothing where it is another's."""

        def work(tx: Tx) -> None:
            sql = (
                "UPDATE leases SET holder = '', deadline = 0, since = 0 WHERE account = ? AND holder = ? AND epoch = ?"
            )
            if tx.run(sql, account, me, epoch):
                notify(tx, LEASES)

        await self._engine.run(work)

    async def leave(self, me: str) -> None:
        """Gives all leases back, and takes this process off the list."""

        def work(tx: Tx) -> None:
            tx.run("DELETE FROM processes WHERE id = ?", me)
            tx.run(_RELEASE, me)
            notify(tx, LEASES)

        await self._engine.run(work)


@asynccontextmanager
async def open_leases(location: str | Path | sqlite3.Connection) -> AsyncIterator[Leases]:
    """The leases of an open journal on a connection and in a thread of their own, with waits that are much shorter than
    a lease: a renewal never queues behind the journal's writes.
    """
    if isinstance(location, sqlite3.Connection):
        yield Leases(InlineEngine(location))
        return
    async with open_writer(driver_of(location, Purpose.LEASES)) as engine:
        yield Leases(engine)
