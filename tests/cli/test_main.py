"""The command's table: quick to list, complete, and each entry answers --help."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from oc_trio.cli.main import COMMANDS, main

HEAVY = {"trio", "httpx", "quart", "hypercorn", "structlog", "attrs", "sqlite3", "prometheus_client"}


def test_help_is_light() -> None:
    """`--help` imports nothing heavy: not Trio, not HTTP, not even attrs."""
    code = "import sys; from oc_trio.cli.main import main; main(['--help'], standalone_mode=False); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Connect a self-hosted Mattermost to AI agents." in done.stdout
    assert not HEAVY & set(done.stdout.splitlines()[-1].split())


def test_what_asks_the_gateway_does_not_load_it(tmp_path: Path) -> None:
    """Scripts ask for the status every few seconds."""
    code = "import sys; from oc_trio.cli.main import main; main(['status'], standalone_mode=False)"
    shown = f"import atexit, sys; atexit.register(lambda: print(*sys.modules)); {code}"
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", shown], capture_output=True, text=True, check=False, env=env, cwd=tmp_path
    )
    loaded = set(done.stdout.split())
    assert "oc_trio.cli.status" in loaded, done.stderr
    assert not loaded & {"quart", "hypercorn", "oc_trio.runtime.process.gateway"}


@pytest.mark.slow
def test_help_is_quick() -> None:
    """`oc-trio --help` takes under 0.3 s of a processor, the best of some tries; a busy machine makes it no slower."""
    took = []
    for _ in range(3):
        before = os.times()
        subprocess.run([sys.executable, "-m", "oc_trio", "--help"], capture_output=True, check=True)
        after = os.times()
        took.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert 0.0 < min(took) < 0.3


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_each_command_has_help(name: str) -> None:
    """Every entry of the table can be imported, and says what it does."""
    shown = CliRunner().invoke(main, [name, "--help"])
    assert shown.exit_code == 0, shown.output
    assert f"Usage: main {name}" in shown.output


def test_every_command_is_listed() -> None:
    """The first page shows all of them, with a line each."""
    shown = CliRunner().invoke(main, ["--help"]).output
    assert [name for name in COMMANDS if f"\n  {name} " not in shown] == []


def test_an_unknown_command() -> None:
    """A command that does not exist is named, with exit code 2."""
    shown = CliRunner().invoke(main, ["dance"])
    assert shown.exit_code == 2
    assert "No such command 'dance'" in shown.output


@pytest.mark.parametrize(
    "args", [["message", "send", "-t", "#x", "-m", "gr\udcfcn"], ["explain", "\udcff"], ["--config", "\udcff", "run"]]
)
def test_an_argument_that_is_no_text(args: list[str]) -> None:
    """Bytes of another encoding are wrong usage, named by position, before anything is done."""
    shown = CliRunner().invoke(main, args)
    assert shown.exit_code == 2
    assert "is not UTF-8 text" in shown.output


def test_bytes_in_a_real_process() -> None:
    """Arguments of another encoding are refused in a real process, too."""
    done = subprocess.run(
        [sys.executable, "-m", "oc_trio", "message", "send", "-t", "#x", "-m", b"gr\xfcn"],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONUTF8": "1"},
    )
    assert done.returncode == 2
    assert b"Argument 6 is not UTF-8 text." in done.stderr
