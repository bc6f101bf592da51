"""Attribute values back to what a file would say: enum values, milliseconds, `"***"` for secrets."""

from collections.abc import Mapping
from enum import Enum
from typing import Any

import attrs

from oc_trio.config.fields import Key, Spec, own_keys
from oc_trio.config.secrets import Secret

MISSING_DEFAULT = object()


def written(value: Any, spec: Spec) -> Any:
    """The value in the file's terms; None stays None, secrets become `"***"` or `""`."""
    match value:
        case Secret():
            return "***" if value else ""
        case Enum():
            return value.value
        case bool() | str() | None:
            return value
        case int() | float():
            return _number(value / spec.scale)
        case tuple():
            return [written(item, spec) for item in value]
        case Mapping():
            return {name: written(item, spec) for name, item in value.items()}
        case _:
            return _table(value) if attrs.has(type(value)) else value


def written_default(entry: Key) -> Any:
    """A key's default in the file's terms, or MISSING_DEFAULT where it is a table or unset."""
    value = entry.default
    if value is None or attrs.has(type(value)) or isinstance(value, Mapping | Secret):
        return MISSING_DEFAULT
    return written(value, entry.spec)


def _number(value: float) -> float:
    rounded = round(value, 6)
    return int(rounded) if rounded == int(rounded) else rounded


def _table(value: Any) -> dict[str, Any]:
    made: dict[str, Any] = {}
    declared: type = type(value)
    for entry in own_keys(declared):
        inner = getattr(value, entry.attribute)
        if entry.spec.flat:
            made.update(_table(inner))
        else:
            made[entry.name] = written(inner, entry.spec)
    return made
