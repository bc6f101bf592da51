"""Turns plain dicts into frozen values: without coercion, and collecting every problem with its path and a hint.

It works by types and `fields.Spec`; no key is known by name.
"""

import difflib
import re
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

import attrs

from oc_trio.config.fields import Spec, all_keys, is_enum, own_keys, unwrap_optional
from oc_trio.config.secrets import Secret, SecretForm
from oc_trio.errors import Problem

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
MISSING = object()
Resolve = Callable[[Any, str, SecretForm], Secret]


class Invalid(Exception):
    """A value is invalid; `problem` says what is wrong."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def join(path: str, name: str | int) -> str:
    """The dotted path of an entry: `a.b`, `a."x y"`, `a[0]`."""
    if isinstance(name, int):
        return f"{path}[{name}]"
    word = name if _BARE.fullmatch(name) else '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{path}.{word}" if path else word


def is_within(inner: str, outer: str) -> bool:
    """Whether a path equals `outer` or is below it."""
    return inner == outer or inner.startswith((outer + ".", outer + "["))


def nearest(word: str, names: typing.Iterable[str]) -> str:
    """The name that `word` is probably a misspelling of; "" if none is similar."""
    # A wrong case is the nearest misspelling of all.
    by_lower = {name.lower(): name for name in names}
    matches = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[matches[0]] if matches else ""


def kind_of(value: object) -> str:
    """The type of a value, for an error message."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int() | float():
            return "a number"
        case str():
            return "text"
        case Mapping():
            return "a table"
        case list() | tuple():
            return "a list"
        case _:
            return "a date or time"


class Reader:
    """Builds values, and collects `problems` and `ignored` paths on the way.

    `resolve` makes a Secret of a raw value, or raises Invalid. An unknown key is a problem, unless `lenient` returns
    true for its path: then the path is added to `ignored`.
    """

    def __init__(self, resolve: Resolve, lenient: Callable[[str], bool]) -> None:
        self._resolve = resolve
        self._lenient = lenient
        self.problems: list[Problem] = []
        self.ignored: list[str] = []

    def table(self, cls: Any, raw: object, path: str) -> Any:
        """An instance of `cls` from a table. Invalid values become problems and stay at their defaults."""
        if not isinstance(raw, Mapping):
            self._note(path or "the file", f"must be a table, not {kind_of(raw)}")
            return cls()
        # With the keys of flat groups, which are written beside the table's own.
        known = {entry.name for entry in all_keys(cls)}
        for name in raw:
            if name not in known:
                self._unknown(str(name), join(path, str(name)), known)
        return self._fill(cls, raw, path)

    def _fill(self, cls: Any, raw: Mapping[str, Any], path: str) -> Any:
        values: dict[str, Any] = {}
        for entry in own_keys(cls):
            if entry.spec.flat:
                values[entry.attribute] = self._fill(entry.declared, raw, path)
            elif entry.name in raw:
                value = self.value(entry.declared, entry.spec, raw[entry.name], join(path, entry.name))
                if value is not MISSING:
                    values[entry.attribute] = value
        return cls(**values)

    def value(self, declared: Any, spec: Spec, raw: Any, path: str) -> Any:
        """The value of one key; MISSING if it is invalid, which becomes a problem."""
        for literal, meaning in spec.also.items():
            # By type as well, because True == 1.
            if type(raw) is type(literal) and raw == literal:
                return meaning
        declared = unwrap_optional(declared)
        try:
            if declared is Secret:
                return self._resolve(raw, path, spec.secret)
            if attrs.has(declared):
                # A text alone stands for a table with that one key.
                bare = spec.scalar and isinstance(raw, str)
                return self.table(declared, {spec.scalar: raw} if bare else raw, path)
            origin = typing.get_origin(declared)
            if origin is tuple:
                return self._list(typing.get_args(declared)[0], spec, raw, path)
            if isinstance(origin, type) and issubclass(origin, Mapping):
                return self._map(typing.get_args(declared)[1], spec, raw, path)
            if is_enum(declared):
                return _choice(declared, raw, path)
            return raw if declared is Any else _scalar(declared, spec, raw, path)
        except Invalid as error:
            self.problems.append(error.problem)
            return MISSING

    def _list(self, inner: Any, spec: Spec, raw: Any, path: str) -> tuple[Any, ...]:
        if not isinstance(raw, list | tuple):
            raise Invalid(Problem(path, f"must be a list, not {kind_of(raw)}", _list_hint(raw)))
        if spec.numbers:
            # Entries of digits only may be written without quotes.
            raw = [str(item) if isinstance(item, int) and not isinstance(item, bool) else item for item in raw]
        item_spec = attrs.evolve(spec, also={})
        values = [self.value(inner, item_spec, item, join(path, index)) for index, item in enumerate(raw)]
        return tuple(value for value in values if value is not MISSING)

    def _map(self, inner: Any, spec: Spec, raw: Any, path: str) -> Mapping[str, Any]:
        if not isinstance(raw, Mapping):
            raise Invalid(Problem(path, f"must be a table, not {kind_of(raw)}"))
        item_spec = attrs.evolve(spec, also={})
        values = {str(name): self.value(inner, item_spec, item, join(path, str(name))) for name, item in raw.items()}
        # Read-only, as the rest of the configuration is frozen.
        return types.MappingProxyType({name: value for name, value in values.items() if value is not MISSING})

    def _unknown(self, name: str, path: str, known: set[str]) -> None:
        if self._lenient(path):
            self.ignored.append(path)
            return
        guess = nearest(name, known)
        if guess:
            hint = f"did you mean {guess}?"
        elif len(known) <= 12:
            hint = "known here: " + ", ".join(sorted(known))
        else:
            # A list of all keys would be longer than the message.
            hint = "see docs/configuration.md"
        self._note(path, "is not a known key", hint)

    def _note(self, path: str, message: str, hint: str = "") -> None:
        self.problems.append(Problem(path, message, hint))


