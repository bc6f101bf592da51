"""Which variables an openclaw.json sees: the process's, those of OpenClaw's own `.env`, and the file's `env.vars`.

The first that has a name wins, as in OpenClaw. A `.env` beside the working directory is not read.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from oc_trio.config.document import Document
from oc_trio.config.findings import Findings
from oc_trio.config.parse import join, kind_of
from oc_trio.config.paths import openclaw_home

_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.-]*)\s*=\s*(.*?)\s*")
_DOUBLE = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$"}


def environment(document: Document, env: Mapping[str, str], found: Findings) -> dict[str, str]:
    """The variables in effect; what is wrong with `.env` or `env.vars` is noted."""
    file = openclaw_home(env) / ".env"
    return {**_inline(document, found), **_read(file, found), **env}


def _inline(document: Document, found: Findings) -> dict[str, str]:
    section = document.values.get("env")
    listed = section.get("vars") if isinstance(section, Mapping) else None
    if not isinstance(listed, Mapping):
        return {}
    made = {}
    for name, value in listed.items():
        if isinstance(value, str):
            made[str(name)] = value
        else:
            found.wrong(join("env.vars", str(name)), f"must be text, not {kind_of(value)}")
    return made


def _read(file: Path, found: Findings) -> dict[str, str]:
    if not file.is_file():
        return {}
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as broken:
        found.wrong(str(file), f"can't be read: {os.strerror(broken.errno) if broken.errno else 'unknown reason'}")
        return {}
    except UnicodeDecodeError:
        found.wrong(str(file), "is not UTF-8 text")
        return {}
    made = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            found.odd(f"{file}:{number}", "is not NAME=value, and is left out")
        else:
            made[match[1]] = _value(match[2])
    return made


def _value(written: str) -> str:
    """A value without its quotes or its comment; double quotes know escapes."""
    quote = written[:1]
    if quote in ("'", '"'):
        end = re.match(r"""'([^']*)'|"((?:[^"\\]|\\.)*)\"""", written)
        if end is not None:
            if end[1] is not None:
                return end[1]
            return re.sub(r"\\(.)", lambda escape: _DOUBLE.get(escape[1], escape[0]), end[2])
    return re.sub(r"(^|\s)#.*$", "", written).strip()
