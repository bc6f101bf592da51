"""`oc-trio config` as its users see it."""

import json
import stat
from pathlib import Path

import pytest
import tomli
from click.testing import CliRunner, Result

from oc_trio.cli.config import command
from oc_trio.cli.exits import EX_CONFIG
from oc_trio.config import paths

OPENCLAW = """{
  plugins: {}, // not ours
  agents: { defaults: { model: "local/q", workspace: "~/w" }, list: [{ id: "ops", default: true }] },
  models: { providers: { local: { baseUrl: "http://127.0.0.1/v1", apiKey: "${OPENAI_API_KEY}" } } },
  channels: { telegram: { botToken: "s3cret-t" }, mattermost: {
    botToken: "s3cret-m", baseUrl: "https://chat.example.com", streaming: "block", groupAllowFrom: ["*"],
    accounts: { alerts: { botToken: "s3cret-a" } },
  } },
}"""


@pytest.fixture
def openclaw(tmp_path: Path) -> Path:
    file = tmp_path / "openclaw.json"
    file.write_text(OPENCLAW)
    return file


def run(*arguments: str | Path, **env: str) -> Result:
    base: dict[str, str | None] = {"MATTERMOST_BOT_TOKEN": None, "MATTERMOST_URL": None, "OC_TRIO_CONFIG": None}
    return CliRunner().invoke(command, [str(word) for word in arguments], env={**base, **env})


def test_check_accepts_an_openclaw_file(openclaw: Path) -> None:
    """The file is read as it is; foreign sections are listed once."""
    done = run("check", "--config", openclaw, OPENAI_API_KEY="k")
    assert done.exit_code == 0, done.stderr
    assert "alerts (https://chat.example.com), default (https://chat.example.com)" in done.stdout
    assert done.stderr.count("ignored") == 1
    assert "plugins, channels.telegram" in done.stderr
    assert "s3cret" not in done.output


def test_check_names_every_problem(tmp_path: Path) -> None:
    """Problems go to stderr, the exit code is 78, and --json carries the same."""
    file = tmp_path / "c.toml"
    file.write_text("[channels.mattermost]\nbotToken = 's3cret'\ndmPolcy = 1\n[gateway]\nport = 'x'\n")
    done = run("check", "--config", file)
    assert done.exit_code == EX_CONFIG
    assert "The configuration has 4 problems" in done.stderr
    assert "agents.defaults.model: no model is configured" in done.stderr
    assert f"{file}:3: channels.mattermost.dmPolcy" in done.stderr
    listed = json.loads(run("check", "--json", "--config", file).stdout)
    assert [problem["path"] for problem in listed["problems"]] == [
        "channels.mattermost.dmPolcy",
        "gateway.port",
        "agents.defaults.model",
        "channels.mattermost.baseUrl",
    ]
    assert "s3cret" not in done.output


def test_check_names_accounts_that_are_switched_off(tmp_path: Path) -> None:
    """Somebody who wonders why a bot is silent sees it at once."""
    file = tmp_path / "c.toml"
    file.write_text(
        '[agents.defaults]\nmodel = "ollama/qwen3"\n'
        '[channels.mattermost.accounts.a]\nbaseUrl = "https://a.example.com"\nbotTokenFile = "token"\n'
        "[channels.mattermost.accounts.b]\nenabled = false\n"
    )
    (tmp_path / "token").write_text("t" * 26)
    (tmp_path / "token").chmod(0o600)
    done = run("check", "--config", file)
    assert done.stdout.endswith("fine; a (https://a.example.com); switched off (enabled = false): b\n"), done.output


