"""`oc-trio cron` against the embedded server on loopback, without a gateway.

With one: `test_openclaw_spellings`, and in virtual time `tests/runtime/schedule/test_added_jobs.py`.
"""

import time
from collections.abc import Generator
from pathlib import Path

import pytest
import trio
from attrs import evolve

from oc_trio.core.cron_runs import RunState, scheduled_run
from oc_trio.ids import AccountId, ChannelId, PostId
from oc_trio.store.store import Store, open_store
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
TEA = ("cron", "add", "--at", "20m", "--name", "Tea", "--text", "Tea is ready", "--to", "@alice")


@pytest.fixture
def server(tmp_path: Path) -> Generator[Server, None, None]:
    with a_server(tmp_path) as found:
        found.write_config(JOBS)
        yield found


def journal(server: Server) -> Path:
    return server.config.parent / "state" / "journal.sqlite3"


def test_list(server: Server) -> None:
    """Jobs with their next run; before any gateway ran there is no last one, and no journal is made."""
    output = server.json("cron", "list")
    jobs = {job["name"]: job for job in output["jobs"]}
    assert jobs["morning"]["next"].endswith(("07:00:00+00:00", "08:00:00+00:00"))
    assert (jobs["morning"]["source"], jobs["morning"]["schedule"]) == ("file", "0 9 * * mon-fri (Europe/Berlin)")
    assert (jobs["morning"]["last"], jobs["digest"]["enabled"], jobs["digest"]["next"]) == ("", False, "")
    assert "digest (disabled)" in " ".join(server.run("cron", "list").stdout.split())
    assert not journal(server).exists()


def test_list_tells_the_last_run(server: Server) -> None:
    """The journal of a gateway, running or not, is read; one of an older release has no history."""

    async def record() -> None:
        (server.config.parent / "state").mkdir()
        async with open_store(journal(server)) as store:
            await store.cron.record_run("morning", 1_700_000_000_000, "posted abc")

    trio.run(record)
    morning = server.json("cron", "list")["jobs"][0]
    assert (morning["last"], morning["result"]) == ("2023-11-14T22:13:20+00:00", "posted abc")


def test_a_job_from_its_first_to_its_last_day(server: Server) -> None:
    """Added, shown, changed, disabled, enabled, removed: by its id or its name, in any case."""
    added = server.json(*TEA)
    assert (added["id"], added["name"], added["source"], added["enabled"]) == ("tea", "Tea", "journal", True)
    assert (added["target"], added["text"], added["missed"], added["keepAfterRun"]) == (
        "@alice",
        "Tea is ready",
        "once",
        False,
    )
    assert added["at"] == added["next"] != ""
    assert (added["gatewayTold"], added["last"], added["result"]) == (False, "", "not run yet")
    assert server.json("cron", "show", "TEA")["at"] == added["at"]
    assert server.run("cron", "get", "tea").stdout == server.run("cron", "show", "tea", "--json").stdout
    words = ("--message", "Which tea is it today?", "--agent", "main", "--thinking", "low")
    changed = server.json("cron", "edit", "tea", "--every", "2h", *words, "--session", "session:teas")
    assert (changed["schedule"], changed["kind"], changed["text"]) == ("every 2h", "prompt", "Which tea is it today?")
    assert (changed["everyMs"], changed["conversation"], changed["thinking"]) == (7_200_000, "teas", "low")
    changed = server.json("cron", "edit", "tea", "--clear-agent", "--clear-thinking", "--timeout-seconds", "90")
    assert (changed["agent"], changed["thinking"], changed["timeoutSeconds"]) == ("", "", 90)
    assert server.json("cron", "disable", "Tea")["next"] == ""
    assert "tea (Tea) (disabled)  every 2h  -> @alice  [journal]" in server.run("cron", "list").stdout
    assert server.json("cron", "enable", "tea")["enabled"] is True
    assert server.run("cron", "rm", "tea").stdout == "removed tea\n"
    again = server.run("cron", "rm", "tea")
    assert again.exit_code == 1
    assert "there is no job tea; there are: morning, digest" in again.stderr


