"""`oc-trio sandbox` plays a server that refuses: rights, and addresses that it may not call."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from oc_trio.cli.main import main

CONFIG = """
[gateway]
port = 0
[channels.mattermost]
baseUrl = "{url}"
botToken = "{token}"
groupPolicy = "open"
network.dangerouslyAllowPrivateNetwork = true
[models.providers.s]
api = "scripted"
models = ["echo"]
[agents.defaults]
model = "s/echo"
"""


@contextmanager
def sandbox(*words: str) -> Iterator[dict[str, str]]:
    command = [sys.executable, "-m", "oc_trio", "sandbox", "--port", "0", "--json", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()


@pytest.mark.slow
def test_a_right_that_is_denied_is_what_doctor_names(tmp_path: Path) -> None:
    """As an operator tries what a missing right looks like."""
    config = tmp_path / "config.toml"
    with sandbox("--deny", "edit_post", "--deny", "manage_slash_commands") as facts:
        config.write_text(CONFIG.format(url=facts["url"], token=facts["bot_token"]))
        config.chmod(0o600)
        words = ["doctor", "--json", "--config", str(config)]
        done = CliRunner().invoke(main, words, env={"STATE_DIRECTORY": str(tmp_path / "state")})
    findings = json.loads(done.stdout)
    assert done.exit_code == 1
    assert "rights.edit" in {finding["code"] for finding in findings}


def test_a_permission_that_is_unknown_is_refused() -> None:
    """With those that there are."""
    done = CliRunner().invoke(main, ["sandbox", "--deny", "everything"])
    assert done.exit_code == 2
    assert "everything: can't be denied here" in done.stderr
    assert "manage_slash_commands" in done.stderr
