"""Replaces each `$include` of an openclaw.json by the content of other files, merged as OpenClaw merges them.

Lists are joined, tables are merged field by field, and keys beside `$include` win. A file must be below the folder of
the first one, or below a folder of `OPENCLAW_INCLUDE_ROOTS`, after symbolic links are resolved.
"""

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from attrs import evolve, field

from oc_trio.classes import frozen
from oc_trio.config.json_locations import json_lines
from oc_trio.config.parse import join, kind_of
from oc_trio.config.syntax import decode_json5_value
from oc_trio.errors import ConfigError, Problem

INCLUDE = "$include"
ROOTS_VARIABLE = "OPENCLAW_INCLUDE_ROOTS"
MAX_DEPTH = 10  # both are OpenClaw's
MAX_BYTES = 2 * 1_048_576
MAX_READS = 1000  # each file as often as it is included: ten files with ten includes each would be billions


@frozen
class Location:
    """The file and line of a value."""

    file: Path
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@frozen
class Composed:
    """A file with its includes replaced. `locations` has the file and line of each key, `modes` each further file's
    permission bits.
    """

    values: Mapping[str, Any]
    locations: Mapping[str, Location]
    modes: Mapping[Path, int]


@frozen
class _Node:
    """A value with its place; `inner` is a dict of nodes, a list of nodes, or a plain value."""

    inner: Any
    location: Location


class _IncludeRefused(Exception):
    """An include is not possible; str() says why."""


@frozen
class _Source:
    """A file that is being read. `chain` has the files that included each other, from the first to this one."""

    file: Path
    lines: Mapping[str, int]
    chain: tuple[Path, ...]


def compose(values: Mapping[str, Any], lines: Mapping[str, int], file: Path, roots: Iterable[Path] = ()) -> Composed:
    """The content of `file` with every `$include` replaced; raises ConfigError with every problem.

    `lines` are the file's own; `roots` are the further folders that may be included from.
    """
    composer = _Composer((file.parent, *roots))
    node = composer.node(values, "", "", _Source(file, lines, (file.resolve(),)))
    if composer.problems:
        raise ConfigError(*composer.problems)
    locations: dict[str, Location] = {}
    return Composed(_plain(node, "", locations), locations, composer.modes)


def include_roots(env: Mapping[str, str]) -> tuple[Path, ...]:
    """The absolute folders of `OPENCLAW_INCLUDE_ROOTS`."""
    listed = env.get(ROOTS_VARIABLE, "").split(os.pathsep)
    return tuple(Path(folder) for folder in listed if folder.startswith("/"))


