"""Schema migrations, forward only: the SQLite file is copied before each, and that copy is the only way back.

A released entry of `MIGRATIONS` is never edited, because databases exist that it has already changed.
"""

from collections.abc import Sequence
from functools import partial

from oc_trio.errors import StoreError, StoreUnusable
from oc_trio.store.engine import Engine, Tx
from oc_trio.store.schema import ACCESS, CONVERSATIONS, CRON, DOUBTS, LEASES, LEDGER, RELAYED

MIGRATIONS: tuple[tuple[str, ...], ...] = ((*LEDGER, *CONVERSATIONS, *ACCESS), DOUBTS, CRON, RELAYED, LEASES)


def _version(tx: Tx) -> int:
    tx.run("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL PRIMARY KEY)")
    return int(tx.value("SELECT COALESCE(MAX(version), 0) FROM schema_version"))


async def schema_version(engine: Engine) -> int:
    """The number of migrations applied to the database; creates the table that counts them."""
    return await engine.run(_version)


async def migrate(engine: Engine, *, copy_to: str | None, migrations: Sequence[tuple[str, ...]] = MIGRATIONS) -> int:
    """Brings the schema up to date, one transaction per migration; returns its version.

    Copies are named `<copy_to>.before-v2`; None makes no copies. Raises StoreUnusable if a newer oc_trio has written
    the database.
    """
    version = await schema_version(engine)
    refuse_newer(version, len(migrations))
    for number, statements in enumerate(migrations[version:], start=version + 1):
        if copy_to is not None and version:  # before the first migration there is nothing to copy
            # An existing copy is from a failed try, or from before somebody went back to an older release: replace it.
            await engine.run_unlocked(partial(engine.driver.backup, f"{copy_to}.before-v{number}", replace=True))

        def apply(tx: Tx, number: int = number, statements: tuple[str, ...] = statements) -> None:
            for statement in statements:
                tx.run(statement.replace("<serial>", engine.driver.serial))
            # In the transaction of its statements: a crash in between leaves the version that is really there.
            tx.run("INSERT INTO schema_version (version) VALUES (?)", number)

        await engine.run(apply)
    return len(migrations)


def refuse_newer(version: int, known: int) -> None:
    if version > known:
        raise StoreUnusable(
            f"the journal has schema {version}, this oc_trio knows {known}: it was written by a newer release; "
            "install that again, or go back to a copy of the journal from before it"
        )


async def require_current(engine: Engine) -> int:
    """For commands beside a running gateway, which must change nothing: raises StoreError unless up to date."""

    def read(tx: Tx) -> int:
        version = _version(tx)
        refuse_newer(version, len(MIGRATIONS))
        if version < len(MIGRATIONS):
            # Raised inside the transaction, so that creating the version table is rolled back.
            raise StoreError(f"the journal has schema {version}, not {len(MIGRATIONS)}: start the gateway to update it")
        return version

    return await engine.run(read)
