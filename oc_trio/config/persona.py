"""The files of an agent's workspace that say who it is: `AGENTS.md`, `SOUL.md`, `IDENTITY.md`, as text for its prompt.

A workspace's other files, memory among them, are not read.
"""

import os
from pathlib import Path

from oc_trio.config.findings import Findings
from oc_trio.config.model import Config
from oc_trio.config.parse import join
from oc_trio.core.text import clean

FILES = ("AGENTS.md", "SOUL.md", "IDENTITY.md")
MOST_CHARS = 20_000  # of each file, as in OpenClaw


def read_personas(config: Config, folder: Path, found: Findings) -> dict[str, str]:
    """The text of each agent that has a workspace with such files; relative paths start at `folder`.

    A workspace that is named and does not exist is a warning, as is a file that can't be read or is cut.
    """
    made = {}
    for agent in tuple(config.agents.entries) or ("main",):
        workspace, path = workspace_of(config, agent)
        if not workspace:
            continue
        place = folder / Path(workspace).expanduser()
        if not place.is_dir():
            if path != "agents.defaults.workspace":
                found.odd(path, f"{place} is not a folder", "agents are told nothing from it")
            continue
        parts = [part for name in FILES if (part := _part(place / name, found))]
        if parts:
            made[agent] = "\n\n".join(parts)
    return made


def workspace_of(config: Config, agent: str) -> tuple[str, str]:
    """An agent's workspace and the key that names it: its own, else the shared one, of which each of several agents has
    the folder that is called like it.
    """
    entry = config.agents.entries.get(agent)
    if entry is not None and entry.workspace:
        return entry.workspace, join("agents.entries", agent) + ".workspace"
    shared = config.agents.defaults.workspace
    if shared and len(config.agents.entries) > 1:
        shared = f"{shared.rstrip('/')}/{agent}"
    return shared, "agents.defaults.workspace"


def _part(file: Path, found: Findings) -> str:
    """One file under its name; nothing where there is none."""
    try:
        with file.open(encoding="utf-8-sig") as opened:
            text = clean(opened.read(MOST_CHARS + 1)).strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as broken:
        reason = os.strerror(broken.errno) if isinstance(broken, OSError) and broken.errno else "it is not UTF-8 text"
        found.odd(str(file), f"can't be read: {reason}", "the agent is not told what it says")
        return ""
    if len(text) > MOST_CHARS:
        found.odd(str(file), f"only its first {MOST_CHARS} characters are said to the agent")
        text = text[:MOST_CHARS] + "\n(cut here)"
    return f"## {file.name}\n\n{text}" if text else ""


def with_persona(prompt: str, persona: str) -> str:
    """A system prompt, and after it what the agent's own files say."""
    return f"{prompt}\n\n# Your own files\n\n{persona}" if persona else prompt
