"""The garbage collector does not look at a command's imports over and over; a caller's collector is left alone."""

import gc
import subprocess
import sys

import pytest
from click.testing import CliRunner

from oc_trio.cli.main import main


def output_of(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_a_command_collects_seldom_and_not_at_its_end() -> None:
    """What the interpreter does at its end comes after the functions of `atexit`."""
    shown = "atexit.register(lambda: print(gc.get_threshold()[0], gc.get_freeze_count() > 0))"
    code = f"import atexit, gc; {shown}; from oc_trio.cli.main import main; main(['--version'])"
    *_, threshold, is_frozen = output_of(code)
    assert int(threshold) > 10_000
    assert is_frozen == "True"


def test_a_program_that_runs_for_long_collects_as_usual() -> None:
    """But for what was there when it was prepared."""
    code = (
        "import gc; usual = gc.get_threshold(); from oc_trio.cli import collector;"
        "collector.begin(); collector.settle(); print(gc.get_threshold() == usual, gc.get_freeze_count() > 0)"
    )
    assert output_of(code) == ["True", "True"]


@pytest.mark.slow
@pytest.mark.parametrize("command", ["sandbox", "demo"])
def test_a_server_collects_as_usual(command: str) -> None:
    """Each may run for days."""
    shown = "import atexit, gc; usual = gc.get_threshold(); atexit.register(lambda: print(gc.get_threshold() == usual))"
    code = f"{shown}; from oc_trio.cli.main import main; main(['{command}', '--port', '0'])"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "http://127.0.0.1:" in process.stdout.readline()
        process.terminate()
        assert process.stdout.read().split()[-1] == "True"


def test_a_call_within_a_program_changes_nothing() -> None:
    usual = gc.get_threshold()
    assert CliRunner().invoke(main, ["--version"]).exit_code == 0
    assert gc.get_threshold() == usual