@pytest.mark.parametrize(
    ("words", "schedule"),
    [
        (("0 7 * * *", "Sum up"), "0 7 * * * (UTC)"),
        (("0 0 7 * * *", "Sum up", "--tz", "Europe/Berlin"), "0 7 * * * (Europe/Berlin)"),
        (("@hourly", "Sum up"), "@hourly (UTC)"),
        (("every 90s", "Sum up"), "every 1m 30s"),
        (("Evening", "--cron", "0 19 * * *", "--message", "Sum up"), "0 19 * * * (UTC)"),
        (("Evening", "Sum up", "--cron", "0 19 * * *", "--name", "Evening"), "0 19 * * * (UTC)"),
        (("--at", "2031-01-15T12:00", "--tz", "Europe/Berlin", "--message", "x"), "at 2031-01-15T11:00:00+00:00"),
        (("2031-01-15T12:00:00Z", "x"), "at 2031-01-15T12:00:00+00:00"),
    ],
)
def test_ways_to_say_when(server: Server, words: tuple[str, ...], schedule: str) -> None:
    """The time of a job is an option or the first word."""
    assert server.json("cron", "add", *words, "--to", "#town-square")["schedule"] == schedule


def test_a_new_expression_keeps_its_zone(server: Server) -> None:
    """The zone alone may change, too."""
    server.json("cron", "add", "0 7 * * *", "x", "--tz", "Europe/Berlin", "--to", "@bob", "--name", "x")
    assert server.json("cron", "edit", "x", "--cron", "0 8 * * *")["schedule"] == "0 8 * * * (Europe/Berlin)"
    assert server.json("cron", "edit", "x", "--tz", "Asia/Tokyo")["schedule"] == "0 8 * * * (Asia/Tokyo)"
    assert server.json("cron", "edit", "x", "--cron", "@daily", "--tz", "UTC")["schedule"] == "@daily (UTC)"


def test_a_text_on_standard_input(server: Server) -> None:
    """As `message send` takes it; the id is made of its first words."""
    added = server.json(
        "cron", "create", "--every", "1d", "--text", "-", "--to", "@bob", stdin="Water the plants now!\n"
    )
    assert (added["id"], added["text"]) == ("water-the-plants-now", "Water the plants now!")


@pytest.mark.parametrize(
    ("words", "code", "output"),
    [
        (("--every", "5s"), 2, "10s is the shortest"),
        (("--every", "10"), 2, "write a number with its unit"),
        (("--at", "tomorrow"), 2, "is no time: write 20m"),
        (("--at", "2020-01-01T10:00Z"), 2, "is past"),
        (("--cron", "99 * * * *"), 1, '"99" is not a minute (0-59)'),
        (("--cron", "30 0 9 * * *"), 2, "names seconds"),
        (("--cron", "@daily", "--tz", "Nowhere/Land"), 2, "not a known time zone"),
        (("--every", "1h", "--tz", "UTC"), 2, "--tz is for --cron"),
        (("--every", "1h", "--at", "1h"), 2, "two schedules"),
        ((), 2, "When? Give one of --at, --every and --cron."),
        (("@daily", "--name", "x", "--every", "1h"), 2, "the time is given by an option"),
        (("@daily", "twice"), 2, "given twice"),
        (("--every", "1h", "--to", "no such place!"), 1, "--to: "),
        (("--every", "1h", "--to", ""), 2, "Where? --to is missing"),
        (("--every", "1h", "--message", ""), 2, "What? --message asks"),
        (("--every", "1h", "--text", "also"), 1, "--message asks an agent"),
        (("--every", "1h", "--name", "two\nlines"), 1, "--name is one line"),
        (("--every", "1h", "--message", "x" * 100_001), 1, "more than 100,000 characters"),
        (("--every", "1h", "--agent", "ops"), 1, "there is no agent ops; configured: main"),
        (("--every", "1h", "--model", "play/at"), 1, "did you mean play/it?"),
        (("--every", "1h", "--account", "ops"), 1, "account ops is not configured, or can't run; usable: default"),
        (("--every", "1h", "--thinking", "ultra"), 1, "--thinking ultra: there is off, minimal, low"),
        (("--every", "1h", "--keep-after-run"), 2, "is for a job with --at"),
        (("--every", "1h", "--session", "main"), 2, "the main session and the current one are not here"),
        (("--every", "1h", "--channel", "telegram"), 2, "oc-trio speaks to Mattermost only, not to 'telegram'"),
        (("--every", "1h", "--channel", "last"), 2, "--to names the place"),
        (("--every", "1h", "--wake", "next-heartbeat"), 2, "there is no heartbeat"),
        (("--every", "1h", "--no-deliver"), 2, "There is no --no-deliver here. Every job posts"),
        (("--every", "1h", "--command", "date"), 2, "runs no commands of its own"),
        (("--every", "1h", "--webhook", "https://x"), 2, "--to names the place"),
        (("--every", "1h", "--tools", "exec"), 2, "agents.entries.<id>.tools"),
        (("--every", "1h", "--system-event", "x"), 2, "There is no main session"),
        (("--every", "1h", "--token", "x"), 2, "leave it out"),
    ],
)
def test_what_is_no_job(server: Server, words: tuple[str, ...], code: int, output: str) -> None:
    """It is refused in words, with what to write instead, and nothing is kept."""
    refused = server.run("cron", "add", "--message", "x", "--to", "@alice", *words)
    assert refused.exit_code == code, refused.output
    assert output in refused.stderr
    assert not journal(server).exists() or len(server.json("cron", "list")["jobs"]) == 2


