"""Reads `AGENTS.md`, `SOUL.md` and `IDENTITY.md` of an agent's workspace, which follow its system prompt.

Other files of a workspace, such as OpenClaw's memory, are not read.
"""

import os
import stat
from pathlib import Path

from oc_trio.config.findings import Findings
from oc_trio.config.model import Config
from oc_trio.config.parse import join
from oc_trio.config.paths import expanded
from oc_trio.core.text import clean

FILES = ("AGENTS.md", "SOUL.md", "IDENTITY.md")
_NO_FOLDER = "is not a folder"
MAX_CHARS = 20_000  # of each file, as in OpenClaw


def read_personas(config: Config, folder: Path, findings: Findings) -> dict[str, str]:
    """The text for each agent that has a workspace with such files; relative paths start at `folder`.

    Warns of an agent's own workspace that does not exist, and of a file that can't be read or is cut.
    """
    personas = {}
    for agent in tuple(config.agents.entries) or ("main",):
        workspace, path = workspace_of(config, agent)
        if not workspace:
            continue
        workspace_folder = folder / expanded(workspace)
        if wrong := _folder_problem(workspace_folder):
            # Not every agent has a folder in the shared one.
            if path != "agents.defaults.workspace" or wrong != _NO_FOLDER:
                findings.warning(path, f"{workspace_folder} {wrong}", "agents are told nothing from it")
            continue
        parts = [part for name in FILES if (part := _part(workspace_folder / name, findings))]
        if parts:
            personas[agent] = "\n\n".join(parts)
    return personas


def workspace_of(config: Config, agent: str) -> tuple[str, str]:
    """An agent's workspace and the key that sets it: its own, or the shared one. If there are several agents, each has
    a subfolder of the shared one, named after the agent.
    """
    entry = config.agents.entries.get(agent)
    if entry is not None and entry.workspace:
        return entry.workspace, join("agents.entries", agent) + ".workspace"
    shared = config.agents.defaults.workspace
    if shared and len(config.agents.entries) > 1:
        shared = f"{shared.rstrip('/')}/{agent}"
    return shared, "agents.defaults.workspace"


def _folder_problem(folder: Path) -> str:
    """What is wrong where there is no folder that this user may see; "" if there is one."""
    # Not `is_dir`: from Python 3.14 on it hides why.
    try:
        mode = folder.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return _NO_FOLDER
    except OSError as error:
        return f"can't be read: {error.strerror}"
    return "" if stat.S_ISDIR(mode) else _NO_FOLDER


def _part(file: Path, findings: Findings) -> str:
    """One file under a heading with its name; "" if it does not exist."""
    try:
        with file.open(encoding="utf-8-sig") as opened:
            # One character more tells that there is more, without reading a file of any length.
            text = clean(opened.read(MAX_CHARS + 1)).strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "it is not UTF-8 text"
        findings.warning(str(file), f"can't be read: {reason}", "the agent is not told what it says")
        return ""
    if len(text) > MAX_CHARS:
        findings.warning(str(file), f"only its first {MAX_CHARS} characters are said to the agent")
        text = text[:MAX_CHARS] + "\n(cut here)"
    return f"## {file.name}\n\n{text}" if text else ""


def with_persona(prompt: str, persona: str) -> str:
    """A system prompt followed by the text of the agent's own files."""
    return f"{prompt}\n\n# Your own files\n\n{persona}" if persona else prompt
