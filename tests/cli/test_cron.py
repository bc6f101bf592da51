"""`oc-trio cron` against the embedded server on loopback."""

from collections.abc import Generator
from pathlib import Path

import pytest
import trio

from oc_trio.store.store import open_store
from tests.cli.sandbox_server import Server, a_server

JOBS = """
[agents.defaults]
model = "play/it"
[models.providers.play]
api = "scripted"
models = ["it"]
[cron.jobs.morning]
expression = "0 9 * * mon-fri"
timezone = "Europe/Berlin"
target = "#town-square"
message = "Good morning"
[cron.jobs.digest]
expression = "@daily"
target = "@alice"
prompt = "!say a digest"
enabled = false
"""


@pytest.fixture
def server(tmp_path: Path) -> Generator[Server, None, None]:
    with a_server(tmp_path) as found:
        found.write_config(JOBS)
        yield found


def test_list(server: Server) -> None:
    """Jobs with their next run; before any gateway ran there is no last one."""
    told = server.json("cron", "list")
    jobs = {job["name"]: job for job in told["jobs"]}
    assert jobs["morning"]["next"].endswith(("07:00:00+00:00", "08:00:00+00:00"))
    assert (jobs["morning"]["last"], jobs["digest"]["enabled"], jobs["digest"]["next"]) == ("", False, "")
    assert "digest (disabled)" in " ".join(server.run("cron", "list").stdout.split())


def test_list_tells_the_last_run(server: Server) -> None:
    """The journal of a gateway, running or not, is read."""

    async def record() -> None:
        (server.config.parent / "state").mkdir()
        async with open_store(server.config.parent / "state" / "journal.sqlite3") as store:
            await store.cron.record_run("morning", 1_700_000_000_000, "posted abc")

    trio.run(record)
    morning = server.json("cron", "list")["jobs"][0]
    assert (morning["last"], morning["result"]) == ("2023-11-14T22:13:20+00:00", "posted abc")


def test_run_a_message_now(server: Server) -> None:
    """The text is posted at once."""
    told = server.json("cron", "run", "morning")
    assert told["ok"] is True
    assert server.texts()[-1] == "Good morning"


def test_run_a_prompt_now(server: Server) -> None:
    """The agent is asked from here, and its answer posted."""
    server.json("cron", "run", "digest")
    assert server.texts(server.world.direct(server.demo.alice, server.demo.bot)) == ["a digest"]


def test_an_unknown_job(server: Server) -> None:
    """The error names those that there are."""
    refused = server.run("cron", "run", "evening")
    assert refused.exit_code == 78
    assert "configured: morning, digest" in refused.stderr
