"""On which line of a TOML file each key stands, for messages and `config show --origin`.

A scanner for well-formed files only; a key inside an inline table is found at the line of that table.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import tomli

from oc_trio.config.parse import join

_HEADER = re.compile(r"\s*(\[\[?)(.+?)\]\]?\s*(?:#.*)?")
_KEY = re.compile(
    r"""\s*((?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*'))*)\s*="""
)
_LAST = re.compile(r'(\.?[A-Za-z0-9_-]+|\.?"(?:[^"\\]|\\.)*"|\[\d+\])$')
_LONG = re.compile(r'"""|\'\'\'')


def toml_lines(text: str) -> dict[str, int]:
    """Dotted path of each key and table header, to its line (from 1)."""
    found: dict[str, int] = {}
    counts: dict[str, int] = {}
    table = ""
    for number, line in _outside_long_strings(text):
        header = _HEADER.fullmatch(line)
        if header:
            table = _path("", header[2], counts)
            if header[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                table = join(table, counts[table])
            found.setdefault(table, number)
            continue
        key = _KEY.match(line)
        if key:
            found.setdefault(_path(table, key[1], counts), number)
    return found


def line_of(path: str, lines: Mapping[str, int]) -> int | None:
    """The line of `path`, or of the nearest table around it; None when not even that is known."""
    return lines.get(nearest_key(path, lines))


def nearest_key(path: str, lines: Mapping[str, int]) -> str:
    """`path`, or the nearest table around it whose line is known; empty when there is none."""
    while path:
        if path in lines:
            return path
        shorter = _LAST.sub("", path)
        if shorter == path:
            return ""
        path = shorter
    return ""


def _outside_long_strings(text: str) -> Iterator[tuple[int, str]]:
    closing = ""
    for number, line in enumerate(text.splitlines(), 1):
        if closing:
            if closing in line:
                closing = ""
            continue
        yield number, line
        for quote in _LONG.findall(line):
            closing = "" if closing == quote else closing or quote


def _path(table: str, written: str, counts: Mapping[str, int]) -> str:
    """The dotted path of a key as TOML spells it; arrays of tables get the index of their latest entry."""
    path = table
    level: Any = _decode(written)
    while isinstance(level, dict):
        name, level = next(iter(level.items()))
        if path in counts and path != table:
            path = join(path, counts[path])
        path = join(path, name)
    return path


def _decode(written: str) -> Any:
    try:
        return tomli.loads(f"{written} = 1")
    except tomli.TOMLDecodeError:
        return {written: 1}