@frozen
class _Composer:
    roots: tuple[Path, ...]
    problems: list[Problem] = field(factory=list)
    modes: dict[Path, int] = field(factory=dict)
    reads: list[Path] = field(factory=list)

    def node(self, value: Any, path: str, local: str, source: _Source, line: int = 1) -> _Node:
        """`path` is the value's path in the result, `local` that in its own file, `line` that of what is around it."""
        location = Location(source.file, source.lines.get(local, line))
        if isinstance(value, list):
            items = enumerate(value)
            return _Node(
                [self.node(item, join(path, at), join(local, at), source, location.line) for at, item in items],
                location,
            )
        if not isinstance(value, Mapping):
            return _Node(value, location)
        own = {
            str(name): self.node(inner, join(path, str(name)), join(local, str(name)), source, location.line)
            for name, inner in value.items()
            if name != INCLUDE
        }
        if INCLUDE not in value:
            return _Node(own, location)
        return self._included(value[INCLUDE], _Node(own, location), path, join(local, INCLUDE), source)

    def _included(self, include: Any, own: _Node, path: str, local: str, source: _Source) -> _Node:
        where = evolve(own.location, line=source.lines.get(local, own.location.line))
        names = include if isinstance(include, list) else [include]
        nodes: list[_Node] = []
        refused: list[str] = []
        for name in names:
            try:
                if not isinstance(name, str) or not name.strip():
                    raise _IncludeRefused(f"must be a file name or a list of them, not {kind_of(name)}")
                nodes.append(self._read(name, path, source))
            except _IncludeRefused as refusal:
                refused.append(str(refusal))
        merged = nodes[0] if len(nodes) == 1 else _Node({}, own.location)
        for node in nodes if len(nodes) > 1 else ():
            merged = _merge(merged, node)
        if not refused and own.inner and not isinstance(merged.inner, dict):
            refused.append("has keys beside it, so the file must hold an object")
        if refused:
            # At the top there is no path before it.
            include_path = f"{path}.{INCLUDE}".lstrip(".")
            self.problems.extend(Problem(include_path, message, where=str(where)) for message in refused)
            return own
        return _merge(merged, own) if own.inner else merged

    def _read(self, name: str, path: str, source: _Source) -> _Node:
        candidate = source.file.parent / name
        # Both would make the system call raise; 4096 is Linux's PATH_MAX.
        if "\0" in name or len(str(candidate)) >= 4096:
            raise _IncludeRefused("is not a usable file name")
        file = candidate.resolve()
        # An included file may name programs that the gateway starts, so who can write one must not be whoever likes to.
        if not any(file.is_relative_to(root.resolve()) for root in self.roots):
            hint = f"move it there, or list its folder in {ROOTS_VARIABLE}"
            raise _IncludeRefused(f"{name} is outside of {self.roots[0]} ({hint})")
        # Only the files on the way to this one: including a file twice, side by side, is no circle.
        if file in source.chain:
            chain = " -> ".join(str(step) for step in (*source.chain[source.chain.index(file) :], file))
            raise _IncludeRefused(f"includes itself: {chain}")
        if len(source.chain) > MAX_DEPTH:
            raise _IncludeRefused(f"is nested more than {MAX_DEPTH} files deep")
        if len(self.reads) >= MAX_READS:
            raise ConfigError(Problem(path, f"more than {MAX_READS} files are included, one within another"))
        self.reads.append(file)
        text = self._text(file)
        try:
            value = decode_json5_value(text, str(file))
        except ConfigError as error:
            problem = error.problems[0]
            raise _IncludeRefused(f"{problem.path}: {problem.message}") from None
        return self.node(value, path, "", _Source(file, json_lines(text), (*source.chain, file)))

    def _text(self, file: Path) -> str:
        try:
            # Without blocking: a named pipe would be waited for until somebody writes into it.
            with open(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), encoding="utf-8-sig") as opened:
                # Of the opened file, as another one could have its name by now.
                status = os.fstat(opened.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise _IncludeRefused(f"{file} is not a file")
                if status.st_size > MAX_BYTES:
                    raise _IncludeRefused(f"{file} is larger than 2 MiB")
                text = opened.read()
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else "unknown reason"
            raise _IncludeRefused(f"{file} can't be read: {reason}") from None
        except UnicodeDecodeError:
            raise _IncludeRefused(f"{file} is not UTF-8 text") from None
        self.modes[file] = stat.S_IMODE(status.st_mode)
        return text


def _merge(lower: _Node, upper: _Node) -> _Node:
    """`upper` over `lower`: tables field by field, lists one after the other."""
    if isinstance(lower.inner, dict) and isinstance(upper.inner, dict):
        merged = dict(lower.inner)
        for name, node in upper.inner.items():
            merged[name] = _merge(merged[name], node) if name in merged else node
        return _Node(merged, upper.location)
    if isinstance(lower.inner, list) and isinstance(upper.inner, list):
        return _Node([*lower.inner, *upper.inner], upper.location)
    # Two values of which at least one is plain, or that are of different kinds.
    return upper


def _plain(node: _Node, path: str, locations: dict[str, Location]) -> Any:
    """The plain value; notes the places of tables' keys."""
    if path:
        locations[path] = node.location
    if isinstance(node.inner, dict):
        return {name: _plain(inner, join(path, name), locations) for name, inner in node.inner.items()}
    if isinstance(node.inner, list):
        return [_plain(inner, join(path, at), locations) for at, inner in enumerate(node.inner)]
    return node.inner
