"""The garbage collector does not look at a command's imports over and over; a caller's collector is left alone."""

import gc
import subprocess
import sys

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


def test_a_call_within_a_program_changes_nothing() -> None:
    usual = gc.get_threshold()
    assert CliRunner().invoke(main, ["--version"]).exit_code == 0
    assert gc.get_threshold() == usual
