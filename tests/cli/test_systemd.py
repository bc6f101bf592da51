"""The printed unit: what systemd thinks of it, and what it takes from the configuration."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from oc_trio.cli.main import main
from oc_trio.cli.systemd import STOP_MARGIN_SECONDS, own_command, unit
from oc_trio.config import service_files
from oc_trio.config.load import load
from oc_trio.config.service_files import Credential

CONFIG = """
[channels.mattermost]
baseUrl = "https://chat.example.com"
[channels.mattermost.accounts.alerts]
[channels.mattermost.accounts.named]
botToken = "not-in-the-unit"
[gateway]
drainSeconds = 90
"""


def printed(folder: Path, *words: str) -> str:
    (folder / "my config.toml").write_text(CONFIG)
    done = CliRunner().invoke(main, ["systemd", "print", "--config", str(folder / "my config.toml"), *words])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_what_comes_from_the_configuration(tmp_path: Path) -> None:
    """The stop outlasts the drain, the path is quoted, tokens come by LoadCredential where the file has none."""
    lines = printed(tmp_path).splitlines()
    assert f"TimeoutStopSec={90 + STOP_MARGIN_SECONDS}" in lines
    assert any(
        line.startswith("ExecStart=") and line.endswith(f"--config '{tmp_path}/my config.toml'") for line in lines
    )
    assert "LoadCredential=bot-token.alerts:/etc/oc-trio/bot-token.alerts" in lines
    assert not any("named" in line or "not-in-the-unit" in line for line in lines)
    assert "Type=notify" in lines
    assert "StateDirectory=oc-trio" in lines


def test_a_unit_for_the_user(tmp_path: Path) -> None:
    """The user's own manager can neither change users nor harden as the system's does."""
    text = printed(tmp_path, "--user")
    assert "WantedBy=default.target" in text
    assert "DynamicUser" not in text


def test_specifiers_are_escaped() -> None:
    """% and $ in a path stay what they are."""
    text = unit(("/opt/100%/oc-trio",), Path("/etc/$x.toml"), 30, [Credential("a", "key", "/etc/100%/a")])
    assert "ExecStart=/opt/100%%/oc-trio run --config '/etc/$$x.toml'" in text
    assert "ExecReload=/opt/100%%/oc-trio reload --config '/etc/$$x.toml'" in text
    assert "LoadCredential=a:/etc/100%%/a" in text


def test_quotes_and_backslashes_are_escaped() -> None:
    """As systemd reads them: it takes a backslash for an escape within quotes, too."""
    text = unit(("/opt/it's/oc-trio",), Path("/etc/a\\b.toml"), 30, [])
    assert r"ExecStart='/opt/it\x27s/oc-trio' run --config '/etc/a\\b.toml'" in text


def test_a_line_break_never_becomes_a_line_of_the_unit(tmp_path: Path) -> None:
    """In a path it is refused, in the name of a key it is left out: it could hold a command for root."""
    folder = tmp_path / "a\nExecStartPre=+touch x"
    folder.mkdir()
    (folder / "config.toml").write_text(CONFIG)
    words = ["systemd", "print", "--program", "/bin/true", "--config"]
    done = CliRunner().invoke(main, [*words, str(folder / "config.toml")])
    assert (done.exit_code, done.stdout) == (78, "")
    assert "a?ExecStartPre=+touch x/config.toml: a unit can't name a path with a line break in it" in done.stderr
    provider = '[models.providers."x\\nExecStartPre=+touch x"]\nbaseUrl = "http://127.0.0.1:1/v1"\napiKeyFile = "k"\n'
    (tmp_path / "config.toml").write_text(CONFIG + provider)
    done = CliRunner().invoke(main, [*words, str(tmp_path / "config.toml")])
    assert done.exit_code == 0, done.output
    assert not [line for line in done.stdout.splitlines() if line.startswith("ExecStartPre")]


@pytest.mark.parametrize("scope", ["system", "user"])
def test_systemd_accepts_it(tmp_path: Path, scope: str) -> None:
    """`systemd-analyze verify` finds nothing to say, whichever manager the unit is for."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not here")
    file = tmp_path / "oc-trio.service"
    words = ["--user"] if scope == "user" else []
    file.write_text(printed(tmp_path, *words).replace(own_command()[0], sys.executable))
    env = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)}
    command = ["systemd-analyze", f"--{scope}", "verify", "--man=no", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    ours = [line for line in done.stderr.splitlines() if "oc-trio.service" in line]
    assert (done.returncode, ours) == (0, []), done.stderr


@pytest.mark.slow
def test_the_system_unit_is_hardened(tmp_path: Path) -> None:
    """By systemd's own measure, where 10 is none and 1.5 is "OK" with room below."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not here")
    file = tmp_path / "oc-trio.service"
    file.write_text(printed(tmp_path, "--program", "/bin/true"))
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=15", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-300:] + done.stderr


SECRETS = """
[channels.mattermost]
baseUrl = "https://chat.example.com"
botTokenFile = "bot-token"
[channels.mattermost.accounts.alerts]
botToken = { source = "env", id = "ALERTS_TOKEN" }
[channels.mattermost.accounts.off]
enabled = false
[models.providers.local]
api = "openai-completions"
baseUrl = "http://127.0.0.1:11434/v1"
apiKeyFile = "keys/local"
headers = { X-Team = { source = "env", id = "TEAM_KEY" } }
models = ["qwen3"]
[agents.defaults]
model = "openai/gpt-5-mini"
[hooks]
enabled = true
token = { source = "file", path = "/srv/hook" }
"""


LOCAL_MODEL = """
[channels.mattermost]
baseUrl = "https://chat.example.com"
botTokenFile = "bot-token"
[agents.defaults]
model = "ollama/a"
"""


@pytest.fixture
def service(tmp_path: Path) -> Path:
    """A configuration with a secret of each kind, in a folder that a service may read."""
    folder = tmp_path / "etc"
    folder.mkdir(mode=0o755)
    root = os.environ.get("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    for part in (tmp_path, *tmp_path.parents):
        if part.owner() == Path.home().owner() and part.is_relative_to(root):
            part.chmod(part.stat().st_mode | 0o011)
    (folder / "config.toml").write_text(SECRETS)
    (folder / "keys").mkdir()
    for name in ("bot-token", "keys/local"):
        (folder / name).write_text(f"secret-of-{name.replace('/', '-')}\n")
        (folder / name).chmod(0o600)
    return folder


def passed(text: str) -> dict[str, str]:
    """The credentials of a unit, by name."""
    lines = [line.partition("=")[2] for line in text.splitlines() if line.startswith("LoadCredential=")]
    return {name: path for name, _, path in (line.partition(":") for line in lines)}


def test_every_secret_of_the_configuration_is_passed_in(service: Path, tmp_path: Path) -> None:
    """As systemd copies them, the service reads all of them, with neither the files nor the variables at hand."""
    config = service / "config.toml"
    done = CliRunner().invoke(main, ["systemd", "print", "--program", "/bin/true", "--config", str(config)])
    credentials = passed(done.stdout)
    by_path = {path: name for name, path in credentials.items()}
    assert set(by_path) == {
        *(str(service / name) for name in ("bot-token", "keys/local")),
        "/srv/hook",
        *(f"/etc/oc-trio/{name}" for name in ("ALERTS_TOKEN", "TEAM_KEY", "OPENAI_API_KEY")),
    }
    folder = tmp_path / "credentials"
    folder.mkdir()
    for path, name in by_path.items():
        (folder / name).write_text(f"value-of-{Path(path).name}\n")
    for name in ("bot-token", "keys/local"):
        (service / name).unlink()
    loaded = load(str(config), {"CREDENTIALS_DIRECTORY": str(folder), "HOME": str(tmp_path)})
    tokens = {str(name): account.bot_token.reveal() for name, account in loaded.accounts.items()}
    assert tokens == {"default": "value-of-bot-token", "alerts": "value-of-ALERTS_TOKEN"}
    providers = loaded.config.models.providers
    assert providers["local"].api_key.reveal() == "value-of-local"
    assert providers["local"].headers["X-Team"].reveal() == "value-of-TEAM_KEY"
    assert providers["openai"].api_key.reveal() == "value-of-OPENAI_API_KEY"
    assert loaded.config.hooks.token.reveal() == "value-of-hook"


def test_what_the_hardening_hides_is_named(tmp_path: Path) -> None:
    """With the key that names it, and what to do."""
    config = tmp_path / "config.toml"
    config.write_text(
        CONFIG
        + 'tls = { certFile = "/tmp/c.pem", keyFile = "/tmp/k.pem" }\n'
        + '[agents.defaults]\nworkspace = "/home/me/agents"\n'
    )
    config.chmod(0o600)
    done = CliRunner().invoke(main, ["systemd", "print", "--program", "/bin/true", "--config", str(config)])
    assert done.exit_code == 0, done.output
    assert "agents.defaults.workspace: /home/me/agents is hidden from the service (ProtectHome)" in done.stderr
    assert "gateway.tls.certFile: /tmp/c.pem is hidden from the service (PrivateTmp)" in done.stderr


class TestInstall:
    """`oc-trio systemd install`, into a folder of the test's."""

    @pytest.fixture(autouse=True)
    def _tmp_is_not_hidden(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The service of these tests may read what is below /tmp."""
        monkeypatch.setattr(service_files, "TEMPORARY", ())

    def run(self, folder: Path, *options: str, **environ: str) -> tuple[int, str]:
        (folder / "units").mkdir(exist_ok=True)
        words = ["--units", str(folder / "units"), "--credentials", str(folder / "secrets"), "--program", "/bin/true"]
        words += ["--config", str(folder / "etc" / "config.toml")]
        done = CliRunner().invoke(main, ["systemd", "install", *words, *options], env=environ)
        return done.exit_code, done.output

    def test_it_writes_the_unit_and_the_secrets_of_the_environment(self, tmp_path: Path, service: Path) -> None:
        """Readable to root alone, never in the unit, and not written anew the next time."""
        (service / "config.toml").write_text(SECRETS.replace("/srv/hook", str(service / "bot-token")))
        secrets = {"ALERTS_TOKEN": "a-token", "TEAM_KEY": "a-key", "OPENAI_API_KEY": "another"}
        code, output = self.run(tmp_path, **secrets)
        assert code == 0, output
        unit_file = tmp_path / "units" / "oc-trio.service"
        for name, path in passed(unit_file.read_text()).items():
            assert Path(path).is_file(), name
            assert Path(path).stat().st_mode & 0o077 == 0
        assert (tmp_path / "secrets" / "TEAM_KEY").read_text() == "a-key\n"
        assert not [value for value in secrets.values() if value in unit_file.read_text() + output]
        code, output = self.run(tmp_path, TEAM_KEY="changed")
        assert code == 0, output
        assert (tmp_path / "secrets" / "TEAM_KEY").read_text() == "a-key\n"

    def test_nothing_is_started_without_systemd(self, tmp_path: Path, service: Path) -> None:
        """The unit is there, and nobody is told that it runs."""
        if Path("/run/systemd/system").is_dir():
            pytest.skip("systemd runs here")
        (service / "config.toml").write_text(LOCAL_MODEL)
        code, output = self.run(tmp_path, "--now")
        assert code == 69
        assert "systemd does not run here, so nothing is started" in output
        assert "Started" not in output
        assert (tmp_path / "units" / "oc-trio.service").exists()

    def test_a_model_server_that_needs_no_key(self, tmp_path: Path, service: Path) -> None:
        """Its key is asked for by nobody: systemd would not start a service whose credential is missing."""
        (service / "config.toml").write_text(LOCAL_MODEL)
        assert self.run(tmp_path)[0] == 0
        assert list(passed((tmp_path / "units" / "oc-trio.service").read_text()).values()) == [
            str(service / "bot-token")
        ]
        assert self.run(tmp_path, OLLAMA_API_KEY="a-key")[0] == 0
        unit_file = (tmp_path / "units" / "oc-trio.service").read_text()
        assert passed(unit_file)["OLLAMA_API_KEY"] == f"{tmp_path}/secrets/OLLAMA_API_KEY"

    def test_a_secret_that_is_nowhere_stops_it(self, tmp_path: Path, service: Path) -> None:
        """All are named, with the key and the file to write; no unit is left that could not start."""
        code, output = self.run(tmp_path, TEAM_KEY="a-key")
        assert code == 78
        assert f"models.providers.openai.apiKey: {tmp_path}/secrets/OPENAI_API_KEY is missing" in output
        assert "hooks.token: /srv/hook is missing" in output
        assert not list((tmp_path / "units").iterdir())
        assert not (tmp_path / "secrets").exists()

    @pytest.mark.parametrize("kind", ["another's", "masked"])
    def test_a_unit_of_somebody_else_stays(self, tmp_path: Path, service: Path, kind: str) -> None:
        """One that was written by hand, or the link by which systemd masks a unit."""
        (service / "config.toml").write_text(SECRETS.replace("/srv/hook", str(service / "bot-token")))
        (tmp_path / "units").mkdir()
        file = tmp_path / "units" / "oc-trio.service"
        if kind == "masked":
            file.symlink_to("/dev/null")
        else:
            file.write_text("[Service]\nExecStart=/mine\n")
        code, output = self.run(tmp_path, ALERTS_TOKEN="t", TEAM_KEY="k", OPENAI_API_KEY="o")
        assert code == 75
        assert "move it away first" in output
        assert file.is_symlink() if kind == "masked" else "/mine" in file.read_text()
        assert not (tmp_path / "secrets").exists()

    def test_a_configuration_that_the_service_cannot_read_stops_it(self, tmp_path: Path, service: Path) -> None:
        """The refusal prints the command that mends the permissions."""
        (service / "config.toml").chmod(0o600)
        code, output = self.run(tmp_path)
        assert code == 78
        assert f"can't read {service}/config.toml; chmod go+r {service}/config.toml" in output

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
    def test_others_than_root_are_told(self, tmp_path: Path, service: Path) -> None:
        """Without the rights of root it ends with one line that says so."""
        (tmp_path / "units").mkdir()
        (tmp_path / "units").chmod(0o500)
        code, output = self.run(tmp_path, ALERTS_TOKEN="t", TEAM_KEY="k", OPENAI_API_KEY="o")
        assert code == 77
        assert "run it as root" in output
