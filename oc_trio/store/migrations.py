"""Schema migrations, forward only: the SQLite file is copied before each, and that copy is the only way back.

A released entry of `MIGRATIONS` is never edited, because databases exist that it has already changed. Processes that
share a PostgreSQL database may start at once, and one of a newer release beside those of an older one.
"""

from collections.abc import Mapping, Sequence
from functools import partial

from oc_trio.classes import frozen
from oc_trio.errors import StoreEmpty, StoreError, StoreUnusable
from oc_trio.store.engine import Engine, Tx
from oc_trio.store.schema import ACCESS, CONVERSATIONS, CRON, DOUBTS, LEASES, LEDGER, RELAYED

MIGRATIONS: tuple[tuple[str, ...], ...] = ((*LEDGER, *CONVERSATIONS, *ACCESS), DOUBTS, CRON, RELAYED, LEASES)

# A migration beside which programs of an older schema can go on, with the oldest schema of these: one that only adds
# tables, or columns with a default, which those programs don't know. With one that isn't here they have to stop before.
COMPATIBLE_FROM: Mapping[int, int] = {}

_LEASES_SCHEMA = MIGRATIONS.index(LEASES) + 1
_NEWER = (
    "the journal has schema {version}, this oc_trio knows {known}: it was written by a newer release; "
    "install that again, or go back to a copy of the journal from before it"
)


@frozen
class SchemaState:
    """`version`: the migrations that were applied; `oldest`: the schema that a program has to know at least."""

    version: int
    oldest: int


def _state(tx: Tx) -> SchemaState:
    # A version without an entry is for programs that know it.
    row = tx.one(
        "SELECT COALESCE(MAX(v.version), 0), COALESCE(MAX(COALESCE(c.compatible_from, v.version)), 0)"
        " FROM schema_version v LEFT JOIN schema_compatibility c ON c.version = v.version"
    )
    return SchemaState(*(int(value) for value in row or (0, 0)))


def _made_state(tx: Tx) -> SchemaState:
    """Also of a database without the tables that say so, which are made."""
    tx.run("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL PRIMARY KEY)")
    tx.run(
        "CREATE TABLE IF NOT EXISTS schema_compatibility"
        " (version BIGINT NOT NULL PRIMARY KEY, compatible_from BIGINT NOT NULL)"
    )
    return _state(tx)


def _locked_state(tx: Tx, engine: Engine) -> SchemaState:
    engine.driver.lock_schema()
    return _made_state(tx)


async def schema_version(engine: Engine) -> int:
    """The number of migrations applied to the database; creates the tables that say so."""
    return await engine.run(lambda tx: _locked_state(tx, engine).version)


async def migrate(
    engine: Engine,
    *,
    copy_to: str | None,
    migrations: Sequence[tuple[str, ...]] = MIGRATIONS,
    compatible_from: Mapping[int, int] = COMPATIBLE_FROM,
) -> int:
    """Brings the schema up to date, one transaction per migration or for all of a new one; returns its version.

    Copies are named `<copy_to>.before-v2`; None makes no copies. Raises StoreUnusable if a newer oc_trio has written
    the database and this one can't go on beside it, and StoreError while processes run that could not go on beside
    what this one would change.
    """
    state = await engine.run(lambda tx: _locked_state(tx, engine))
    _refuse_newer(state, len(migrations))

    def apply(tx: Tx, upto: int) -> None:
        # Another process may have been quicker.
        for number in range(_locked_state(tx, engine).version + 1, upto + 1):
            oldest = compatible_from.get(number, number)
            if number > _LEASES_SCHEMA:
                _refuse_beside(tx, engine, oldest)
            for statement in migrations[number - 1]:
                tx.run(statement.replace("<serial>", engine.driver.serial))
            # In the transaction of its statements: a crash in between leaves the version that is really there.
            tx.run("INSERT INTO schema_version (version) VALUES (?)", number)
            tx.run("INSERT INTO schema_compatibility (version, compatible_from) VALUES (?, ?)", number, oldest)

    # An empty database gets all at once: nothing is in it yet that a copy could bring back.
    for upto in range(state.version + 1 if state.version else len(migrations), len(migrations) + 1):
        if copy_to is not None and state.version:
            # An existing copy is from a failed try, or from before somebody went back to an older release: replace it.
            await engine.run_unlocked(partial(engine.driver.backup, f"{copy_to}.before-v{upto}", replace=True))
        await engine.run(partial(apply, upto=upto))
    return max(len(migrations), state.version)


def _refuse_newer(state: SchemaState, known: int) -> None:
    if state.oldest > known:
        raise StoreUnusable(_NEWER.format(version=state.version, known=known))


def refuse_outdated(tx: Tx) -> None:
    """Raises StoreUnusable once the database has a schema beside which this program can't go on."""
    _refuse_newer(_state(tx), len(MIGRATIONS))


def _refuse_beside(tx: Tx, engine: Engine, oldest: int) -> None:
    """Raises StoreError while a process lives that doesn't know the schema `oldest`."""
    row = tx.one(
        f"SELECT pid, host, version FROM processes WHERE deadline > {engine.driver.now_sql} AND schema < ?",  # noqa: S608
        oldest,
    )
    if row is not None:
        pid, host, version = row
        raise StoreError(
            f"process {pid} on {host} (oc-trio {version}) uses the journal, and can't go on beside the schema of this "
            "release: stop all processes of older releases first"
        )


async def require_current(engine: Engine) -> int:
    """For commands beside a running gateway, which must change nothing: raises StoreError unless up to date."""

    def read(tx: Tx) -> int:
        state = _made_state(tx)
        _refuse_newer(state, len(MIGRATIONS))
        if state.version == 0:
            raise StoreEmpty("the database holds no journal yet: start the gateway to make it")
        if state.version < len(MIGRATIONS):
            # Raised inside the transaction, so that creating the tables is rolled back.
            raise StoreError(
                f"the journal has schema {state.version}, not {len(MIGRATIONS)}: start the gateway to update it"
            )
        return state.version

    return await engine.run(read)
