"""Converts attribute values back to the form of a file: enum values, milliseconds, `"***"` for secrets."""

from collections.abc import Mapping
from enum import Enum
from typing import Any

import attrs

from oc_trio.config.fields import Key, Spec, own_keys
from oc_trio.config.secrets import Secret

MISSING_DEFAULT = object()


def to_file_value(value: Any, spec: Spec) -> Any:
    """The value in the file's terms; None stays None, secrets become `"***"` or `""`."""
    match value:
        case Secret():
            return "***" if value else ""
        case Enum():
            return value.value
        case bool() | str() | None:
            return value
        case int() | float():
            # Multiplying by the scale when it was read, and dividing now, may leave a rounding error.
            return _number(value / spec.scale)
        case tuple():
            return [to_file_value(item, spec) for item in value]
        case Mapping():
            return {name: to_file_value(item, spec) for name, item in value.items()}
        case _:
            return _table(value) if attrs.has(type(value)) else value


def default_in_file(entry: Key) -> Any:
    """A key's default in the file's terms, or MISSING_DEFAULT where it is a table or unset."""
    value = entry.default
    if value is None or attrs.has(type(value)) or isinstance(value, Mapping | Secret):
        return MISSING_DEFAULT
    return to_file_value(value, entry.spec)


def _number(value: float) -> float:
    rounded = round(value, 6)
    return int(rounded) if rounded == int(rounded) else rounded


def _table(value: Any) -> dict[str, Any]:
    table: dict[str, Any] = {}
    declared: type = type(value)
    for entry in own_keys(declared):
        inner = getattr(value, entry.attribute)
        if entry.spec.flat:
            table.update(_table(inner))
        else:
            table[entry.name] = to_file_value(inner, entry.spec)
    return table
