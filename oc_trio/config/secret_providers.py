"""Resolves OpenClaw's references to secrets, `{ source, provider, id }`, through its `secrets.providers`.

A reference to a file becomes a path and a JSON pointer, one to a program its command line, one to OpenClaw's own store
its value. No program is run here.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import field

from oc_trio.classes import frozen
from oc_trio.config.openclaw_store import OpenClawStore, StoreUnreadable
from oc_trio.config.parse import Invalid, join
from oc_trio.config.paths import expanded, openclaw_home
from oc_trio.errors import Problem

_SHAPE = {"source", "provider", "id"}
_STORE = "see openclaw secrets store list"
_MANAGED = "name its command and args, or keep the secret in a file or variable"


def is_reference(value: Any) -> bool:
    """Whether a value is a reference of OpenClaw's, and not one of oc-trio's, which has further keys."""
    return isinstance(value, Mapping) and "source" in value and "id" in value and set(map(str, value)) <= _SHAPE


@frozen
class SecretProviders:
    """The section `secrets` of an openclaw.json. `env` has the variables in effect, `store` is OpenClaw's database."""

    section: Mapping[str, Any] = field(factory=dict, repr=False)
    env: Mapping[str, str] = field(factory=dict, repr=False)
    store: OpenClawStore = OpenClawStore(Path("/nonexistent"))

    @classmethod
    def of(cls, document: Mapping[str, Any], env: Mapping[str, str]) -> "SecretProviders":
        section = document.get("secrets")
        return cls(section if isinstance(section, Mapping) else {}, env, OpenClawStore(openclaw_home(env)))

    def resolve(self, reference: Mapping[str, Any], path: str) -> Any:
        """The reference in oc-trio's form. Raises Invalid if its provider doesn't exist or is not supported."""
        source, name = str(reference["source"]), reference["id"]
        if source not in ("env", "file", "exec", "store") or not isinstance(name, str):
            return dict(reference)  # `secret_keys` reports what is wrong with it
        if source in ("file", "exec") and "provider" not in reference and not self._table("providers"):
            return dict(reference)
        provider_name = str(reference.get("provider") or self._default(source))
        provider = self._table("providers").get(provider_name)
        is_defined = isinstance(provider, Mapping) and provider.get("source") == source
        if not is_defined and not (source in ("env", "store") and provider_name == self._default(source)):
            names = ", ".join(self._table("providers")) or "none"
            hint = f"there are: {names}; see secrets.providers"
            raise Invalid(
                Problem(join(path, "provider"), f'there is no secrets provider "{provider_name}" of {source}', hint)
            )
        settings: Mapping[str, Any] = provider if is_defined and isinstance(provider, Mapping) else {}
        where = join("secrets.providers", provider_name)
        match source:
            case "env":
                return _variable(settings, name, path, where)
            case "store":
                return self._stored(name, path)
            case "file":
                return _file(settings, name, path, where)
            case _:
                return _command(settings, provider_name, name, where, self.env)

    def _stored(self, name: str, path: str) -> str:
        try:
            value = self.store.secret(name)
        except StoreUnreadable as error:
            raise Invalid(Problem(path, str(error))) from None
        if value is None:
            raise Invalid(Problem(path, f"OpenClaw's store of secrets ({self.store.database}) has no {name}", _STORE))
        return value

    def _default(self, source: str) -> str:
        return str(self._table("defaults").get(source) or "default")

    def _table(self, name: str) -> Mapping[str, Any]:
        inner = self.section.get(name)
        return inner if isinstance(inner, Mapping) else {}


def _variable(provider: Mapping[str, Any], name: str, path: str, where: str) -> dict[str, Any]:
    allowed = provider.get("allowlist")
    # OpenClaw enforces this list, and `trustedDirs` below; to ignore them would widen what the operator allowed.
    if isinstance(allowed, list) and name not in allowed:
        raise Invalid(Problem(join(path, "id"), f"{where}.allowlist does not have {name}", "add it there"))
    return {"source": "env", "id": name}


def _file(provider: Mapping[str, Any], pointer: str, path: str, where: str) -> dict[str, Any]:
    file = provider.get("path")
    if not isinstance(file, str) or not file:
        raise Invalid(Problem(f"{where}.path", "must be the path of a file"))
    file = file if file.startswith(("/", "~", ".")) else f"./{file}"
    if provider.get("mode", "json") == "singleValue":
        if pointer != "value":
            raise Invalid(Problem(join(path, "id"), f'must be "value", for {where} holds a single value'))
        return {"source": "file", "path": file}
    if not pointer.startswith("/"):
        raise Invalid(Problem(join(path, "id"), "must be a JSON pointer", 'such as "/providers/openai/apiKey"'))
    return {"source": "file", "path": file, "pointer": pointer}


def _command(provider: Mapping[str, Any], alias: str, name: str, where: str, env: Mapping[str, str]) -> dict[str, Any]:
    program, arguments = provider.get("command"), provider.get("args", [])
    if "pluginIntegration" in provider:
        raise Invalid(Problem(f"{where}.pluginIntegration", "is a plugin of OpenClaw, and none runs here", _MANAGED))
    if not isinstance(program, str) or not program.startswith(("/", "~")):
        raise Invalid(Problem(f"{where}.command", "must be the absolute path of a program"))
    if not isinstance(arguments, list) or not all(isinstance(text, str) for text in arguments):
        raise Invalid(Problem(f"{where}.args", "must be a list of texts"))
    file = expanded(program)
    trusted = provider.get("trustedDirs")
    if isinstance(trusted, list) and not any(file.is_relative_to(expanded(str(text))) for text in trusted):
        raise Invalid(Problem(f"{where}.command", "is in none of trustedDirs", "add its folder there"))
    reference: dict[str, Any] = {"source": "exec", "command": [str(file), *arguments], "provider": alias, "id": name}
    if provider.get("jsonOnly") is False:
        reference["plain"] = True
    if isinstance(provider.get("env"), Mapping):
        reference["env"] = {
            str(key): re.sub(r"\$\{([A-Z_][A-Z0-9_]*)\}", lambda match: env.get(match[1], ""), str(value))
            for key, value in provider["env"].items()
        }
    # OpenClaw's default; oc-trio's own is longer.
    milliseconds = reference["timeoutMs"] = provider.get("timeoutMs", 5000)
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float) or not 0 < milliseconds <= 120_000:
        raise Invalid(Problem(f"{where}.timeoutMs", "must be between 1 and 120000"))
    return reference
