"""Variables of an openclaw.json: the process's, then those of ~/.openclaw/.env, then `env.vars`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from oc_trio.config.document import Document
from oc_trio.config.dotenv import environment
from oc_trio.config.findings import Findings


def variables(home: Path, text: str, values: Mapping[str, Any] | None = None, **env: str) -> dict[str, str]:
    (home / ".openclaw").mkdir(exist_ok=True)
    (home / ".openclaw" / ".env").write_text(text)
    made = environment(Document(values or {}), {"HOME": str(home), **env}, Findings())
    return {name: value for name, value in made.items() if name != "HOME"}


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=plain", "plain"),
        ("export A = spaced out  # a comment", "spaced out"),
        ("A=no#comment", "no#comment"),
        ("A='single \\n # kept'", "single \\n # kept"),
        ('A="double \\"quoted\\"\\tand\\n" # a comment', 'double "quoted"\tand\n'),
        ("A=", ""),
        ('A="open', '"open'),
    ],
)
def test_lines(tmp_path: Path, line: str, value: str) -> None:
    """Lines of a .env file are read as the dotenv package reads them."""
    assert variables(tmp_path, f"# first\n\n{line}\n") == {"A": value}


def test_the_first_that_has_a_name_wins(tmp_path: Path) -> None:
    """The process's value is never replaced."""
    values = {"env": {"vars": {"A": "inline", "B": "inline", "C": "inline"}}}
    assert variables(tmp_path, "A=file\nB=file\n", values, A="process") == {"A": "process", "B": "file", "C": "inline"}


def test_openclaw_s_own_folder_may_be_elsewhere(tmp_path: Path) -> None:
    """OPENCLAW_STATE_DIR moves OpenClaw's folder, as it does in OpenClaw."""
    (tmp_path / ".env").write_text("A=1")
    made = environment(Document(), {"HOME": "/nowhere", "OPENCLAW_STATE_DIR": str(tmp_path)}, Findings())
    assert made["A"] == "1"


def test_older_files_have_variables_in_env_itself(tmp_path: Path) -> None:
    """Texts only, and `env.vars` wins."""
    values = {"env": {"A": "1", "B": "1", "shellEnv": {"enabled": True}, "vars": {"B": "2"}}}
    assert variables(tmp_path, "", values) == {"A": "1", "B": "2"}


def test_what_can_t_be_read_is_said(tmp_path: Path) -> None:
    """A line that is none is left out with a warning; a value that is no text is a problem."""
    (tmp_path / ".openclaw").mkdir()
    (tmp_path / ".openclaw" / ".env").write_text("A=1\nnonsense\n")
    found = Findings()
    environment(Document({"env": {"vars": {"N": 3}}}), {"HOME": str(tmp_path)}, found)
    assert [str(one) for one in found.problems] == ["env.vars.N: must be text, not a number"]
    assert [str(one) for one in found.warnings] == [f"{tmp_path}/.openclaw/.env:2: is not NAME=value, and is left out"]
