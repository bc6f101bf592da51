"""Forward-only changes of the schema; the file is copied before each, there is no way back but that copy.

An entry that was released is never edited: what it did is on people's disks.
"""

from collections.abc import Sequence
from functools import partial

from oc_trio.errors import StoreError, StoreUnusable
from oc_trio.store.engine import Engine, Tx
from oc_trio.store.schema import ACCESS, CONVERSATIONS, DOUBTS, LEDGER

MIGRATIONS: tuple[tuple[str, ...], ...] = ((*LEDGER, *CONVERSATIONS, *ACCESS), DOUBTS)


def _version(tx: Tx) -> int:
    tx.run("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL PRIMARY KEY)")
    return int(tx.value("SELECT COALESCE(MAX(version), 0) FROM schema_version"))


async def schema_version(engine: Engine) -> int:
    """The number of migrations that the database has seen; makes the table that counts them."""
    return await engine.run(_version)


async def migrate(engine: Engine, *, copy_to: str | None, migrations: Sequence[tuple[str, ...]] = MIGRATIONS) -> int:
    """Bring the schema up to date, one transaction per migration; returns its version.

    `copy_to` is the name that the copies start with (`<copy_to>.before-v2`); None makes none. Raises StoreUnusable
    when a newer oc_trio has written the database.
    """
    version = await schema_version(engine)
    refuse_newer(version, len(migrations))
    for number, statements in enumerate(migrations[version:], start=version + 1):
        if copy_to is not None and version:  # nothing was there before the first
            # One that stands there is of an earlier try, or of before somebody went back: this one is newer.
            await engine.outside(partial(engine.driver.backup, f"{copy_to}.before-v{number}", replace=True))

        def apply(tx: Tx, number: int = number, statements: tuple[str, ...] = statements) -> None:
            for statement in statements:
                tx.run(statement.replace("<serial>", engine.driver.serial))
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
    """For readers beside a running gateway, which must not change anything: StoreError unless up to date."""

    def read(tx: Tx) -> int:
        version = _version(tx)
        refuse_newer(version, len(MIGRATIONS))
        if version < len(MIGRATIONS):
            # Raised in here, it undoes the table that was made to look.
            raise StoreError(f"the journal has schema {version}, not {len(MIGRATIONS)}: start the gateway to update it")
        return version

    return await engine.run(read)
