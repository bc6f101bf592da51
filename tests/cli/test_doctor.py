"""`oc-trio doctor` where everything works, and with each part failing."""

import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import trio

from oc_trio.runtime.operator.checks.state import space_level
from oc_trio.runtime.operator.findings import Level
from oc_trio.runtime.process.locations import JOURNAL
from oc_trio.store.store import open_store
from tests.cli.sandbox_server import MODEL, Server, a_server


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    monkeypatch.setenv("STATE_DIRECTORY", str(state))
    with a_server(tmp_path) as running:
        running.has_buttons = False
        running.write_config(MODEL)
        yield running


async def _make(location: Path) -> None:
    async with open_store(location):
        pass


def found(server: Server, code: int = 0) -> dict[str, list[tuple[str, str]]]:
    """What was found, by subject: level, and text with what to do."""
    rows: dict[str, list[tuple[str, str]]] = {}
    for row in server.json("doctor", code=code):
        text = f"{row['text']}: {row['fix']}" if row["fix"] else row["text"]
        rows.setdefault(row["subject"], []).append((row["level"], text))
    return rows


def test_all_is_well(server: Server, tmp_path: Path) -> None:
    """Every part is looked at and named."""
    trio.run(_make, tmp_path / "state" / JOURNAL)
    rows = found(server)
    assert rows["account default"] == [
        ("ok", f"@bot at {server.url}, in 1 team and 2 channels (demo/town-square, demo/off-topic)")
    ]
    assert rows["journal"][0][1].startswith("sqlite, 0.")
    assert rows["state directory"] == [("ok", str(tmp_path / "state"))]
    text = server.run("doctor").stdout
    assert f"ok      account default: @bot at {server.url}" in text
    assert server.demo.bot.token not in text


def test_a_row_that_can_not_be_read(server: Server, tmp_path: Path) -> None:
    """SQLite finds nothing wrong with it; it is named all the same."""
    journal = tmp_path / "state" / JOURNAL
    trio.run(_make, journal)
    with closing(sqlite3.connect(journal)) as connection, connection:
        connection.execute(
            "INSERT INTO transcripts (session, generation, turn, entry, at) VALUES ('s', 0, 't', '{\"role\": \"us', 1)"
        )
    ((level, text),) = found(server, code=1)["journal"]
    assert (level, text) == (
        "failed",
        "is damaged: transcripts, serial 1: entry is no JSON: stop the gateway and restore a backup",
    )


def test_two_accounts_want_the_same_slash_commands(server: Server, tmp_path: Path) -> None:
    """The second of the configuration is told what it has to do without, and what to do."""
    world, team = server.world, server.demo.team
    tokens = [world.create_bot(name, team=team, admin=True).token for name in ("zoe", "adam")]
    native = f"[channels.mattermost.commands]\nnative = true\n[gateway]\nport = 0\n{MODEL}"
    server.write_config(native, zoe=tokens[0], adam=tokens[1])
    team.roles[server.demo.bot.id] = "team_user team_admin"
    rows = found(server)
    assert [level for level, _ in rows["slash commands of default"]] == ["ok"]
    for name in ("zoe", "adam"):
        (level, text), (arrives, _) = rows[f"slash commands of {name}"]
        assert (level, arrives) == ("warning", "ok")
        assert text == (
            f"/oc_status, /oc_model, /oc_models and 7 more in team {team.name}: account default has them: set "
            "commands.prefix for this account to have its own"
        )


def test_an_account_that_is_switched_off(server: Server) -> None:
    """It is named, and is no fault."""
    server.write_config(f"{MODEL}[channels.mattermost.accounts.idle]\nenabled = false\n")
    assert found(server)["account idle"] == [("ok", "is switched off: enabled = false")]


def test_before_the_first_start(server: Server, tmp_path: Path) -> None:
    """What isn't there yet is no fault, and isn't made."""
    (tmp_path / "state").rmdir()
    rows = found(server)
    assert rows["state directory"][0][0] == "ok"
    assert rows["journal"] == [("ok", "will be made at the first start")]
    assert not (tmp_path / "state").exists()


def test_others_may_look(server: Server, tmp_path: Path) -> None:
    """A state directory open to other users is a warning, with the way to close it."""
    (tmp_path / "state").chmod(0o755)
    ((level, text),) = found(server)["state directory"]
    assert level == "warning"
    assert text.endswith(f"(755): chmod 700 {tmp_path / 'state'}")
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o755


def test_others_may_write(server: Server, tmp_path: Path) -> None:
    """A state directory that a start refuses fails, in the same words."""
    state = tmp_path / "state"
    state.chmod(0o707)
    rows = found(server, code=1)
    assert rows["state directory"][0][0] == "failed"
    assert rows["state directory"][0][1].endswith(f"(707): chmod 700 {state}")
    state.chmod(0o700)
    (state / JOURNAL).symlink_to("elsewhere")
    assert "holds links" in found(server, code=1)["state directory"][0][1]


def test_a_state_that_can_not_be_looked_at(server: Server, tmp_path: Path) -> None:
    """Another user's, say: told in words, and the rest is looked at all the same."""
    (tmp_path / "state").rmdir()
    (tmp_path / "state").symlink_to("x" * 300)
    rows = found(server, code=1)
    for subject in ("state directory", "journal"):
        ((level, text),) = rows[subject]
        assert (level, "File name too long" in text) == ("failed", True)
    assert rows["account default"][0][0] == "ok"


ROOM = [(0, Level.FAILED), (1_048_576, Level.FAILED), (50 * 1_048_576, Level.WARNING), (2**40, Level.OK)]


