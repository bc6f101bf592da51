"""Reads a configuration file into plain values, with the file and line of each key."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import field

from oc_trio.classes import frozen
from oc_trio.config.syntax import JSON_SUFFIXES, decode_json5, decode_toml
from oc_trio.config.toml_locations import nearest_key, toml_lines
from oc_trio.core.text import clean_value
from oc_trio.errors import ConfigError, Problem


@frozen
class Document:
    """The plain content of a file. `imported` is set for an openclaw.json, whose unknown keys are no errors.

    `mode` has the permission bits of the file. If it includes others, `files` has the file of each key that comes
    from one, and `modes` their permission bits.
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

    def location(self, key: str) -> str:
        """`file:line` of a key, the file alone where the line is unknown."""
        if self.path is None:
            return ""
        nearest = nearest_key(key, self.lines)
        return f"{self.files.get(nearest, self.path)}:{self.lines[nearest]}" if nearest else str(self.path)

    def file_of(self, key: str) -> Path | None:
        """The file in which a key stands."""
        return self.files.get(nearest_key(key, self.lines), self.path)


def read_document(path: Path, env: Mapping[str, str] | None = None) -> Document:
    """The file's content as plain values, an openclaw.json with what it includes; raises ConfigError.

    `env` may name further folders to include from.
    """
    try:
        # Editors on Windows write a byte order mark, which the TOML decoder refuses.
        with path.open(encoding="utf-8-sig") as file:
            # Of the open file, so that the bits are those of what is read.
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "unknown reason"
        raise ConfigError(Problem(str(path), f"can't be read: {reason}")) from None
    except UnicodeDecodeError:
        raise ConfigError(Problem(str(path), "is not UTF-8 text")) from None
    try:
        if path.suffix not in JSON_SUFFIXES:
            return Document(clean_value(decode_toml(text, str(path))), path, lines=toml_lines(text), mode=mode)
        # Here only: most files are not OpenClaw's.
        from oc_trio.config.includes import compose, include_roots
        from oc_trio.config.json_locations import json_lines

        composed = compose(decode_json5(text, str(path)), json_lines(text), path, include_roots(env or {}))
    except RecursionError:
        raise ConfigError(Problem(str(path), "is nested too deeply")) from None
    return Document(
        # Lone surrogates, which JSON allows, could be written to neither the database nor a log.
        clean_value(composed.values),
        path,
        imported=True,
        lines={key: location.line for key, location in composed.locations.items()},
        mode=mode,
        files={key: location.file for key, location in composed.locations.items() if location.file != path},
        modes=composed.modes,
    )