def test_show_origin(openclaw: Path) -> None:
    """Each value in effect is shown with the place it comes from, secrets hidden."""
    done = run("show", "--origin", "--config", openclaw, OPENAI_API_KEY="k")
    lines = dict(line.split(" = ", 1) for line in done.stdout.splitlines())
    alerts = "channels.mattermost.accounts.alerts"
    assert lines[f"{alerts}.streaming.mode"] == f'"block"   # {openclaw}:6 channels.mattermost.streaming.mode'
    assert lines[f"{alerts}.botToken"] == f'"***"   # {openclaw}:7 {alerts}.botToken'
    assert lines[f"{alerts}.dmPolicy"] == '"pairing"   # default'
    assert lines["models.providers.local.apiKey"].endswith("read from env OPENAI_API_KEY")
    assert "s3cret" not in done.output


def test_show_hides_what_addresses_hold(tmp_path: Path) -> None:
    """Some providers take their key in the query; names of the query stay, for they are what one looks for."""
    file = tmp_path / "c.toml"
    file.write_text(
        "[channels.mattermost]\nbotToken = 's3cret'\nbaseUrl = 'https://chat.example.com'\n"
        "commands.callbackUrl = 'https://u:s3cret-p@gw.example.com/c?s3cret'\n"
        "[models.providers.x]\napi = 'openai-completions'\nmodels = ['m']\n"
        "baseUrl = 'https://llm.example.com/v1?api-version=s3cret-v&key=s3cret-k'\n"
        "[mcp.servers.s]\nurl = 'https://tools.example.com/mcp?token=s3cret-t#s3cret-f'\n"
    )
    for as_json in ((), ("--json",)):
        done = run("show", *as_json, "--config", file)
        assert done.exit_code == 0, done.stderr
        assert "s3cret" not in done.output
        assert '"https://llm.example.com/v1?api-version=***&key=***"' in done.stdout
        assert '"https://tools.example.com/mcp?token=***"' in done.stdout
        assert '"https://***@gw.example.com/c?***"' in done.stdout


@pytest.mark.parametrize(("mode", "is_told"), [(0o600, False), (0o664, False), (0o606, True), (0o666, True)])
def test_check_warns_of_a_file_that_all_may_write(openclaw: Path, mode: int, is_told: bool) -> None:
    """A file that everybody may write is warned of: it names programs that the gateway starts."""
    openclaw.chmod(mode)
    done = run("check", "--config", openclaw, OPENAI_API_KEY="k")
    assert done.exit_code == 0
    assert (f"{openclaw}: can be written by every user of this machine (mode {mode:04o})" in done.stderr) is is_told


