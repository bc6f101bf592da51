"""Skills on disk: front matter in its usual spellings, what is refused, and reading one when it is used."""

from pathlib import Path

import pytest

from oc_trio.agent.toolbox import ToolFailed
from oc_trio.runtime.tools.skills import TOOL, BadSkill, find_skills, read_skill


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name / "SKILL.md"
    path.parent.mkdir(parents=True)
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize(
    ("front", "name", "description"),
    [
        pytest.param("name: pdf\ndescription: Fill forms", "pdf", "Fill forms", id="plain"),
        pytest.param("name: \"pdf\"\ndescription: 'It''s for: forms'", "pdf", "It's for: forms", id="quoted"),
        pytest.param("name: pdf\ndescription: >-\n  Fill\n  forms\nlicense: MIT", "pdf", "Fill forms", id="folded"),
        pytest.param("name: pdf # short\ndescription: Fill\n  forms", "pdf", "Fill forms", id="continued"),
        pytest.param("description: Fill forms", "folder", "Fill forms", id="the folder's name"),
        pytest.param("name: pdf\nmetadata:\n  description: no\ndescription: yes", "pdf", "yes", id="nested"),
    ],
)
def test_front_matter_is_read(front: str, name: str, description: str, tmp_path: Path) -> None:
    """The part of YAML that skills use."""
    skill = read_skill(write(tmp_path, "folder", f"---\n{front}\n---\nDo it."))
    assert (skill.name, skill.description) == (name, description)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("# A skill", "does not begin", id="no front matter"),
        pytest.param("---\nname: x\n", "no end", id="unclosed"),
        pytest.param("---\nname: x\n---\n", "no description", id="no description"),
        pytest.param("---\nname: ../x\ndescription: y\n---\n", "no name", id="odd name"),
        pytest.param("---\nname: x\n---\n" + "x" * 300_000, "larger", id="too large"),
    ],
)
def test_what_is_no_skill_is_left_out_with_a_reason(text: str, why: str, tmp_path: Path) -> None:
    """One bad folder does not hide the others."""
    path = write(tmp_path, "bad", text)
    write(tmp_path, "good", "---\nname: good\ndescription: Good\n---\n")
    with pytest.raises(BadSkill, match=why):
        read_skill(path)
    assert [skill.name for skill in find_skills([tmp_path, tmp_path / "none"]).skills] == ["good"]


async def test_a_skill_is_listed_and_read_when_it_is_used(tmp_path: Path) -> None:
    """The prompt has its description only; the tool gives its text."""
    write(tmp_path, "pdf", "---\nname: pdf\ndescription: Fill forms\n---\nUse pdftk.")
    write(tmp_path, "zip", "---\nname: zip\ndescription: Pack\n---\nUse zip.")
    book = find_skills([tmp_path])
    assert book.commands == (("pdf", "Fill forms"), ("zip", "Pack"))
    assert book.only(["zip"]).commands == (("zip", "Pack"),)
    assert "- pdf: Fill forms" in book.prompt()
    assert "pdftk" not in book.prompt()
    spec, use = book.tool()
    assert spec.name == TOOL
    answer = await use({"name": "/pdf"})
    assert str(answer).startswith("Use pdftk.")
    with pytest.raises(ToolFailed, match="there is pdf, zip"):
        await use({"name": "tar"})


def test_no_skills_say_nothing() -> None:
    """Without skills the prompt stays as it is."""
    assert find_skills([]).prompt() == ""
