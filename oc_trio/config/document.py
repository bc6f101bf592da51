"""A configuration file as plain values, with the lines on which its keys stand."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from oc_trio.config.json_locations import json_lines
from oc_trio.config.syntax import JSON_SUFFIXES, decode_json5, decode_toml
from oc_trio.config.toml_locations import line_of, toml_lines
from oc_trio.core.text import clean_value
from oc_trio.errors import ConfigError, Problem


@frozen
class Document:
    """A file's plain content. `imported` marks an openclaw.json, whose foreign sections are left aside.

    `mode` has the permission bits of the file.
    """

    values: Mapping[str, Any] = field(factory=dict, repr=False, hash=False)
    path: Path | None = None
    imported: bool = False
    lines: Mapping[str, int] = field(factory=dict, repr=False, hash=False)
    mode: int = 0o600

    @property
    def folder(self) -> Path:
        return self.path.parent if self.path else Path()

    def place(self, key: str) -> str:
        """`file:line` of a key, the file alone where the line is unknown."""
        if self.path is None:
            return ""
        line = line_of(key, self.lines)
        return f"{self.path}:{line}" if line else str(self.path)


def read_document(path: Path) -> Document:
    """The file's content as plain values; raises ConfigError."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read()
    except OSError as broken:
        reason = os.strerror(broken.errno) if broken.errno else "unknown reason"
        raise ConfigError(Problem(str(path), f"can't be read: {reason}")) from None
    except UnicodeDecodeError:
        raise ConfigError(Problem(str(path), "is not UTF-8 text")) from None
    if path.suffix in JSON_SUFFIXES:
        values, lines, imported = decode_json5(text, str(path)), json_lines(text), True
    else:
        values, lines, imported = decode_toml(text, str(path)), toml_lines(text), False
    try:
        return Document(clean_value(values), path, imported=imported, lines=lines, mode=mode)
    except RecursionError:
        raise ConfigError(Problem(str(path), "is nested too deeply")) from None