def _list_hint(raw: Any) -> str:
    return "put it in brackets: [...]" if isinstance(raw, str | int) and not isinstance(raw, bool) else ""


def _choice(declared: type[Enum], raw: Any, path: str) -> Enum:
    allowed = [str(member.value) for member in declared]
    if isinstance(raw, str) and raw in allowed:
        return declared(raw)
    choices = ", ".join(f'"{name}"' for name in allowed)
    if not isinstance(raw, str):
        raise Invalid(Problem(path, f"must be one of {choices}, not {kind_of(raw)}"))
    guess = nearest(raw, allowed)
    raise Invalid(Problem(path, f"must be one of {choices}", f'did you mean "{guess}"?' if guess else ""))


def _scalar(declared: type, spec: Spec, raw: Any, path: str) -> Any:
    # Not isinstance: a bool is an int, and `true` must not count as 1.
    fits = type(raw) is declared or (declared is float and type(raw) is int)
    if not fits:
        others = "".join(
            f" or {literal!r}" if isinstance(literal, str) else f" or {str(literal).lower()}" for literal in spec.also
        )
        raise Invalid(
            Problem(path, f"must be {_NAMES[declared]}{others}, not {kind_of(raw)}", _scalar_hint(declared, raw))
        )
    if isinstance(raw, str):
        if spec.pattern and not re.fullmatch(spec.pattern, raw):
            raise Invalid(Problem(path, f"must be {spec.expects}"))
        return raw
    if declared is bool:
        return raw
    _check_limits(spec, raw, path)
    return raw * spec.scale if spec.scale != 1 else declared(raw)


def _scalar_hint(declared: type, raw: Any) -> str:
    if isinstance(raw, str) and declared is not str:
        return "without quotes"
    return "in quotes" if declared is str and isinstance(raw, bool | int | float) else ""


def _check_limits(spec: Spec, raw: float, path: str) -> None:
    # TOML allows `nan` and `inf`, and a comparison with nan is always false.
    finite = -1e15 < raw < 1e15
    low = spec.minimum is not None and raw < spec.minimum
    if spec.above is not None and raw <= spec.above:
        low = True
    if finite and not low and not (spec.maximum is not None and raw > spec.maximum):
        return
    raise Invalid(Problem(path, f"must be {limits(spec)}"))


def limits(spec: Spec) -> str:
    """The allowed range for an error message, in the unit of the file."""
    if spec.minimum is not None and spec.maximum is not None:
        return f"between {spec.minimum:.15g} and {spec.maximum:.15g}"
    parts = []
    if spec.minimum is not None:
        parts.append(f"at least {spec.minimum:.15g}")
    if spec.above is not None:
        parts.append(f"above {spec.above:.15g}")
    if spec.maximum is not None:
        parts.append(f"at most {spec.maximum:.15g}")
    return " and ".join(parts) or "a finite number"


def strict(_path: str) -> bool:
    """For `Reader.lenient`: every unknown key is a problem."""
    return False
