"""Reads typed fields of JSON objects from a peer; a wrong type raises a PayloadError that names the field.

null counts as absent, and integers beyond 64 bits are refused. JSON syntax is `json_body`.
"""

from collections.abc import Mapping
from typing import Any

from oc_trio.classes import frozen
from oc_trio.core.json_body import BadJson, read_lenient
from oc_trio.errors import PayloadError

MAX_INT = 2**63 - 1  # what both databases can store


def parse_json(text: str, what: str) -> Any:
    """The value of a JSON text, read by `read_lenient`; the PayloadError names `what` could not be read."""
    try:
        return read_lenient(text)
    except BadJson as err:
        raise PayloadError(f"{what} is {err}") from err


@frozen
class Fields:
    """Typed access to a JSON object; null counts as absent. `what` names it in errors, such as "post"."""

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
        """A required string that must not be empty: ids and names."""
        value = self.text(key)
        if not value:
            raise PayloadError(f"{self.what} has no {key}")
        return value

    def number(self, key: str, default: int = 0) -> int:
        value = self.data.get(key)
        if value is None:
            return default
        # In Python `True` is an int.
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
        """A list of strings; also if the server sends the list as a JSON string, as in `data.mentions`."""
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
        """A nested object, empty if absent; also if the server sends it as a JSON string, as in `data.post`."""
        value = self.data.get(key)
        what = f"{self.what}.{key}"
        if isinstance(value, str):
            return Fields.parse(value, what)
        return Fields.of({} if value is None else value, what)

    def _wrong(self, key: str, wanted: str) -> PayloadError:
        return PayloadError(f"{self.what}.{key} is not {wanted}")
