"""Declares configuration keys: default, meaning and limits of a key are metadata of its attrs field.

The parser, the reference page and the JSON Schema are made from these declarations, so they can't disagree.
"""

import re
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from typing import Any

import attrs

from oc_trio.classes import frozen
from oc_trio.config.secrets import SecretForm

_SPEC = "oc_trio.config"


@frozen
class Spec:
    """What a key accepts beyond its type.

    `scale` turns the file's unit into the attribute's (0.001: milliseconds to seconds); limits are in the file's unit.
    `also` maps further literal values to what they mean. `scalar` names the inner key that a bare value stands for.
    `flat` sections have no key of their own: their keys sit beside their parent's. `numbers` lets list entries be
    written as numbers. `secret` is what a secret may be made of.
    """

    doc: str = ""
    name: str = ""
    scale: float = 1
    minimum: float | None = None
    above: float | None = None
    maximum: float | None = None
    pattern: str = ""
    expects: str = ""
    also: Mapping[Any, Any] = {}
    scalar: str = ""
    flat: bool = False
    numbers: bool = False
    secret: SecretForm = SecretForm.TOKEN


def key(default: Any, doc: str, **spec: Any) -> Any:
    """A key with a plain default."""
    return attrs.field(default=default, metadata={_SPEC: Spec(doc=doc, **spec)}, kw_only=True)


def section(factory: Callable[[], Any], doc: str, **spec: Any) -> Any:
    """A key that holds a table of its own."""
    return attrs.field(factory=factory, metadata={_SPEC: Spec(doc=doc, **spec)}, kw_only=True)


def table_of(doc: str, **spec: Any) -> Any:
    """A key that holds a table whose keys the operator chooses."""
    # Mappings can't be hashed.
    return attrs.field(factory=dict, metadata={_SPEC: Spec(doc=doc, **spec)}, kw_only=True, hash=False)


def flat(factory: Callable[[], Any]) -> Any:
    """A group of keys that sit beside their parent's own keys."""
    return attrs.field(factory=factory, metadata={_SPEC: Spec(flat=True)}, kw_only=True)


@frozen
class Key:
    """One key as the file spells it, with its attribute, declared type and default. `owner` declares it."""

    name: str
    attribute: str
    declared: Any
    spec: Spec
    owner: type

    @property
    def default(self) -> Any:
        """The attribute's default, in the attribute's unit."""
        default = getattr(attrs.fields(self.owner), self.attribute).default
        return default.factory() if isinstance(default, attrs.Factory) else default  # type: ignore[arg-type]


def camel(attribute: str) -> str:
    """The spelling in files: `dm_policy` is `dmPolicy`."""
    return re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), attribute)


@cache
def own_keys(cls: type) -> tuple[Key, ...]:
    """The fields that a class declares, flat groups included as one entry each."""
    # This evaluates every annotation anew, hence the cache.
    hints = typing.get_type_hints(cls)
    keys = []
    for field in attrs.fields(cls):
        spec: Spec = field.metadata[_SPEC]
        keys.append(Key(spec.name or camel(field.name), field.name, hints[field.name], spec, cls))
    return tuple(keys)


@cache
def all_keys(cls: type) -> tuple[Key, ...]:
    """Every key that may be written in the table of `cls`, flat groups unfolded, in order of declaration."""
    keys: list[Key] = []
    for entry in own_keys(cls):
        keys.extend(all_keys(entry.declared) if entry.spec.flat else (entry,))
    return tuple(keys)


def unwrap_optional(declared: Any) -> Any:
    """`X` for `X | None`, anything else as it is."""
    if typing.get_origin(declared) in {typing.Union, types.UnionType}:
        inner = [arg for arg in typing.get_args(declared) if arg is not type(None)]
        assert len(inner) == 1, declared
        return inner[0]
    return declared


def is_enum(declared: Any) -> bool:
    return isinstance(declared, type) and issubclass(declared, Enum)
