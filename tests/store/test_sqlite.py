import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
import trio

from oc_trio.errors import StoreError, StoreUnusable
from oc_trio.ids import AgentId, ChannelId
from oc_trio.store.sessions import SessionUse
from oc_trio.store.sqlite import SqliteDriver
from oc_trio.store.store import open_store
from tests.store.rows import ACCOUNT, SESSION, admission


def pragma(driver: SqliteDriver, name: str) -> object:
    return driver.execute(f"PRAGMA {name}")[0][0][0]


def test_commits_are_synced_and_readers_do_not_wait(tmp_path: Path) -> None:
    """WAL with full sync: a power cut keeps what was acknowledged."""
    driver = SqliteDriver(tmp_path / "journal")
    driver.begin()
    driver.commit()

    assert (pragma(driver, "journal_mode"), pragma(driver, "synchronous")) == ("wal", 2)
    driver.close()


async def test_only_the_owner_can_read_the_journal(tmp_path: Path) -> None:
    """The file holds command tokens and what people wrote; so do its siblings and its copies."""
    path = tmp_path / "state" / "journal"
    async with open_store(path) as store:
        await store.cron.record_run("job", 1)
        await store.backup(tmp_path / "copy")
        files = [*path.parent.iterdir(), tmp_path / "copy"]

        assert {file.name for file in files} >= {"journal", "journal-wal", "copy"}
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_a_copy_is_whole_and_never_overwrites(tmp_path: Path) -> None:
    """A backup taken while the journal is in use opens as a journal."""
    async with open_store(tmp_path / "journal") as store:
        await store.admission.admit(admission("p1"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.backup, tmp_path / "copy")
            nursery.start_soon(store.admission.admit, admission("p2"))
        with pytest.raises(StoreError, match="never overwrites"):
            await store.backup(tmp_path / "copy")

    async with open_store(tmp_path / "copy") as store:
        assert await store.obligations.by_trigger(ACCOUNT, "p1") is not None


async def test_damage_is_found(tmp_path: Path) -> None:
    """A sound journal has nothing to report; a damaged one can't be opened, and says what it is."""
    path = tmp_path / "journal"
    async with open_store(path) as store:
        await store.admission.admit(admission("p1"))
        assert await store.integrity_check() == ()
        assert (await store.stats()).size > 0
    path.write_bytes(b"not a database at all" * 1000)

    with pytest.raises(StoreUnusable, match="not a database") as caught:
        async with open_store(path):
            pytest.fail("opened a damaged file")
    assert str(path) in str(caught.value)
    assert "put a backup in its place" in str(caught.value)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        ("UPDATE sessions SET key = CAST(X'6d61726b6572ff' AS TEXT)", "a text is not UTF-8"),
        ("DROP TABLE transcripts", "no such table"),
    ],
)
async def test_damage_below_sqlites_notice(tmp_path: Path, damage: str, problem: str) -> None:
    """A row that can't be read and a table that is gone last as well; what the row holds is not quoted."""
    path = tmp_path / "journal"
    async with open_store(path) as store:
        await store.sessions.touch(SessionUse(SESSION, ACCOUNT, ChannelId("town"), "", AgentId("main"), 1))
    with closing(sqlite3.connect(path)) as other, other:
        other.execute(damage)
    async with open_store(path) as store:

        async def read() -> None:
            await store.sessions.list()
            await store.transcripts.load(SESSION, 10)

        with pytest.raises(StoreUnusable, match=problem) as caught:
            await read()
        assert "put a backup in its place" in str(caught.value)
        assert "marker" not in str(caught.value)
        with pytest.raises(StoreUnusable, match=problem):
            await store.wait_unusable()


async def test_a_place_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    """The operator reads which path is the problem."""
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(StoreError, match="file"):
        async with open_store(tmp_path / "file" / "journal"):
            pytest.fail("opened below a file")


async def test_a_place_that_can_not_be_looked_at_is_named(tmp_path: Path) -> None:
    """The state of another user, say: words, not a traceback."""
    for exclusive in (True, False):
        with pytest.raises(StoreError, match="File name too long"):
            async with open_store(tmp_path / ("x" * 300) / "journal", exclusive=exclusive):
                pytest.fail("opened what can't be looked at")


def sqlite_error(statement: str, *, pages: int = 0) -> sqlite3.Error:
    """What SQLite says to that, in a database of so many pages."""
    with closing(sqlite3.connect(":memory:")) as connection:
        if pages:
            connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(sqlite3.Error) as caught:
            connection.execute(statement)
    return caught.value


def test_problems_say_what_to_do(tmp_path: Path) -> None:
    """Where an operator can do something, it is said; the file is named in any case."""
    path = tmp_path / "journal"
    driver = SqliteDriver(path)
    full = sqlite_error("CREATE TABLE t AS SELECT zeroblob(100000)", pages=2)
    assert driver.problem(full) == f"database or disk is full ({path}): make room on its disk"
    assert driver.problem(sqlite_error("SELECT x")) == f"no such column: x ({path})"


def test_an_adopted_connection_stays_its_owners(tmp_path: Path) -> None:
    """Closing the driver leaves the connection open."""
    connection = sqlite3.connect(":memory:")
    SqliteDriver.adopt(connection).close()

    assert connection.execute("SELECT 1").fetchone() == (1,)
    connection.close()


async def test_a_copy_that_can_not_be_made_is_named(tmp_path: Path) -> None:
    """A backup into a place that isn't a directory says so."""
    (tmp_path / "file").write_text("in the way")
    async with open_store(tmp_path / "journal") as store:
        with pytest.raises(StoreError, match=r"there is no folder .*/file to copy to"):
            await store.backup(tmp_path / "file" / "copy")
