"""`oc-trio restore`: a backup takes the journal's place, or nothing changes and a sentence says why."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner

from oc_trio.cli.main import main
from oc_trio.store.lock import file_lock
from oc_trio.store.store import open_store

CONFIG = '[channels.mattermost]\nbaseUrl = "https://chat.example.com"\nbotToken = "t"\n'


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory with a journal, and its configuration."""
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    (tmp_path / "config.toml").write_text(CONFIG)
    (tmp_path / "config.toml").chmod(0o600)
    make_journal(folder / "journal.sqlite3", "before")
    return folder


def make_journal(path: Path, installation: str) -> None:
    async def make() -> None:
        async with open_store(str(path)) as store:
            await store.installation.ensure(installation, 1)

    trio.run(make)
    path.chmod(0o600)


def restore(state: Path, backup: Path) -> tuple[int, str]:
    words = ["restore", str(backup), "--config", str(state.parent / "config.toml")]
    done = CliRunner().invoke(main, words, env={"STATE_DIRECTORY": str(state)})
    return done.exit_code, done.output


def facts(journal: Path) -> tuple[str, int]:
    """Whose journal it is, and when it was restored."""

    async def read() -> tuple[str, int]:
        async with open_store(str(journal)) as store:
            installation = await store.installation.get()
            return installation.id if installation else "", await store.restored.at()

    return trio.run(read)


def test_a_backup_becomes_the_journal_and_the_old_one_is_kept(state: Path) -> None:
    """It knows that it was restored; nobody else can read it."""
    backup = state.parent / "backup.sqlite3"
    make_journal(backup, "from the backup")
    code, output = restore(state, backup)
    assert code == 0, output
    journal = state / "journal.sqlite3"
    assert facts(journal)[0] == "from the backup"
    assert facts(journal)[1] > 0
    assert facts(backup)[1] == 0
    assert journal.stat().st_mode & 0o777 == 0o600
    [replaced] = state.glob("journal.sqlite3.replaced-*Z")
    assert facts(replaced)[0] == "before"
    assert str(replaced) in output
    assert not list(state.glob("*.restoring*"))


def test_without_a_journal_there_is_nothing_to_keep(state: Path) -> None:
    """The case of a lost disk; a log of transactions that is left over is not applied to the backup."""
    backup = state.parent / "backup.sqlite3"
    (state / "journal.sqlite3").rename(backup)
    (state / "journal.sqlite3-wal").write_bytes(b"left over")
    code, output = restore(state, backup)
    assert code == 0, output
    assert facts(state / "journal.sqlite3")[0] == "before"
    assert not list(state.glob("*.replaced-*"))


def test_a_running_gateway_keeps_its_journal(state: Path) -> None:
    """While a gateway holds the journal's lock, nothing is restored."""
    backup = state.parent / "backup.sqlite3"
    make_journal(backup, "from the backup")
    with file_lock(state / "journal.sqlite3.lock"):
        code, output = restore(state, backup)
    assert code == 75
    assert "another gateway" in output
    assert facts(state / "journal.sqlite3")[0] == "before"


@pytest.mark.parametrize("kind", ["missing", "text", "another database", "damaged", "newer"])
def test_what_is_no_sound_journal_is_refused(state: Path, kind: str) -> None:
    """65, and the journal stays."""
    backup = state.parent / "backup.sqlite3"
    if kind == "text":
        backup.write_text("not a database")
    elif kind == "another database":
        with closing(sqlite3.connect(backup)) as connection:
            connection.execute("CREATE TABLE schema_version (version)")
    elif kind in ("damaged", "newer"):
        make_journal(backup, "from the backup")
        if kind == "damaged":
            data = backup.read_bytes()
            backup.write_bytes(data[:8192] + b"\xff" * 8192 + data[16384:])
        else:
            with closing(sqlite3.connect(backup)) as connection:
                connection.execute("INSERT INTO schema_version VALUES (99)")
                connection.commit()
    code, output = restore(state, backup)
    assert code == 65, output
    assert str(backup) in output
    assert facts(state / "journal.sqlite3")[0] == "before"
    assert not list(state.glob("*.restoring*"))
