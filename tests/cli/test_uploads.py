"""Progress of uploads: shown to a person at a terminal, and to nobody else."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.sandbox_server import a_server

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.e2e
def test_each_upload_shows_a_bar_on_a_terminal(tmp_path: Path) -> None:
    """Name, position and the full bar; standard output stays fit for a pipe."""
    for name in ("one.bin", "two.bin"):
        (tmp_path / name).write_bytes(b"x" * 3_000_000)
    ours, theirs = pty.openpty()
    with a_server(tmp_path) as server:
        words = ["message", "send", "-t", "#town-square", "--config", str(server.config), "--json"]
        media = [f"--media={tmp_path / name}" for name in ("one.bin", "two.bin")]
        done = subprocess.run(
            [sys.executable, "-m", "oc_trio", *words, *media],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=theirs,
            timeout=60,
            check=True,
        )
    os.close(theirs)
    shown = os.read(ours, 1_000_000).decode()
    os.close(ours)
    assert done.stdout.startswith(b'{"ok": true')
    for name in ("one.bin", "two.bin"):
        assert name in shown
    assert "3000000/3000000" in shown


def test_a_pipe_gets_no_bars(tmp_path: Path) -> None:
    """Where nobody watches, standard error is empty."""
    (tmp_path / "one.bin").write_bytes(b"x" * 1000)
    with a_server(tmp_path) as server:
        done = server.run("message", "send", "-t", "#town-square", "--media", str(tmp_path / "one.bin"))
    assert done.exit_code == 0
    assert done.stderr == ""
