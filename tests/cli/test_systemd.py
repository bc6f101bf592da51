"""The printed unit: what systemd thinks of it, and what it takes from the configuration."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from oc_trio.cli.main import main
from oc_trio.cli.systemd import STOP_MARGIN_SECONDS, own_command, unit

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
    text = unit(("/opt/100%/oc-trio",), Path("/etc/$x.toml"), 30, [])
    assert "ExecStart=/opt/100%%/oc-trio run --config '/etc/$$x.toml'" in text


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
