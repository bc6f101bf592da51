"""Generates the JSON Schema of the configuration from the declarations, for editors and `oc-trio config schema`."""

import typing
from collections.abc import Mapping
from typing import Any

import attrs

from oc_trio.config.fields import Key, Spec, all_keys, is_enum, unwrap_optional
from oc_trio.config.file_value import MISSING_DEFAULT, default_in_file
from oc_trio.config.model import Config
from oc_trio.config.secrets import Secret

_SECRET: dict[str, Any] = {
    "oneOf": [
        {"type": "string"},
        {
            "type": "object",
            "properties": {"source": {"const": "env"}, "provider": {"type": "string"}, "id": {"type": "string"}},
            "required": ["source", "id"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {
                "source": {"const": "file"},
                "provider": {"type": "string"},
                "id": {"type": "string"},
                "path": {"type": "string"},
                "pointer": {"type": "string", "pattern": "^/"},
            },
            "required": ["source"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {
                "source": {"const": "exec"},
                "provider": {"type": "string"},
                "id": {"type": "string"},
                "command": {"type": "array", "items": {"type": "string"}, "minItems": 1},
                "plain": {"type": "boolean"},
                "env": {"type": "object", "additionalProperties": {"type": "string"}},
                "timeoutMs": {"type": "number", "exclusiveMinimum": 0, "maximum": 120_000},
            },
            "required": ["source", "command"],
            "additionalProperties": False,
        },
    ]
}


def json_schema() -> dict[str, Any]:
    """The schema (draft 2020-12) of the current spellings; older ones, which give a warning, are not in it."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "oc-trio configuration",
        **_table(Config),
        "$defs": {"secret": _SECRET},
    }


def _table(cls: type) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {entry.name: _key(entry) for entry in all_keys(cls)},
        "additionalProperties": False,
    }


def _key(entry: Key) -> dict[str, Any]:
    schema = {"description": entry.spec.doc, **_value(entry.declared, entry.spec)}
    default = default_in_file(entry)
    if default is not MISSING_DEFAULT:
        schema["default"] = default
    return schema


def _value(declared: Any, spec: Spec) -> dict[str, Any]:
    schema = _plain(unwrap_optional(declared), spec)
    if spec.also:
        return {"anyOf": [schema, {"enum": list(spec.also)}]}
    if spec.scalar and "properties" in schema:
        return {"anyOf": [{"type": "string"}, schema]}
    return schema


def _plain(declared: Any, spec: Spec) -> dict[str, Any]:
    if declared is Secret:
        return {"$ref": "#/$defs/secret"}
    if attrs.has(declared):
        return _table(declared)
    if is_enum(declared):
        return {"enum": [member.value for member in declared]}
    origin = typing.get_origin(declared)
    # Other spellings are those of the whole value, not of its items.
    inner = attrs.evolve(spec, also={})
    if origin is tuple:
        items = _value(typing.get_args(declared)[0], inner)
        # Lists of ids take numbers, as `Reader` does.
        return {"type": "array", "items": {"type": ["string", "integer"]} if spec.numbers else items}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _value(typing.get_args(declared)[1], inner)}
    if declared is Any:
        return {}
    return {"type": {bool: "boolean", int: "integer", float: "number", str: "string"}[declared], **_limits(spec)}


def _limits(spec: Spec) -> dict[str, Any]:
    keywords = {
        "minimum": spec.minimum,
        "exclusiveMinimum": spec.above,
        "maximum": spec.maximum,
        "pattern": f"^(?:{spec.pattern})$" if spec.pattern else None,
    }
    return {name: value for name, value in keywords.items() if value is not None}
