"""`oc-trio run` when the program itself fails: a child process, brought down by a package that it loads."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WORD = "quittenmus"

PACKAGE = f"""
import trio

async def fail() -> None:
    raise KeyError({WORD!r})

def make(settings):
    trio.lowlevel.spawn_system_task(fail)
"""

CONFIG = """
[channels.mattermost]
baseUrl = "http://127.0.0.1:9"
botToken = "token"
network.dangerouslyAllowPrivateNetwork = true

[agents.defaults]
model = "broken/x"

[models.providers.broken]
api = "broken"
models = ["x"]
"""


@pytest.mark.slow
def test_a_crash(tmp_path: Path) -> None:
    """One sentence with an id, and exit code 70; the traceback is in the log under that id, without a value."""
    (tmp_path / "broken_agent.py").write_text(PACKAGE)
    info = tmp_path / "broken_agent-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-agent\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[oc_trio.agents]\nbroken = broken_agent:make\n")
    (tmp_path / "oc-trio.toml").write_text(CONFIG)
    (tmp_path / "oc-trio.toml").chmod(0o600)
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}",
        "HOME": str(tmp_path),
        "STATE_DIRECTORY": str(tmp_path / "state"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "oc_trio", "run", "--config", str(tmp_path / "oc-trio.toml")],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 70, done.stderr
    assert done.stdout == ""
    *log, sentence = done.stderr.splitlines()
    (crash,) = [line for line in map(json.loads, log) if line["level"] == "critical"]
    assert sentence == (
        f"oc-trio: a defect ended the gateway. Its log has the traceback, as crash {crash['crash']}; please report it."
        " What is unfinished is taken up at the next start."
    )
    assert "KeyError" in json.dumps(crash["exception"])
    assert WORD not in done.stderr
