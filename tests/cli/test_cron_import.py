"""`oc-trio cron import` of what OpenClaw 2026.9 and older releases have written."""

import json
import sqlite3
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.cli.sandbox_server import Server, a_server

# As OpenClaw 2026.9 makes it, with the columns that are read and some beside.
SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE cron_jobs (
  store_key TEXT NOT NULL, job_id TEXT NOT NULL, name TEXT NOT NULL, enabled INTEGER NOT NULL,
  payload_kind TEXT NOT NULL, job_json TEXT NOT NULL, state_json TEXT NOT NULL DEFAULT '{}',
  sort_order INTEGER NOT NULL DEFAULT 0, updated_at INTEGER NOT NULL, PRIMARY KEY (store_key, job_id)
) STRICT;
"""
# Rows that `openclaw cron add` has written.
MORNING: dict[str, Any] = {
    "id": "90fc65cb-a750-41b4-8de8-8ac0c84a02b8",
    "agentId": "main",
    "name": "Morning brief",
    "enabled": True,
    "createdAtMs": 1795953883783,
    "schedule": {"kind": "cron", "expr": "0 9 * * 1-5", "tz": "Europe/Berlin"},
    "sessionTarget": "isolated",
    "wakeMode": "now",
    "payload": {
        "kind": "agentTurn",
        "message": "Summarise the news",
        "model": "anthropic/claude-sonnet-4-5",
        "thinking": "low",
        "toolsAllow": ["*"],
    },
    "delivery": {"mode": "announce", "channel": "mattermost", "to": "channel:abcdefghijklmnopqrstuvwxyz"},
    "scheduledToolPolicy": {"version": 1, "mode": "trusted"},
    "state": {},
}
REMINDER = {
    "id": "1f582c3f-3eca-47b1-b997-3908d6c2820f",
    "name": "Reminder",
    "enabled": True,
    "deleteAfterRun": True,
    "createdAtMs": 1795953885440,
    "schedule": {"kind": "at", "at": "2037-02-01T16:00:00.000Z"},
    "sessionTarget": "main",
    "wakeMode": "now",
    "payload": {"kind": "systemEvent", "text": "Reminder: check the draft"},
    "state": {},
}
SHELL = {
    "id": "508b53f3-c1a5-426d-bc4e-5014b45cddea",
    "name": "Shell",
    "enabled": True,
    "schedule": {"kind": "cron", "expr": "*/15 * * * *"},
    "sessionTarget": "isolated",
    "payload": {"kind": "command", "argv": ["sh", "-lc", "echo hi"]},
    "delivery": {"mode": "announce", "channel": "telegram", "to": "12"},
    "state": {},
}
DREAMING = {
    "id": "c4b78715-550f-4afd-88e0-db6123e77297",
    "declarationKey": "memory-core:memory-dreaming-promotion",
    "name": "Memory Dreaming Promotion",
    "enabled": True,
    "schedule": {"kind": "cron", "expr": "0 3 * * *"},
    "payload": {"kind": "agentTurn", "message": "__openclaw_memory_core_short_term_promotion_dream__"},
    "delivery": {"mode": "none"},
}


@pytest.fixture
def server(tmp_path: Path) -> Generator[Server, None, None]:
    with a_server(tmp_path) as found:
        found.write_config(
            '[agents.defaults]\nmodel = "play/it"\n[models.providers.play]\napi = "scripted"\nmodels = ["it"]\n'
        )
        yield found


def a_database(folder: Path, *jobs: dict[str, Any]) -> Path:
    (folder / "state").mkdir(parents=True)
    with closing(sqlite3.connect(folder / "state" / "openclaw.sqlite")) as database:
        database.executescript(SCHEMA)
        database.executemany(
            "INSERT INTO cron_jobs VALUES ('jobs.json', ?, ?, ?, ?, ?, '{}', ?, 1)",
            [
                (job["id"], job["name"], job["enabled"], job["payload"]["kind"], json.dumps(job), order)
                for order, job in enumerate(jobs)
            ],
        )
        database.commit()
    return folder


def a_file(folder: Path, *jobs: dict[str, Any]) -> Path:
    (folder / "cron").mkdir(parents=True)
    (folder / "cron" / "jobs.json").write_text(json.dumps({"version": 1, "jobs": jobs}))
    return folder


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("write_jobs", [a_database, a_file])
def test_jobs_come_over_once(server: Server, tmp_path: Path, write_jobs: Any) -> None:
    """A rehearsal changes nothing, nor does a second import; OpenClaw's files stay as they are."""
    home = write_jobs(tmp_path / ".openclaw", DREAMING, MORNING, REMINDER, SHELL)
    before = snapshot(home)
    rehearsed = server.run("cron", "import", str(home), "--dry-run")
    assert rehearsed.exit_code == 3
    assert rehearsed.stdout.splitlines() == [
        "left out: Memory Dreaming Promotion is OpenClaw's own, for its memory, skills or heartbeat",
        "Morning brief would become morning-brief  0 9 * * 1-5 (Europe/Berlin)  -> channel:abcdefghijklmnopqrstuvwxyz",
        "    asks its agent's own model: anthropic/claude-sonnet-4-5 is not configured here",
    ]
    assert "Reminder names no place: import it with --to PLACE" in rehearsed.stderr
    assert "Shell runs a command, and oc-trio runs none" in rehearsed.stderr
    assert server.json("cron", "list")["jobs"] == []
    done = server.json("cron", "import", str(home), "--to", "#town-square", code=3)
    assert [(one["name"], one["state"], one["id"]) for one in done["jobs"]] == [
        ("Memory Dreaming Promotion", "internal", ""),
        ("Morning brief", "new", "morning-brief"),
        ("Reminder", "new", "reminder"),
        ("Shell", "refused", ""),
    ]
    assert any("no main session" in each for each in done["jobs"][2]["differences"])
    server.json("cron", "edit", "reminder", "--text", "Check the draft!")
    again = server.json("cron", "import", str(home), code=3)
    assert [one["state"] for one in again["jobs"]] == ["internal", "known", "known", "refused"]
    morning, reminder = server.json("cron", "list")["jobs"]
    assert (morning["text"], morning["thinking"], morning["missed"]) == ("Summarise the news", "low", "once")
    assert (reminder["text"], reminder["target"]) == ("Check the draft!", "#town-square")
    assert snapshot(home) == before