@pytest.mark.parametrize(("free", "level"), ROOM)
def test_room_on_the_disk(free: int, level: Level) -> None:
    """On a full disk nobody is answered: it is told before, and never called well."""
    assert space_level(free) is level


def test_a_damaged_journal(server: Server, tmp_path: Path) -> None:
    """A file that is no journal fails the examination, in words."""
    (tmp_path / "state" / JOURNAL).write_bytes(b"not a database" * 100)
    ((level, text),) = found(server, code=1)["journal"]
    assert level == "failed"
    assert "Traceback" not in text


def test_a_newer_journal(server: Server, tmp_path: Path) -> None:
    """A journal of a later release is not touched."""
    location = tmp_path / "state" / JOURNAL
    trio.run(_make, location)
    with sqlite3.connect(location) as connection:
        connection.execute("INSERT INTO schema_version (version) VALUES (999)")
    connection.close()
    assert "newer release" in found(server, code=1)["journal"][0][1]


def test_servers_and_tokens(server: Server) -> None:
    """One refused token and one unreachable model are told apart from what is well."""
    model = '[models.providers.local]\nbaseUrl = "http://127.0.0.1:1/v1"\nmodels = ["m"]\n'
    server.write_config(MODEL + model, alerts="not-a-token-of-anyone")
    rows = found(server, code=1)
    assert rows["account default"][0][0] == "ok"
    assert rows["account alerts"][0][0] == "failed"
    assert rows["account alerts"][0][1].startswith(server.url)
    assert rows["model provider local"][0][0] == "failed"
    assert "http://127.0.0.1:1/v1 can't be reached" in rows["model provider local"][0][1]


def test_a_configuration_that_can_not_be_used(server: Server) -> None:
    """Each problem is a finding, too, for programs; nothing else is checked."""
    server.config.write_text("[channels.mattermost]\nbaseUrl = 3\n[gateway]\nportt = 1\n")
    rows = server.json("doctor", code=78)
    assert {(row["code"], row["level"]) for row in rows} == {("config.error", "failed")}
    assert any("portt" in row["text"] and row["fix"] for row in rows)


def test_an_account_that_is_left_out(server: Server) -> None:
    """The others are checked all the same."""
    server.write_config(f'[channels.mattermost.accounts.bad]\nbotTokenFile = "/nonexistent"\n{MODEL}')
    ((level, text),) = found(server, code=1)["account bad"]
    assert (level, "/nonexistent" in text) == ("failed", True)


def test_a_token_of_a_person(server: Server) -> None:
    """It works, and is no good idea."""
    token = server.world.users.create_token(server.demo.alice.id).token
    server.write_config(MODEL, alerts=token)
    assert found(server)["account alerts"][1][1].startswith("the token is a person's, not a bot account's: make a bot")


def test_a_server_that_is_not_there(server: Server) -> None:
    """What a start would say, and what to try."""
    server.config.write_text(server.config.read_text().replace(server.url, "http://127.0.0.2:1"))
    ((level, text),) = found(server, code=1)["account default"]
    assert level == "failed"
    assert "`curl http://127.0.0.2:1/api/v4/system/ping` from this machine must say OK" in text


@pytest.mark.slow
@pytest.mark.parametrize("wrong", ["{url}/demo/channels/town-square", "https://{host}"])
def test_an_address_that_is_not_quite_right(server: Server, wrong: str) -> None:
    """Where Mattermost answers is found, and named."""
    address = wrong.format(url=server.url, host=server.url.removeprefix("http://"))
    server.config.write_text(server.config.read_text().replace(server.url, address))
    row = next(one for one in server.json("doctor", code=1) if one["subject"] == "account default")
    assert (row["code"], row["level"]) == ("server.address", "failed")
    assert row["fix"].startswith(f'if that is your server, set baseUrl = "{server.url}", where a Mattermost answers')
    assert ("without TLS" in row["fix"]) is address.startswith("https")


def test_no_model(server: Server) -> None:
    """A start would fail with the same words."""
    server.write_config()
    ((level, text),) = found(server, code=1)["models"]
    assert (level, "no model is configured" in text) == ("failed", True)


def test_a_bot_in_no_team(server: Server) -> None:
    """A bot that nobody can reach is a warning."""
    lonely = server.world.create_bot("lonely")
    server.write_config(MODEL, alerts=lonely.token)
    assert [level for level, _ in found(server)["account alerts"]] == ["ok", "warning"]


def test_scheduled_jobs(server: Server) -> None:
    """What can't run is named with what to do, and so is a last run that failed; disabled jobs are left alone."""
    cron = '[cron.jobs.{0}]\nexpression = "@daily"\ntarget = "#{1}"\nmessage = "x"\n'
    server.write_config(MODEL + cron.format("fine", "town-square") + cron.format("lost", "nowhere"))
    assert found(server)["scheduled jobs"] == [("ok", "2 can run")]
    add = ("cron", "add", "--every", "1d", "--message", "x", "--to", "@alice", "--agent", "main")
    server.json(*add, "--name", "ask")
    server.json(*add, "--name", "off", "--disabled")
    server.json("cron", "run", "lost", code=1)
    other = '[agents.entries.other]\nname = "Other"\n'
    server.write_config(MODEL + cron.format("fine", "town-square") + cron.format("lost", "nowhere") + other)
    rows = found(server)
    assert rows["scheduled jobs"] == [("ok", "1 can run")]
    ((level, text),) = rows["job ask"]
    assert (level, text.partition(":")[0]) == ("warning", "there is no agent main; configured")
    assert "`oc-trio cron edit ask`" in text
    ((level, text),) = rows["job lost"]
    assert (level, text.partition(".")[0].partition(" in any")[0]) == (
        "warning",
        "its last run failed: There is no channel nowhere",
    )
    assert "job off" not in rows
