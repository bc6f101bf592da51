"""Which files an agent is told, and what is said about those that can't be read."""

from collections.abc import Callable
from pathlib import Path

import pytest

from oc_trio.config.load import Loaded
from oc_trio.config.persona import MAX_CHARS

LoadText = Callable[..., Loaded]
HEAD = "[channels.mattermost]\n"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "home" / "ops").mkdir(parents=True)
    return tmp_path / "home"


def test_in_their_order_with_their_names(load_text: LoadText, workspace: Path) -> None:
    """Relative to the configuration; empty ones are left out."""
    for name, text in (("SOUL.md", "dry"), ("AGENTS.md", "\ufeffterse\n"), ("IDENTITY.md", "  \n")):
        (workspace / name).write_text(text, encoding="utf-8")
    loaded = load_text(f'{HEAD}[agents.defaults]\nworkspace = "home"')
    assert loaded.personas == {"main": "## AGENTS.md\n\nterse\n\n## SOUL.md\n\ndry"}


def test_each_of_several_agents_has_its_own_folder(load_text: LoadText, workspace: Path) -> None:
    """The shared one's subfolder, unless it names one."""
    (workspace / "SOUL.md").write_text("nobody's")
    (workspace / "ops" / "SOUL.md").write_text("ops")
    own = f'{HEAD}[agents]\ndefaults.workspace = "home"\nentries.main = {{ workspace = "home" }}\nentries.ops = {{}}'
    assert load_text(own).personas == {"main": "## SOUL.md\n\nnobody's", "ops": "## SOUL.md\n\nops"}


def test_what_can_t_be_told_is_a_warning(load_text: LoadText, workspace: Path) -> None:
    """A folder that is not there, a file that is no text or too long; the rest is told."""
    (workspace / "SOUL.md").write_bytes(b"\xff")
    (workspace / "AGENTS.md").write_text("x" * (MAX_CHARS + 5))
    loaded = load_text(f'{HEAD}[agents.entries]\nmain = {{ workspace = "home" }}\nops = {{ workspace = "gone" }}')
    assert loaded.personas["main"].endswith("x\n(cut here)")
    warnings = [str(one) for one in loaded.warnings]
    assert any("SOUL.md: can't be read: it is not UTF-8 text" in one for one in warnings)
    assert any(f"AGENTS.md: only its first {MAX_CHARS} characters" in one for one in warnings)
    assert any("agents.entries.ops.workspace: " in one and "gone is not a folder" in one for one in warnings)


def test_a_folder_that_can_t_be_looked_into_is_a_warning(load_text: LoadText) -> None:
    """The shared one's too: where it is, the agents have lost what they were told."""
    folder = "x" * 300
    loaded = load_text(f'{HEAD}[agents.defaults]\nworkspace = "{folder}"')
    assert any(f"{folder} can't be read: File name too long" in str(one) for one in loaded.warnings)
    unknown = load_text(f'{HEAD}[agents.entries]\nmain = {{ workspace = "~no-such-user/home" }}')
    assert any("~no-such-user/home is not a folder" in str(one) for one in unknown.warnings)