@pytest.mark.parametrize(
    ("words", "code", "output"),
    [
        ((), 2, "Nothing is to be changed"),
        (("--agent", "main", "--clear-agent"), 2, "exclude each other"),
        (("--tz", "Europe/Berlin"), 2, "--tz is for a job with a cron expression"),
        (("--tz", "Nowhere/Land"), 2, "not a known time zone"),
        (("--agent", "main"), 1, "--agent is for --message"),
        (("--clear-to",), 2, "Every job has a place"),
        (("--failure-alert",), 2, "oc-trio cron runs"),
    ],
)
def test_what_is_no_change(server: Server, words: tuple[str, ...], code: int, output: str) -> None:
    """The job stays as it was."""
    before = server.json(*TEA)
    refused = server.run("cron", "edit", "tea", *words)
    assert refused.exit_code == code, refused.output
    assert output in refused.stderr
    assert server.json("cron", "show", "tea") == {key: before[key] for key in before if key != "gatewayTold"}


@pytest.mark.parametrize("what", ["edit", "rm", "enable", "disable"])
def test_a_job_of_the_file_is_changed_there(server: Server, what: str) -> None:
    """The refusal names its key and the file."""
    refused = server.run("cron", what, "morning", *(("--every", "1h") if what == "edit" else ()))
    assert refused.exit_code == 1
    assert f"cron.jobs.morning in {server.config}" in refused.stderr
    assert "then `oc-trio reload`" in refused.stderr


def test_a_name_that_two_jobs_have(server: Server) -> None:
    """Both are kept, and a command wants the id of one."""
    server.json(*TEA)
    assert server.json(*TEA)["id"] == "tea-2"
    server.json("cron", "edit", "tea", "--name", "Green tea")
    server.json("cron", "edit", "tea-2", "--name", "green TEA")
    refused = server.run("cron", "rm", "Green Tea")
    assert refused.exit_code == 1
    assert "several jobs are called Green Tea: tea, tea-2" in refused.stderr


def test_why_a_job_can_not_run(server: Server) -> None:
    """The configuration has changed since: the list says so, and the job can be disabled all the same."""
    server.json("cron", "add", "--every", "1h", "--message", "x", "--to", "@bob", "--model", "play/it", "--name", "x")
    server.write_config(JOBS.replace('"it"', '"at"').replace("play/it", "play/at"))
    [*_, job] = server.json("cron", "list")["jobs"]
    assert (job["next"], job["problem"]) == ("", "there is no model play/it here; did you mean play/at?")
    assert "there is no model play/it here" in server.run("cron", "list").stdout
    assert server.run("cron", "enable", "x").exit_code == 1
    assert server.run("cron", "disable", "x").exit_code == 0


