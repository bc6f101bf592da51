"""Letting people in without a code: one by one, and as OpenClaw's state has them."""

import json
import sqlite3
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import pytest

from oc_trio.sandbox.records import UserRecord
from tests.cli.sandbox_server import Server, a_server

# As OpenClaw 2026.9 makes them, with a few of the tables beside.
SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA user_version = 18;
CREATE TABLE diagnostic_events (
  scope TEXT NOT NULL, event_key TEXT NOT NULL, payload_json TEXT NOT NULL, created_at INTEGER NOT NULL,
  sequence INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (scope, event_key)
) STRICT;
CREATE TABLE channel_pairing_requests (
  channel_key TEXT NOT NULL, account_id TEXT NOT NULL, request_id TEXT NOT NULL, code TEXT NOT NULL,
  created_at TEXT NOT NULL, last_seen_at TEXT NOT NULL, meta_json TEXT,
  PRIMARY KEY (channel_key, account_id, request_id)
) STRICT;
CREATE TABLE channel_pairing_allow_entries (
  channel_key TEXT NOT NULL, account_id TEXT NOT NULL, entry TEXT NOT NULL, sort_order INTEGER NOT NULL,
  updated_at INTEGER NOT NULL, PRIMARY KEY (channel_key, account_id, entry)
) STRICT;
"""


@pytest.fixture
def server(tmp_path: Path) -> Generator[Server, None, None]:
    with a_server(tmp_path) as found:
        yield found


@pytest.fixture
def carol(server: Server) -> UserRecord:
    return server.world.create_user("carol", team=server.demo.team)


def openclaw_home(folder: Path, *rows: tuple[str, str, str]) -> Path:
    """OpenClaw's folder, with (channel, account, entry) approved."""
    home = folder / ".openclaw"
    (home / "state").mkdir(parents=True)
    with closing(sqlite3.connect(home / "state" / "openclaw.sqlite")) as database:
        database.executescript(SCHEMA)
        values = [(*row, order, 1_700_000_000_000) for order, row in enumerate(rows)]
        database.executemany("INSERT INTO channel_pairing_allow_entries VALUES (?, ?, ?, ?, ?)", values)
        database.commit()
    return home


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def approved(server: Server) -> set[tuple[str, str]]:
    rows = server.json("pairing", "list", "--approved")
    return {(row["account"], row["name"]) for row in rows}


def test_people_come_over_with_their_account(server: Server, carol: UserRecord, tmp_path: Path) -> None:
    """Each is let in to the account that approved them, those of other channels to none; OpenClaw's files stay."""
    ops = server.world.create_bot("ops", team=server.demo.team)
    server.write_config(ops=ops.token)
    home = openclaw_home(
        tmp_path,
        ("mattermost", "default", server.demo.alice.id),
        ("mattermost", "ops", server.demo.bob.id),
        ("telegram", "default", "12345"),
    )
    before = snapshot(home)
    rehearsed = server.run("pairing", "import", str(home), "--dry-run")
    assert rehearsed.exit_code == 0, rehearsed.output
    assert f"@alice ({server.demo.alice.id}) would be let in to account default" in rehearsed.stdout
    assert not (tmp_path / "state" / "journal.sqlite3").exists()
    done = server.run("pairing", "import", str(home))
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [
        f"@alice ({server.demo.alice.id}) may write to account default now",
        f"@bob ({server.demo.bob.id}) may write to account ops now",
    ]
    assert approved(server) == {("default", "alice"), ("ops", "bob")}
    assert snapshot(home) == before
    again = server.json("pairing", "import", str(home / "state" / "openclaw.sqlite"), "--account", "ops")
    assert [(one["name"], one["state"]) for one in again["people"]] == [("bob", "known")]
    assert carol.id not in done.stdout


def test_what_a_running_openclaw_has_not_yet_folded_in(server: Server, tmp_path: Path) -> None:
    """Approvals that stand in the write-ahead log only are read too."""
    home = openclaw_home(tmp_path)
    with closing(sqlite3.connect(home / "state" / "openclaw.sqlite")) as running:
        running.execute(
            "INSERT INTO channel_pairing_allow_entries VALUES ('mattermost', 'default', ?, 0, 1)",
            (server.demo.alice.id,),
        )
        running.commit()
        assert server.run("pairing", "import", str(home)).exit_code == 0
    assert approved(server) == {("default", "alice")}