def test_show_names_environment_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value from the environment says so."""
    monkeypatch.chdir(tmp_path)
    done = run("show", "--origin", MATTERMOST_BOT_TOKEN="s3cret", MATTERMOST_URL="https://x", XDG_CONFIG_HOME="/none")
    assert 'channels.mattermost.accounts.default.botToken = "***"   # env MATTERMOST_BOT_TOKEN' in done.stdout
    assert 'channels.mattermost.accounts.default.baseUrl = "https://x"   # env MATTERMOST_URL' in done.stdout


def test_show_as_json(openclaw: Path) -> None:
    """--json gives path and value."""
    shown = json.loads(run("show", "--json", "--config", openclaw, OPENAI_API_KEY="k").stdout)
    assert shown["gateway.port"] == 18789
    assert shown["channels.mattermost.accounts.default.catchup.maxAgeHours"] == 24


def test_import_hides_secrets_on_standard_output(openclaw: Path, tmp_path: Path) -> None:
    """The translation is TOML that loads, once the named variables are set."""
    done = run("import", openclaw)
    assert done.exit_code == 0
    assert "s3cret" not in done.output
    made = tmp_path / "made.toml"
    made.write_text(done.stdout)
    secrets = {"MATTERMOST_BOT_TOKEN": "1", "MATTERMOST_ALERTS_BOT_TOKEN": "2", "OPENAI_API_KEY": "3"}
    assert all(name in done.output for name in secrets)
    checked = run("check", "--config", made, **secrets)
    assert (checked.exit_code, checked.stderr) == (0, "")


def test_import_to_a_file_keeps_secrets_private(openclaw: Path, tmp_path: Path) -> None:
    """The file is new, holds the secrets, and only its owner can read it."""
    made = tmp_path / "made.toml"
    assert run("import", openclaw, "--output", made).exit_code == 0
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert tomli.loads(made.read_text())["channels"]["mattermost"]["botToken"] == "s3cret-m"
    assert run("import", openclaw, "--output", made).exit_code == 1
    assert run("check", "--config", made, OPENAI_API_KEY="3").exit_code == 0


def test_schema_and_reference() -> None:
    """Both are printed as they are generated."""
    assert json.loads(run("schema").stdout)["title"] == "oc-trio configuration"
    assert run("reference").stdout.startswith("# Configuration reference")


READABLE = [
    ('[channels.mattermost]\nbaseUrl = "https://c.example.com"\nbotToken = "s3cret"\n', "channels.mattermost.botToken"),
    ('[hooks]\ntoken = "s3cret-of-hooks"\n', "hooks.token"),
    ('[models.providers.m]\nbaseUrl = "http://m/v1"\napiKey = "s3cret"\n', "models.providers.m.apiKey"),
    (
        '[models.providers.m]\nbaseUrl = "http://m/v1"\nheaders.Cookie = "s3cret"\n',
        "m.headers.Cookie",
    ),
    ('[store]\nurl = "postgresql://oc:s3cret@db/oc"\n', "store.url"),
    ('[models.providers.m]\nbaseUrl = "http://m/v1"\nheaders = { X-Team = "blue" }\napiKey = "none"\n', ""),
    ('[store]\nurl = "postgresql://oc@db/oc"\n', ""),
    ('[hooks]\ntoken = { source = "env", id = "HOOK_TOKEN" }\n', ""),
]


@pytest.mark.parametrize(("text", "key"), READABLE)
def test_check_warns_of_a_secret_that_others_can_read(tmp_path: Path, text: str, key: str) -> None:
    """The key is named and not the value; a file for its owner alone, or without secrets, is fine."""
    file = tmp_path / "c.toml"
    if "[channels" not in text:
        text += '[channels.mattermost]\nbaseUrl = "https://c.example.com"\n'
    text += '[agents.defaults]\nmodel = "ollama/qwen3"\n'
    file.write_text(text)
    env = {"MATTERMOST_BOT_TOKEN": "t", "HOOK_TOKEN": "of-the-environment"}
    for mode in (0o644, 0o640):
        file.chmod(mode)
        done = run("check", "--config", file, **env)
        assert done.exit_code == 0, done.stderr
        assert ("can be read by others" in done.stderr) is bool(key)
        assert key in done.stderr
        assert "s3cret" not in done.output
    file.chmod(0o600)
    assert "can be read by others" not in run("check", "--config", file, **env).stderr


def test_check_says_that_a_start_needs_a_model(tmp_path: Path) -> None:
    """A configuration with which nobody could be answered is not fine."""
    file = tmp_path / "openclaw.json"
    file.write_text('{\n channels: { mattermost: { baseUrl: "https://c.example.com" } },\n agents: { defaults: {} } }')
    done = run("check", "--config", file, MATTERMOST_BOT_TOKEN="t")
    assert done.exit_code == EX_CONFIG
    assert f"{file}:3: agents.defaults.model: no model is configured" in done.stderr


def test_check_names_the_places_where_there_is_no_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what to type where an openclaw.json lies in one of OpenClaw's places."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "openclaw.json").write_text("{}")
    done = run("check", HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path / "xdg"))
    assert done.exit_code == EX_CONFIG
    looked = f"{tmp_path}/oc-trio.toml, {tmp_path}/xdg/oc-trio/config.toml, {paths.SYSTEM_CONFIG}"
    assert (
        f"no file was found; looked for {looked} (to use OpenClaw's: --config {tmp_path}/openclaw.json)" in done.stderr
    )
