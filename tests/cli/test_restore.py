"""`oc-trio restore`: a backup takes the journal's place, or nothing changes and a sentence says why."""

import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
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


def test_what_only_looks_like_a_backup_is_refused(state: Path) -> None:
    """A named pipe is not waited for; what an interrupted restore has left stays for whoever wants to look at it."""
    pipe = state.parent / "pipe"
    os.mkfifo(pipe)
    code, output = restore(state, pipe)
    assert (code, output) == (65, f"oc-trio: {pipe} is not a file\n")
    left = state / "journal.sqlite3.restoring"
    make_journal(left, "half")
    code, output = restore(state, left)
    assert code == 65
    assert "name the backup itself" in output
    assert left.exists()


def test_a_second_restore_keeps_the_first_one_s_journal(state: Path) -> None:
    """However soon it comes: each earlier journal has a name of its own."""
    for name in ("one", "two", "three"):
        make_journal(state.parent / name, name)
    for name in ("one", "two", "three"):
        assert restore(state, state.parent / name)[0] == 0
    assert {facts(kept)[0] for kept in state.glob("*.replaced-*Z")} == {"before", "one", "two"}
    assert facts(state / "journal.sqlite3")[0] == "three"


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    """As on a disk that is full: writing beyond `size` bytes fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_changes_nothing(state: Path) -> None:
    """The journal is the one from before, and the half copy is gone."""
    backup = state.parent / "backup.sqlite3"
    make_journal(backup, "from the backup")
    with no_file_longer_than(backup.stat().st_size // 2):
        code, _ = restore(state, backup)
    assert code == 75
    assert facts(state / "journal.sqlite3")[0] == "before"
    assert not list(state.glob("*.restoring*"))


# Ends the process without a word at the nth change of a file's name; prints each n that was reached.
CUT_SHORT = """
import os, sys, shutil, trio, oc_trio.cli.restore, oc_trio.config.load, oc_trio.store.store
from oc_trio.cli.main import main
state, backup, config, kept = sys.argv[1:]
os.environ["STATE_DIRECTORY"] = state
for last in range(1, 100):
    shutil.rmtree(state)
    shutil.copytree(kept, state)
    child = os.fork()
    if not child:
        seen = 0
        def end(event, arguments):
            global seen
            if event in ("os.rename", "os.link", "os.remove"):
                seen += 1
                if seen == last:
                    os._exit(9)
        sys.addaudithook(end)
        main(["restore", backup, "--config", config])
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    shutil.copytree(state, f"{state}.{last}.{code}")
    if code == 0:
        break
"""


@pytest.mark.slow
def test_wherever_it_is_cut_short_there_is_a_sound_journal(state: Path) -> None:
    """A kill between any two changes of names leaves the old journal with all it held, or the new one."""
    backup, kept = state.parent / "backup.sqlite3", state.parent / "kept"
    make_journal(backup, "from the backup")
    # As a gateway that was killed leaves it: what it wrote last is in the log of transactions alone.
    journal = state / "journal.sqlite3"
    with closing(sqlite3.connect(journal)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("CREATE TABLE written_last (word)")
        connection.commit()
        subprocess.run(["cp", "-a", str(state), str(kept)], check=True)
    assert (kept / "journal.sqlite3-wal").stat().st_size > 0
    words = [str(state), str(backup), str(state.parent / "config.toml"), str(kept)]
    subprocess.run([sys.executable, "-c", CUT_SHORT, *words], check=True, stdout=subprocess.DEVNULL)
    left = sorted(state.parent.glob("state.*.*"), key=lambda path: int(path.name.split(".")[1]))
    assert len(left) > 5
    for folder in left:
        folder.chmod(0o700)
        with closing(sqlite3.connect(folder / "journal.sqlite3")) as connection:
            tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master")]
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        whose = facts(folder / "journal.sqlite3")[0]
        assert (whose, "written_last" in tables) in (("before", True), ("from the backup", False)), folder.name
        # And the next try is not in the way of the first.
        assert restore(folder, backup)[0] == 0
        assert facts(folder / "journal.sqlite3")[0] == "from the backup"