def test_older_files(server: Server, carol: UserRecord, tmp_path: Path) -> None:
    """One file for each account, with ids, marked ids and usernames."""
    ops = server.world.create_bot("ops", team=server.demo.team)
    server.write_config(ops=ops.token)
    folder = tmp_path / ".openclaw" / "credentials"
    folder.mkdir(parents=True)
    mixed = [server.demo.alice.id, f"user:{server.demo.bob.id}", "@Carol"]
    (folder / "mattermost-allowFrom.json").write_text(json.dumps({"version": 1, "allowFrom": mixed}))
    (folder / "mattermost-ops-allowFrom.json").write_text(json.dumps({"version": 1, "allowFrom": [carol.id]}))
    (folder / "telegram-allowFrom.json").write_text(json.dumps({"version": 1, "allowFrom": ["1"]}))
    assert server.run("pairing", "import", str(folder.parent)).exit_code == 0
    assert approved(server) == {("default", "alice"), ("default", "bob"), ("default", "carol"), ("ops", "carol")}


def test_who_can_not_come_over_is_named(server: Server, tmp_path: Path) -> None:
    """An account that is not here, everybody, and people that the server does not know; the others are let in."""
    home = openclaw_home(
        tmp_path,
        ("mattermost", "default", server.demo.alice.id),
        ("mattermost", "default", "x" * 26),
        ("mattermost", "default", "*"),
        ("mattermost", "sales", server.demo.bob.id),
    )
    done = server.run("pairing", "import", str(home))
    assert done.exit_code == 3
    assert f"account default: there is no user {'x' * 26} at {server.url}" in done.stderr
    assert 'write dmPolicy = "open"' in done.stderr
    assert f"account sales: {server.demo.bob.id}: there is no such account here" in done.stderr
    assert approved(server) == {("default", "alice")}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("nothing", None, "neither state/openclaw.sqlite nor credentials/mattermost-allowFrom.json is there"),
        ("some.sqlite", b"no database, but long enough to be looked at", "is not a database: damaged, or of a release"),
        ("telegram-allowFrom.json", b"[]", "it is of another channel"),
        ("mattermost-allowFrom.json", b"{", "Expecting property name"),
        ("mattermost-allowFrom.json", b'{"allow": 1}', 'expected {"allowFrom": [...]}'),
    ],
)
def test_what_is_no_state_of_openclaws(
    server: Server, tmp_path: Path, name: str, content: bytes | None, words: str
) -> None:
    """The file is named, with what is wrong about it."""
    place = tmp_path / name
    place.mkdir() if content is None else place.write_bytes(content)
    refused = server.run("pairing", "import", str(place))
    assert refused.exit_code == 1
    assert str(place) in refused.stderr
    assert words in refused.stderr
    assert "~/.openclaw" in server.run("pairing", "import", str(tmp_path / "missing")).stderr


def test_a_database_of_an_old_release(server: Server, tmp_path: Path) -> None:
    """Without the table there is nothing to read, and it is said why."""
    with closing(sqlite3.connect(tmp_path / "openclaw.sqlite")) as database:
        database.execute("CREATE TABLE t (x)")
    refused = server.run("pairing", "import", str(tmp_path / "openclaw.sqlite"))
    assert refused.exit_code == 1
    assert "it is of no release of OpenClaw that pairs people" in refused.stderr


def test_allow(server: Server, carol: UserRecord) -> None:
    """By name or id, before the first start too; whoever is not there is refused, a second time changes nothing."""
    assert server.run("pairing", "allow", "@Carol").stdout == f"@carol ({carol.id}) may write to account default now\n"
    assert "already" in server.run("pairing", "allow", f"user:{carol.id}").stdout
    assert server.json("pairing", "allow", server.demo.alice.id)["state"] == "new"
    assert approved(server) == {("default", "carol"), ("default", "alice")}
    refused = server.run("pairing", "allow", "@nobody")
    assert refused.exit_code == 1
    assert "there is no user nobody" in refused.stderr
    refused = server.run("pairing", "allow", server.demo.bot.id)
    assert "is the bot itself" in refused.stderr


def test_nothing_is_done_where_the_server_can_not_be_asked(server: Server) -> None:
    """69, and nobody is let in by a mistyped id."""
    server.config.write_text(server.config.read_text().replace(server.url, "http://127.0.0.1:9"))
    refused = server.run("pairing", "allow", "a" * 26)
    assert refused.exit_code == 69
    assert server.run("pairing", "list", "--approved").stdout == "nobody was let in yet\n"
