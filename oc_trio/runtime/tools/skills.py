"""Finds skills (folders with a SKILL.md), lists them in the system prompt, and gives models the tool to read one.

Also reads their front matter. Which agent is offered which skill is the configuration's.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import trio
from attrs import field

from oc_trio.agent.port import ToolSpec
from oc_trio.agent.toolbox import Function, ToolFailed
from oc_trio.classes import frozen
from oc_trio.config.paths import is_folder
from oc_trio.core.text import clean
from oc_trio.telemetry.log import get_logger

log = get_logger(part="skills")

FILE = "SKILL.md"
# About 50,000 tokens, which the model reads as a whole. Each skill is a line of the system prompt.
MAX_BYTES = 200_000
# Each line is sent with each request of each turn.
MAX_SKILLS = 200
TOOL = "use_skill"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.-]{0,63}")
_KEY = re.compile(r"([A-Za-z][\w-]*):(?:\s+(.*))?$")


class BadSkill(ValueError):
    """A SKILL.md can't be used; str() says why."""


@frozen
class Skill:
    """`path` is the SKILL.md; what else its folder holds may be named in its text."""

    name: str
    description: str
    path: Path


@frozen
class SkillLibrary:
    """All skills; of two with the same name the first folder's counts."""

    skills: tuple[Skill, ...] = ()

    def only(self, names: Sequence[str] | None) -> "SkillLibrary":
        """Those that an agent is offered; None means all."""
        return self if names is None else SkillLibrary(tuple(skill for skill in self.skills if skill.name in names))

    @property
    def commands(self) -> tuple[tuple[str, str], ...]:
        """(name, description) of each, for slash commands."""
        return tuple((skill.name, skill.description) for skill in self.skills)

    def prompt(self) -> str:
        """What the system prompt says about them; empty for none."""
        if not self.skills:
            return ""
        lines = [f"- {skill.name}: {skill.description}" for skill in self.skills]
        head = (
            f"You have skills: instructions for particular tasks. Before a task that one fits, and when a message "
            f"begins with / and a skill's name, read it with the tool {TOOL} and follow it."
        )
        return "\n".join((head, *lines))

    def tool(self) -> tuple[ToolSpec, Function]:
        """The tool by which a model reads a skill, for `LocalTools`."""
        by_name = {skill.name: skill for skill in self.skills}
        parameters = {
            "type": "object",
            "properties": {"name": {"type": "string", "enum": list(by_name)}},
            "required": ["name"],
        }

        async def use(arguments: Mapping[str, Any]) -> str:
            skill = by_name.get(str(arguments["name"]).strip().removeprefix("/"))
            if skill is None:
                raise ToolFailed(f"There is no skill {arguments['name']!r}; there is {', '.join(by_name) or 'none'}.")
            try:
                # Read anew at each use: an edited skill needs no restart.
                return await trio.to_thread.run_sync(read_body, skill.path)
            except (OSError, BadSkill) as problem:
                raise ToolFailed(f"The skill {skill.name} can't be read: {problem}.") from None

        return ToolSpec(TOOL, "Read the instructions of a skill.", parameters), use


@frozen
class _Parts:
    fields: Mapping[str, str] = field(factory=dict)
    body: str = ""


def find_skills(folders: Iterable[Path]) -> SkillLibrary:
    """The skills below each folder, one level deep, in order of name. Blocking. What can't be used is logged."""
    skills: dict[str, Skill] = {}
    for folder in folders:
        if not is_folder(folder):
            continue
        for path in sorted(folder.glob(f"*/{FILE}")):
            try:
                skill = read_skill(path)
            except (OSError, BadSkill) as problem:
                log.warning("a skill can't be used", path=str(path), problem=str(problem))
                continue
            skills.setdefault(skill.name, skill)
    if len(skills) > MAX_SKILLS:
        log.warning("too many skills", found=len(skills), used=MAX_SKILLS)
    return SkillLibrary(tuple(skills[name] for name in sorted(skills)[:MAX_SKILLS]))


def read_skill(path: Path) -> Skill:
    """Name and description of one skill; the folder's name stands in for a missing name. Raises OSError, BadSkill."""
    fields = _split(_text(path)).fields
    name = fields.get("name", "").strip() or path.parent.name
    if not _NAME.fullmatch(name):
        raise BadSkill(f"{name!r} is no name for a skill")
    description = " ".join(fields.get("description", "").split())
    if not description:
        raise BadSkill("its front matter has no description")
    return Skill(name, description, path)


def read_body(path: Path) -> str:
    """A skill's instructions, and where its folder is. Raises OSError, BadSkill."""
    # A skill names its files relative to itself, and tools of MCP servers need the whole path.
    return f"{_split(_text(path)).body}\n\n(Files of this skill are in {path.parent}.)"


def _text(path: Path) -> str:
    # Before it is read: a link may lead to anything.
    if path.stat().st_size > MAX_BYTES:
        raise BadSkill(f"it is larger than {MAX_BYTES} bytes")
    try:
        # With or without a byte order mark, which Windows editors write.
        return clean(path.read_text("utf-8-sig"))
    except UnicodeDecodeError:
        raise BadSkill("it is not UTF-8 text") from None


def _split(text: str) -> _Parts:
    """Front matter between two lines of `---`, and the rest."""
    lines = text.splitlines()
    if not lines or lines[0].strip() != "---":
        raise BadSkill("it does not begin with front matter (a line of ---)")
    for number, line in enumerate(lines[1:], 1):
        if line.strip() in ("---", "..."):
            return _Parts(_fields(lines[1:number]), "\n".join(lines[number + 1 :]).strip())
    raise BadSkill("its front matter has no end (a line of ---)")


def _fields(lines: Sequence[str]) -> dict[str, str]:
    """The top-level texts of the front matter: the part of YAML that skills use, nested values left out."""
    fields: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in lines:
        match = _KEY.match(line)
        if match:
            value = (match[2] or "").strip()
            current = fields.setdefault(match[1].lower(), [])
            # YAML's mark of a text of several lines, which is not part of it.
            if not re.fullmatch(r"[|>][+-]?\d?", value):
                current.append(value)
        elif current is not None and (line[:1].isspace() or not line.strip()):
            current.append(line.strip())
    return {name: _plain(" ".join(part for part in parts if part)) for name, parts in fields.items()}


def _plain(value: str) -> str:
    """A scalar without its quotes or its comment."""
    quote = value[:1]
    if quote in ("'", '"'):
        end = value.rfind(quote)
        if end > 0:
            inner = value[1:end]
            return inner.replace("''", "'") if quote == "'" else inner.replace('\\"', '"').replace("\\n", " ")
    return re.sub(r"\s+#.*$", "", value)
