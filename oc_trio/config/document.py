"""A configuration file as plain values, with the lines on which its keys stand."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from oc_trio.config.includes import compose, include_roots
from oc_trio.config.json_locations import json_lines
from oc_trio.config.syntax import JSON_SUFFIXES, decode_json5, decode_toml
from oc_trio.config.toml_locations import nearest_key, toml_lines
from oc_trio.core.text import clean_value
from oc_trio.errors import ConfigError, Problem


@frozen
class Document:
    """A file's plain content. `imported` marks an openclaw.json, whose foreign sections are left aside.

    `mode` has the permission bits of the file. Where other files are included, `files` has the file of each key, and
    `modes` their permission bits.
    """

    values: Mapping[str, Any] = field(factory=dict, repr=False, hash=False)
    path: Path | None = None
    imported: bool = False
    lines: Mapping[str, int] = field(factory=dict, repr=False, hash=False)
    mode: int = 0o600
    files: Mapping[str, Path] = field(factory=dict, repr=False, hash=False)
    modes: Mapping[Path, int] = field(factory=dict, repr=False, hash=False)

    @property
    def folder(self) -> Path:
        return self.path.parent if self.path else Path()

    def place(self, key: str) -> str:
        """`file:line` of a key, the file alone where the line is unknown."""
        if self.path is None:
            return ""
        known = nearest_key(key, self.lines)
        return f"{self.files.get(known, self.path)}:{self.lines[known]}" if known else str(self.path)

    def file_of(self, key: str) -> Path | None:
        """The file in which a key stands."""
        return self.files.get(nearest_key(key, self.lines), self.path)


def read_document(path: Path, env: Mapping[str, str] | None = None) -> Document:
    """The file's content as plain values, an openclaw.json with what it includes; raises ConfigError.

    `env` may name further folders to include from.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read()
    except OSError as broken:
        reason = os.strerror(broken.errno) if broken.errno else "unknown reason"
        raise ConfigError(Problem(str(path), f"can't be read: {reason}")) from None
    except UnicodeDecodeError:
        raise ConfigError(Problem(str(path), "is not UTF-8 text")) from None
    try:
        if path.suffix not in JSON_SUFFIXES:
            return Document(clean_value(decode_toml(text, str(path))), path, lines=toml_lines(text), mode=mode)
        composed = compose(decode_json5(text, str(path)), json_lines(text), path, include_roots(env or {}))
    except RecursionError:
        raise ConfigError(Problem(str(path), "is nested too deeply")) from None
    return Document(
        clean_value(composed.values),
        path,
        imported=True,
        lines={key: place.line for key, place in composed.places.items()},
        mode=mode,
        files={key: place.file for key, place in composed.places.items() if place.file != path},
        modes=composed.modes,
    )
