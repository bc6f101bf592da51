"""Replaces `${NAME}` and references to secrets in an openclaw.json by their values."""

import re
from collections.abc import Mapping
from typing import Any

from attrs import field

from oc_trio.classes import frozen
from oc_trio.config.adapted import UnavailableValue
from oc_trio.config.parse import Invalid, join
from oc_trio.config.secret_providers import SecretProviders, is_reference
from oc_trio.errors import Problem

_SECRET_KEYS = {"botToken", "apiKey", "token"}
_WHOLE = re.compile(r"\$\{([A-Z_][A-Z0-9_]*)\}|\$([A-Z_][A-Z0-9_]*)")
_VARIABLE = re.compile(r"(\$?)\$\{([A-Z_][A-Z0-9_]*)\}")
_LEFT_ALONE = ("env", "secrets")  # what they hold is text, or read by their own modules


@frozen
class Substitution:
    """`unavailable` has the values that can't be read; whether they are used is not known here."""

    env: Mapping[str, str] = field(repr=False)
    providers: SecretProviders
    unavailable: list[UnavailableValue] = field(factory=list)

    def document(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """A copy of the document with its values replaced, made of plain dicts and lists."""
        return {
            str(name): inner if name in _LEFT_ALONE else self._value(inner, join("", str(name)))
            for name, inner in values.items()
        }

    def _value(self, value: Any, path: str) -> Any:
        if isinstance(value, str):
            match = _WHOLE.fullmatch(value.strip())
            # Kept as a reference, so that a token can be read again after the server has refused it, and `config show`
            # can say where it comes from.
            if match and _is_secret(path):
                return {"source": "env", "id": match[1] or match[2]}
            return _VARIABLE.sub(lambda match: self._variable(match, path), value) if "${" in value else value
        if is_reference(value):
            try:
                return self.providers.resolve(value, path)
            except Invalid as error:
                self.unavailable.append(UnavailableValue(path, error.problem))
                return ""
        if isinstance(value, Mapping):
            return {str(name): self._value(inner, join(path, str(name))) for name, inner in value.items()}
        if isinstance(value, list):
            return [self._value(inner, join(path, index)) for index, inner in enumerate(value)]
        return value

    def _variable(self, match: re.Match[str], path: str) -> str:
        if match[1]:  # `$${NAME}` is how a file writes `${NAME}` itself
            return match[0][1:]
        value = self.env.get(match[2], "")
        if not value:
            empty = "is empty" if match[2] in self.env else "is not set"
            hint = "set it, or write it into ~/.openclaw/.env"
            problem = Problem(path, f"the environment variable {match[2]} {empty}", hint)
            self.unavailable.append(UnavailableValue(path, problem))
            return match[0]
        return value


def _is_secret(path: str) -> bool:
    """Whether a key holds a secret: tokens, API keys, and values of headers and environments."""
    outer, _, name = path.rpartition(".")
    return name in _SECRET_KEYS or outer.endswith((".headers", ".env"))