def test_the_history(server: Server) -> None:
    """What was posted where, or why not: newest first, for people and for machines."""
    server.json(*TEA)

    async def record() -> None:
        async with open_store(journal(server), exclusive=False) as store:
            await fill(store)

    async def fill(store: Store) -> None:
        for at in (1_700_000_000_000, 1_700_000_060_000):
            run = evolve(scheduled_run("morning", AccountId("default"), at), ran_at=at, ended_at=at + 1000)
            await store.cron_runs.record(
                evolve(run, state=RunState.DELIVERED, posts=(PostId("p1"),), channel_id=ChannelId("c1"))
                if at == 1_700_000_000_000
                else evolve(run, state=RunState.FAILED, reason="There is no channel \x1b[31mnowhere.")
            )

    trio.run(record)
    [failed, posted] = server.json("cron", "runs")["runs"]
    assert posted == {
        "id": "cron.morning.1700000000000",
        "job": "morning",
        "name": "morning",
        "due": "2023-11-14T22:13:20+00:00",
        "ran": "2023-11-14T22:13:20+00:00",
        "ended": "2023-11-14T22:13:21+00:00",
        "byHand": False,
        "state": "delivered",
        "account": "default",
        "channelId": "c1",
        "postIds": ["p1"],
        "reason": "",
        "trigger": "cron:morning:1700000000000",
    }
    assert (failed["state"], failed["postIds"]) == ("failed", [])
    assert server.json("cron", "runs", "Morning", "--limit", "1")["runs"] == [failed]
    assert server.json("cron", "runs", "--id", "morning", "--status", "ok")["runs"] == [posted]
    assert server.json("cron", "runs", "--run-id", posted["id"])["runs"] == [posted]
    assert server.run("cron", "runs", "tea").stdout == "no runs of tea\n"
    lines = server.run("cron", "runs").stdout.splitlines()
    assert lines[1].split(maxsplit=3)[3] == "failed: There is no channel \\x1b[31mnowhere."
    assert lines[2].split() == ["2023-11-14", "22:13:20", "morning", "posted", "p1", "in", "c1"]
    listed = server.json("cron", "list")["jobs"][0]
    assert listed["result"].startswith("failed: There is no channel")
    nobody = server.run("cron", "runs", "evening")
    assert nobody.exit_code == 1
    assert "there is no job evening" in nobody.stderr


def test_run_a_message_now(server: Server) -> None:
    """The text is posted at once, and the history has it."""
    output = server.json("cron", "run", "morning")
    assert (output["ok"], output["by"], output["state"]) == (True, "command", "delivered")
    assert server.texts()[-1] == "Good morning"
    [run] = server.json("cron", "runs", "morning")["runs"]
    assert (run["byHand"], run["postIds"], run["channelId"]) == (True, output["postIds"], server.demo.town_square.id)


def test_run_a_prompt_now(server: Server) -> None:
    """The agent is asked from here, and its answer posted."""
    assert "posted in " in server.run("cron", "run", "digest").stdout
    assert server.texts(server.world.direct(server.demo.alice, server.demo.bot)) == ["a digest"]


def test_run_one_that_was_added(server: Server) -> None:
    """Its own time stays as it is."""
    at = server.json(*TEA)["at"]
    assert server.json("cron", "run", "tea")["ok"] is True
    assert server.texts(server.world.direct(server.demo.alice, server.demo.bot)) == ["Tea is ready"]
    assert server.json("cron", "show", "tea")["next"] == at


def test_a_run_that_fails(server: Server) -> None:
    """The reason of a failed run is printed, and is in the history too."""
    server.json("cron", "add", "--every", "1h", "--text", "x", "--to", "#nowhere", "--name", "lost")
    output = server.json("cron", "run", "lost", code=1)
    assert output["ok"] is False
    assert output["problems"][0].startswith("There is no channel nowhere")
    [run] = server.json("cron", "runs", "lost")["runs"]
    assert (run["state"], run["reason"]) == ("failed", output["problems"][0])


def test_an_unknown_job(server: Server) -> None:
    """The error names those that there are."""
    refused = server.run("cron", "run", "evening")
    assert refused.exit_code == 1
    assert "there is no job evening; there are: morning, digest" in refused.stderr


def test_a_missed_job_is_next(server: Server) -> None:
    """What runs once and was missed is due when a gateway runs."""

    async def add() -> None:
        from oc_trio.core.cron_jobs import Missed, Once, ScheduledJob

        now = time.time_ns() // 1_000_000
        (server.config.parent / "state").mkdir()
        job = ScheduledJob("late", Once(now - 60_000), "@bob", text="x", missed=Missed.ONCE)
        async with open_store(journal(server)) as store:
            await store.cron_jobs.add(job, now - 120_000)

    trio.run(add)
    [*_, job] = server.json("cron", "list")["jobs"]
    assert job["next"] == job["at"]
    refused = server.run("cron", "edit", "late", "--text", "y")
    assert refused.exit_code == 1
    assert "is past" in refused.stderr
