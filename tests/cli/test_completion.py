"""Shell completion, as docs/operating.md tells to switch it on: complete, and light."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from oc_trio.cli.main import COMMANDS, main
from tests.cli.test_main import HEAVY

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operating.md"


def completed(*words: str) -> list[str]:
    """What is offered for the last word."""
    *before, last = words
    return [item.value for item in ShellComplete(main, {}, "oc-trio", "").get_completions(before, last)]


def test_what_is_offered() -> None:
    """Commands, those below them, options, and the values of an option."""
    assert completed("") == sorted(COMMANDS)
    assert completed("rel") == ["reload"]
    assert completed("pairing", "app") == ["approve"]
    assert completed("init", "--token-") == ["--token-file", "--token-stdin"]
    assert completed("init", "--strangers", "") == ["pairing", "allowlist", "open", "disabled"]
    assert completed("--ver") == ["--version"]
    (file,) = ShellComplete(main, {}, "oc-trio", "").get_completions(["doctor", "--config"], "oc")
    assert (file.type, file.value) == ("file", "oc")


def test_the_list_of_commands_is_light() -> None:
    """None of their modules is imported for it."""
    code = (
        "import sys; from oc_trio.cli.main import main; from click.shell_completion import ShellComplete; "
        "print(len(ShellComplete(main, {}, 'oc-trio', '').get_completions([], ''))); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    number, modules = done.stdout.splitlines()
    assert int(number) == len(COMMANDS)
    assert not HEAVY & set(modules.split())
    assert "oc_trio.cli.doctor" not in modules.split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_documented_line(shell: str, tmp_path: Path) -> None:
    """The shell itself, where it is installed, completes after the line of the page; the line is there for each."""
    lines = [line for line in PAGE.read_text().splitlines() if f"_OC_TRIO_COMPLETE={shell}_source oc-trio" in line]
    assert lines
    program = shutil.which(shell)
    if program is None or shell != "bash":
        return  # zsh and fish complete for a person at a terminal only
    # As the installed program: click takes the variable's name from that of the program.
    (tmp_path / "oc-trio").write_text(f"#!{sys.executable}\nfrom oc_trio.cli.main import main\n\nmain()\n")
    (tmp_path / "oc-trio").chmod(0o755)
    script = (
        'eval "$(_OC_TRIO_COMPLETE=bash_source oc-trio)"; COMP_WORDS=(oc-trio pairing app); COMP_CWORD=2; '
        "_oc_trio_completion oc-trio; echo ${COMPREPLY[@]}"
    )
    env = {**os.environ, "PYTHONPATH": str(PAGE.parents[1]), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run([program, "-c", script], capture_output=True, text=True, check=True, env=env)
    assert done.stdout == "approve\n"
