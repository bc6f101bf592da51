import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
import trio
from attrs import evolve

from oc_trio.errors import StoreError, StoreUnusable
from oc_trio.store.engine import Engine
from oc_trio.store.migrations import MIGRATIONS, migrate, require_current, schema_version
from oc_trio.store.postgres import LOCK_CLASS, PostgresDriver
from oc_trio.store.postgres import MIGRATIONS as WAITS
from oc_trio.store.sqlite import SqliteDriver
from oc_trio.store.store import Store, open_store
from oc_trio.store.writer import open_writer
from tests.store.rows import Location
from tests.store.test_leases import NORTH

ONE = ("CREATE TABLE a (serial <serial>, n BIGINT)", "INSERT INTO a (n) VALUES (7)")
TWO = ("ALTER TABLE a ADD COLUMN m BIGINT NOT NULL DEFAULT 0",)
BROKEN = ("INSERT INTO a (n) VALUES (8)", "INSERT INTO nowhere (n) VALUES (8)")


def columns(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    found = [row[1] for row in connection.execute("PRAGMA table_info(a)")]
    connection.close()
    return found


def copies_in(folder: Path) -> list[Path]:
    return list(folder.glob("*.before-*"))


async def test_migrations_run_once_and_copy_the_file_before_each(tmp_path: Path) -> None:
    """The copy before a migration is the file as it was; the first migration has nothing to copy."""
    path, copies = tmp_path / "j", str(tmp_path / "j")
    async with open_writer(SqliteDriver(path)) as engine:
        assert await migrate(engine, copy_to=copies, migrations=[ONE]) == 1
        assert await migrate(engine, copy_to=copies, migrations=[ONE]) == 1
        assert await migrate(engine, copy_to=copies, migrations=[ONE, TWO]) == 2
        assert await engine.run(lambda tx: tx.all("SELECT n, m FROM a")) == [(7, 0)]

    assert columns(tmp_path / "j.before-v2") == ["serial", "n"]
    assert not (tmp_path / "j.before-v1").exists()


async def test_a_fresh_journal_leaves_no_copy(tmp_path: Path) -> None:
    """Before the first start there was nothing that a copy could bring back."""
    async with open_store(tmp_path / "journal"):
        assert copies_in(tmp_path) == []


async def test_a_failing_migration_changes_nothing(tmp_path: Path) -> None:
    """Its statements are undone together and its number isn't counted, so that it can be tried again."""
    path, copies = tmp_path / "j", str(tmp_path / "j")
    async with open_writer(SqliteDriver(path)) as engine:
        await migrate(engine, copy_to=copies, migrations=[ONE])
        with pytest.raises(StoreError, match="nowhere"):
            await migrate(engine, copy_to=None, migrations=[ONE, BROKEN])

        assert await schema_version(engine) == 1
        assert await engine.run(lambda tx: tx.all("SELECT n FROM a")) == [(7,)]


async def test_a_copy_of_an_earlier_try_gives_way(tmp_path: Path) -> None:
    """After a migration that failed the next start goes on, and its own copy is what stands there."""
    path, copies = tmp_path / "j", str(tmp_path / "j")
    async with open_writer(SqliteDriver(path)) as engine:
        await migrate(engine, copy_to=copies, migrations=[ONE])
        for _ in range(2):
            with pytest.raises(StoreError, match="nowhere"):
                await migrate(engine, copy_to=copies, migrations=[ONE, BROKEN])
        await engine.run(lambda tx: tx.run("INSERT INTO a (n) VALUES (9)"))
        assert await migrate(engine, copy_to=copies, migrations=[ONE, TWO]) == 2
    (copy,) = copies_in(tmp_path)
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT n FROM a ORDER BY n").fetchall() == [(7,), (9,)]
    assert columns(copy) == ["serial", "n"]


async def test_a_link_in_the_place_of_the_copy_is_not_followed(tmp_path: Path) -> None:
    """Somebody else put it there: nothing is written through it, and the start fails in words."""
    path, copies = tmp_path / "j", str(tmp_path / "j")
    (tmp_path / "target").write_text("precious")
    (tmp_path / "j.before-v2").symlink_to(tmp_path / "target")
    async with open_writer(SqliteDriver(path)) as engine:
        await migrate(engine, copy_to=copies, migrations=[ONE])
        with pytest.raises(StoreError, match="exists already"):
            await migrate(engine, copy_to=copies, migrations=[ONE, TWO])
    assert (tmp_path / "target").read_text() == "precious"


async def test_a_newer_journal_is_refused(location: Location) -> None:
    """An older program doesn't touch what a newer one wrote."""
    async with open_store(location) as store:
        engine = store._engine
        await engine.run(lambda tx: tx.run("INSERT INTO schema_version (version) VALUES (99)"))
        with pytest.raises(StoreError, match="newer release"):
            await require_current(engine)

    with pytest.raises(StoreUnusable, match=f"schema 99, this oc_trio knows {len(MIGRATIONS)}"):
        async with open_store(location):
            pytest.fail("opened a newer journal")


async def test_a_reader_does_not_migrate(tmp_path: Path) -> None:
    """A command beside the gateway refuses a journal that isn't up to date."""
    async with open_writer(SqliteDriver(tmp_path / "j")) as engine:
        with pytest.raises(StoreError, match="start the gateway"):
            await require_current(engine)
        assert await engine.run(lambda tx: tx.all("SELECT name FROM sqlite_master")) == []


async def processes(engine: Engine, schema: int, alive: bool) -> None:
    """Let a process that knows `schema` use the journal."""
    at = "9" * 15 if alive else "1"
    await engine.run(
        lambda tx: tx.run(
            "INSERT INTO processes (id, host, pid, version, schema, url, started_at, deadline, draining, accounts)"
            " VALUES ('p', 'north', 7, '1.0', ?, '', 0, ?, 0, '[]')",
            *(schema, int(at)),
        )
    )


async def test_an_older_program_goes_on_beside_what_it_does_not_know(store: Store) -> None:
    """Where a migration says so: it is let in again, and a process that runs learns nothing of it."""
    engine, known = store._engine, len(MIGRATIONS)
    await migrate(engine, copy_to=None, migrations=[*MIGRATIONS, ONE], compatible_from={known + 1: known})

    assert await require_current(engine) == known + 1
    assert await migrate(engine, copy_to=None) == known + 1
    await store.leases.beat(NORTH, {})
    await store.leases.leave(NORTH.id)

    await migrate(engine, copy_to=None, migrations=[*MIGRATIONS, ONE, TWO])
    for refused in (require_current(engine), migrate(engine, copy_to=None), store.leases.beat(NORTH, {})):
        with pytest.raises(StoreUnusable, match=f"schema {known + 2}, this oc_trio knows {known}"):
            await refused


async def test_processes_of_an_older_release_stop_first(store: Store) -> None:
    """Where they can't go on beside the new schema: nothing is changed while one of them lives, and it is named."""
    engine, known = store._engine, len(MIGRATIONS)
    await processes(engine, known, alive=True)
    with pytest.raises(StoreError, match=r"process 7 on north \(oc-trio 1.0\) uses the journal"):
        await migrate(engine, copy_to=None, migrations=[*MIGRATIONS, ONE])
    assert await schema_version(engine) == known

    await engine.run(lambda tx: tx.run("DELETE FROM processes"))
    await processes(engine, known, alive=False)
    assert await migrate(engine, copy_to=None, migrations=[*MIGRATIONS, ONE]) == known + 1


@pytest.mark.postgres
async def test_processes_that_start_at_once_migrate_once(empty_postgres_url: str) -> None:
    """Each of them gets the same journal, and none an error."""
    schemas: list[int] = []

    async def start() -> None:
        async with open_store(empty_postgres_url) as store:
            schemas.append(store.schema)

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(start)
    assert schemas == [len(MIGRATIONS)] * 4


@pytest.mark.postgres
async def test_a_gateway_that_shares_with_nobody_is_left_alone(empty_postgres_url: str) -> None:
    """A release from before leases holds the database's lock for as long as it runs: the next one changes nothing."""
    async with open_writer(PostgresDriver(empty_postgres_url, evolve(WAITS, lock_ms=30))) as engine:
        with psycopg.connect(empty_postgres_url, autocommit=True) as older:
            older.execute("SELECT pg_advisory_lock(%s::int, hashtext(current_schema()))", (LOCK_CLASS,))
            with pytest.raises(StoreError, match="another gateway is using the PostgreSQL database postgres"):
                await migrate(engine, copy_to=None)
        assert await migrate(engine, copy_to=None) == len(MIGRATIONS)
