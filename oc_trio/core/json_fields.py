"""Reads typed fields out of JSON that somebody else wrote; whatever is wrong becomes a PayloadError that names it.

Owns the traps of foreign JSON: depth, lone surrogates, NaN, giant numbers, null for absent. Knows no entity.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from attrs import frozen

from oc_trio.errors import PayloadError

# Mattermost nests about ten levels; json.loads gives up near the interpreter's recursion limit (1000), and what
# it just manages to read may still be too deep to write again from a deeper stack.
MAX_DEPTH = 100
MAX_INT = 2**63 - 1  # what both databases can store

# One alternative per kind of escape: a proper surrogate pair, a lone half, anything else (so that the second
# backslash of an escaped backslash never starts an escape of its own).
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_BRACKETS_AND_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


def parse_json(text: str, what: str) -> Any:
    """The value of a JSON text, lone surrogates replaced by U+FFFD; PayloadError names `what` could not be read."""
    if _depth_exceeds(text, MAX_DEPTH):
        raise PayloadError(f"{what} is nested deeper than {MAX_DEPTH} levels")
    try:
        return json.loads(_mend(text), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as err:
        raise PayloadError(f"{what} is not JSON") from err


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _mend(text: str) -> str:
    """The text without lone surrogates, which no UTF-8 log, database or socket would take."""
    if "\\ud" in text or "\\uD" in text:
        text = _ESCAPE.sub(lambda match: "\\ufffd" if match["lone"] else match[0], text)
    return _SURROGATE.sub("\ufffd", text)


def _depth_exceeds(text: str, limit: int) -> bool:
    if text.count("[") + text.count("{") <= limit:
        return False
    depth = 0
    for token in _BRACKETS_AND_STRINGS.finditer(text):
        first = token[0][0]
        depth += (first in "[{") - (first in "]}")
        if depth > limit:
            return True
    return False


@frozen
class Fields:
    """A JSON object read with suspicion; null counts as absent. `what` names it in messages, such as "post"."""

    what: str
    data: Mapping[str, Any]

    @classmethod
    def of(cls, value: object, what: str) -> "Fields":
        if not isinstance(value, Mapping):
            raise PayloadError(f"{what} is not an object")
        return cls(what, value)

    @classmethod
    def parse(cls, text: str, what: str) -> "Fields":
        return cls.of(parse_json(text, what), what)

    def has(self, key: str) -> bool:
        return self.data.get(key) is not None

    def text(self, key: str, default: str = "") -> str:
        value = self.data.get(key)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self._wrong(key, "a string")
        return value

    def need(self, key: str) -> str:
        """A string that must be there and not empty: ids and names."""
        value = self.text(key)
        if not value:
            raise PayloadError(f"{self.what} has no {key}")
        return value

    def number(self, key: str, default: int = 0) -> int:
        value = self.data.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._wrong(key, "an integer")
        if abs(value) > MAX_INT:
            raise self._wrong(key, "within 64 bits")
        return value

    def flag(self, key: str) -> bool:
        value = self.data.get(key)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(key, "a boolean")
        return bool(value)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings; also where the server wraps the list in a JSON string, as in `data.mentions`."""
        value = self.data.get(key)
        if isinstance(value, str):
            value = parse_json(value, f"{self.what}.{key}") if value else None
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._wrong(key, "a list of strings")
        return tuple(value)

    def items(self, key: str) -> tuple[Any, ...]:
        value = self.data.get(key)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise self._wrong(key, "a list")
        return tuple(value)

    def object(self, key: str) -> "Fields":
        """A nested object, empty where absent; also where the server wraps it in a JSON string, as in `data.post`."""
        value = self.data.get(key)
        what = f"{self.what}.{key}"
        if isinstance(value, str):
            return Fields.parse(value, what)
        return Fields.of({} if value is None else value, what)

    def _wrong(self, key: str, wanted: str) -> PayloadError:
        return PayloadError(f"{self.what}.{key} is not {wanted}")