def test_what_a_running_openclaw_has_not_yet_folded_in(server: Server, tmp_path: Path) -> None:
    """Jobs that stand in the write-ahead log only are read too; the database itself may be named."""
    home = a_database(tmp_path / ".openclaw")
    with closing(sqlite3.connect(home / "state" / "openclaw.sqlite")) as running:
        running.execute(
            "INSERT INTO cron_jobs VALUES ('k', 'x', 'x', 1, 'agentTurn', ?, '{}', 0, 1)", (json.dumps(MORNING),)
        )
        running.commit()
        assert server.run("cron", "import", str(home / "state" / "openclaw.sqlite")).exit_code == 0
    assert [job["id"] for job in server.json("cron", "list")["jobs"]] == ["morning-brief"]


def test_names_that_mean_nothing_here(server: Server, tmp_path: Path) -> None:
    """An agent or an account that is not configured is refused, the job not changed in silence."""
    home = a_file(
        tmp_path / ".openclaw",
        {**MORNING, "id": "1", "agentId": "ops"},
        {**MORNING, "id": "2", "delivery": {**MORNING["delivery"], "accountId": "ops"}},
        {**MORNING, "id": "3", "schedule": {"kind": "cron", "expr": "99 * * * *", "tz": "UTC"}},
        {**MORNING, "id": "4", "delivery": {**MORNING["delivery"], "to": "what?"}},
    )
    refused = server.run("cron", "import", str(home))
    assert refused.exit_code == 1
    lines = refused.stderr.splitlines()
    assert "there is no agent ops; configured: main" in lines[0]
    assert "account ops is not configured" in lines[1]
    assert "is not a minute" in lines[2]
    assert "--to: " in lines[3]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("nothing", None, "there is no such file; OpenClaw's state is in ~/.openclaw"),
        ("jobs.json", b"{", "jobs.json: not JSON"),
        ("jobs.json", b'{"jobs": 5}', 'expected {"version": 1, "jobs": [...]}'),
        ("state.sqlite", b"SQLite format 3\0 and nothing else", "file is not a database"),
    ],
)
def test_what_is_no_state(server: Server, tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    """The error for a path without jobs says what to name instead."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    refused = server.run("cron", "import", str(tmp_path / name))
    assert refused.exit_code == 1
    assert words in refused.stderr


def test_a_folder_without_jobs(server: Server, tmp_path: Path) -> None:
    """What would have to be there is named; a database of an older release has none."""
    refused = server.run("cron", "import", str(tmp_path / "state"))
    assert refused.exit_code == 1
    (tmp_path / "empty").mkdir()
    refused = server.run("cron", "import", str(tmp_path / "empty"))
    assert "neither state/openclaw.sqlite nor cron/jobs.json is there" in refused.stderr
    with closing(sqlite3.connect(tmp_path / "old.sqlite")) as database:
        database.execute("CREATE TABLE other (x)")
        database.commit()
    refused = server.run("cron", "import", str(tmp_path / "old.sqlite"))
    assert "no such table: cron_jobs" in refused.stderr


def test_a_row_that_is_damaged_stops_no_other(server: Server, tmp_path: Path) -> None:
    """It is named by its id and refused; the others come over."""
    home = a_database(tmp_path / ".openclaw", MORNING, SHELL)
    with closing(sqlite3.connect(home / "state" / "openclaw.sqlite")) as database:
        database.execute("UPDATE cron_jobs SET job_json = '{' WHERE job_id = ?", (SHELL["id"],))
        database.commit()
    done = server.json("cron", "import", str(home), code=3)
    assert [(one["name"], one["state"]) for one in done["jobs"]] == [("Morning brief", "new"), (SHELL["id"], "refused")]
    assert "its row is not JSON" in done["jobs"][1]["problem"]


def test_more_jobs_than_are_kept_are_refused_one_by_one(server: Server, tmp_path: Path) -> None:
    """A rehearsal says so, too: the first thousand would come over."""
    home = a_file(tmp_path / ".openclaw", *({**MORNING, "id": f"id-{number}"} for number in range(1002)))
    done = server.json("cron", "import", str(home), "--dry-run", code=3)
    assert [one["state"] for one in done["jobs"]] == ["new"] * 1000 + ["refused"] * 2
    assert "there are 1000 jobs already" in done["jobs"][1000]["problem"]


FAR = [
    ({"kind": "every", "everyMs": 2**52}, "refused"),
    ({"kind": "every", "everyMs": 60_000, "anchorMs": 2**52}, "new"),
    ({"kind": "at", "at": "9999-12-31T23:59:59-12:00"}, "refused"),
    ({"kind": "at", "at": 2**46}, "refused"),
]


def test_times_beyond_the_calendar_stop_no_command(server: Server, tmp_path: Path) -> None:
    """What `cron add` would not take an import doesn't either, or every later `cron list` would fail at it."""
    jobs = [{**MORNING, "id": f"id-{number}", "schedule": schedule} for number, (schedule, _) in enumerate(FAR)]
    done = server.json("cron", "import", str(a_file(tmp_path / ".openclaw", *jobs)), code=3)
    assert [one["state"] for one in done["jobs"]] == [state for _, state in FAR]
    [job] = server.json("cron", "list")["jobs"]
    assert job["next"] < "2100"


def test_a_name_is_kept_as_far_as_it_can_be(server: Server, tmp_path: Path) -> None:
    """It is in one line and no longer than those of `cron add`, and the difference is said."""
    names = ("Brief\nof the \x1b[2Jmorning", "n" * 300)
    jobs = [{**MORNING, "id": name[:3], "name": name} for name in names]
    done = server.json("cron", "import", str(a_file(tmp_path / ".openclaw", *jobs)))
    assert [one["name"] for one in done["jobs"]] == ["Brief of the [2Jmorning", "n" * 100]
    assert all("has its name in one line" in one["differences"][0] for one in done["jobs"])
