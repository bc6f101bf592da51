import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from oc_trio.errors import StoreError, StoreUnusable
from oc_trio.store.migrations import MIGRATIONS, migrate, require_current, schema_version
from oc_trio.store.sqlite import SqliteDriver
from oc_trio.store.store import open_store
from oc_trio.store.writer import open_writer
from tests.store.rows import Location

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
