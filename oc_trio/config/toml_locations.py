"""Finds the line of each key of a TOML file, for messages and `config show --origin`: the decoder gives no positions.

It works for well-formed files only. A key inside an inline table has the line of that table.
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
    lines: dict[str, int] = {}
    counts: dict[str, int] = {}
    table = ""
    for number, line in _outside_long_strings(text):
        header = _HEADER.fullmatch(line)
        if header:
            table = _path("", header[2], counts)
            if header[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                table = join(table, counts[table])
            lines.setdefault(table, number)
            continue
        key = _KEY.match(line)
        if key:
            lines.setdefault(_path(table, key[1], counts), number)
    return lines


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
            # Opened and closed on one line, or open at its end.
            closing = "" if closing == quote else closing or quote


def _path(table: str, key_text: str, counts: Mapping[str, int]) -> str:
    """The dotted path of a key as TOML spells it; arrays of tables get the index of their latest entry."""
    path = table
    level: Any = _decode(key_text)
    while isinstance(level, dict):
        name, level = next(iter(level.items()))
        # `[a.b]` below `[[a]]` is in the latest entry of `a`.
        if path in counts and path != table:
            path = join(path, counts[path])
        path = join(path, name)
    return path


def _decode(key_text: str) -> Any:
    try:
        # Quotes and escapes in keys are TOML's own matter.
        return tomli.loads(f"{key_text} = 1")
    except tomli.TOMLDecodeError:
        return {key_text: 1}
