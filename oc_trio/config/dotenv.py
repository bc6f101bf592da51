"""The variables that an openclaw.json may refer to: the process's, those of OpenClaw's `.env`, and `env.vars`.

Of several with one name, the first in this order wins, as in OpenClaw. A `.env` in the working directory is not read.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from oc_trio.config.document import Document
from oc_trio.config.findings import Findings
from oc_trio.config.parse import join, kind_of
from oc_trio.config.paths import is_file, openclaw_home

_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.-]*)\s*=\s*(.*?)\s*")
_DOUBLE = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$"}


def environment(document: Document, env: Mapping[str, str], findings: Findings) -> dict[str, str]:
    """The variables in effect; adds to `findings` what is wrong with `.env` or `env.vars`."""
    file = openclaw_home(env) / ".env"
    return {**_inline(document, findings), **_read(file, findings), **env}


def _inline(document: Document, findings: Findings) -> dict[str, str]:
    section = document.values.get("env")
    if not isinstance(section, Mapping):
        return {}
    # Older files have variables in `env` itself.
    texts = {str(name): value for name, value in section.items() if isinstance(value, str)}
    variables = section.get("vars")
    for name, value in variables.items() if isinstance(variables, Mapping) else ():
        if isinstance(value, str):
            texts[str(name)] = value
        else:
            findings.error(join("env.vars", str(name)), f"must be text, not {kind_of(value)}")
    return texts


def _read(file: Path, findings: Findings) -> dict[str, str]:
    if not is_file(file):
        return {}
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        findings.error(str(file), f"can't be read: {os.strerror(error.errno) if error.errno else 'unknown reason'}")
        return {}
    except UnicodeDecodeError:
        findings.error(str(file), "is not UTF-8 text")
        return {}
    variables = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            findings.warning(f"{file}:{number}", "is not NAME=value, and is left out")
        else:
            variables[match[1]] = _value(match[2])
    return variables


def _value(text: str) -> str:
    """The value without quotes and comment. Only double quotes have escapes."""
    quote = text[:1]
    if quote in ("'", '"'):
        end = re.match(r"""'([^']*)'|"((?:[^"\\]|\\.)*)\"""", text)
        if end is not None:
            if end[1] is not None:
                return end[1]
            return re.sub(r"\\(.)", lambda escape: _DOUBLE.get(escape[1], escape[0]), end[2])
    return re.sub(r"(^|\s)#.*$", "", text).strip()
