"""Writes plain values as TOML, for `oc-trio config import` and `oc-trio init`."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

# What is longer, people read and change more easily with one entry on a line.
_LONGEST_INLINE = 100
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml_text(values: Mapping[str, Any]) -> str:
    """A TOML document: plain keys first, then tables; short tables without tables inside are written inline."""
    return "\n".join(_table(values, "")).strip() + "\n"


def _table(values: Mapping[str, Any], path: str) -> Iterator[str]:
    tables = {name: value for name, value in values.items() if isinstance(value, Mapping) and not _is_small(value)}
    plain = {name: value for name, value in values.items() if name not in tables}
    if path and (plain or not tables):
        yield f"\n[{path}]"
    for name, value in plain.items():
        yield f"{_name(name)} = {_value(value)}"
    for name, value in tables.items():
        yield from _table(value, f"{path}.{_name(name)}" if path else _name(name))


def _is_small(value: Mapping[str, Any]) -> bool:
    return not any(isinstance(inner, Mapping) for inner in value.values()) and len(_value(value)) <= _LONGEST_INLINE


def _value(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case str():
            return toml_string(value)
        case Mapping():
            return "{ " + ", ".join(f"{_name(name)} = {_value(inner)}" for name, inner in value.items()) + " }"
        case list() | tuple():
            items = [_value(item) for item in value]
            line = "[" + ", ".join(items) + "]"
            return line if len(line) <= _LONGEST_INLINE else "[\n" + "".join(f"    {item},\n" for item in items) + "]"
        case _:
            return toml_string(str(value))


def _name(name: str) -> str:
    return name if _BARE.fullmatch(name) else toml_string(name)


def toml_string(value: str) -> str:
    """A basic string: JSON's escapes are TOML's, but for DEL and lone surrogates, which TOML can't hold."""
    escaped = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return re.sub(r"[\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", escaped)
