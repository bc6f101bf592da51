"""OpenClaw's references to secrets, `{ source, provider, id }`, as references that say by themselves where to look.

`secrets.providers` is read here and nowhere else: a reference to a file becomes a path and a JSON pointer, one to a
program its command line, one to OpenClaw's own store its value. Nothing is run.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from oc_trio.config.openclaw_store import OpenClawStore, StoreUnreadable
from oc_trio.config.parse import Invalid, join
from oc_trio.config.paths import openclaw_home
from oc_trio.errors import Problem

_SHAPE = {"source", "provider", "id"}
_STORE = "see openclaw secrets store list"
_MANAGED = "name its command and args, or keep the secret in a file or variable"


def is_reference(value: Any) -> bool:
    """Whether a value is one of OpenClaw's references, and none of oc-trio's own."""
    return isinstance(value, Mapping) and "source" in value and "id" in value and set(map(str, value)) <= _SHAPE


@frozen
class SecretProviders:
    """`secrets` of an openclaw.json. `env` has the variables in effect, `store` is OpenClaw's own."""

    section: Mapping[str, Any] = field(factory=dict, repr=False)
    env: Mapping[str, str] = field(factory=dict, repr=False)
    store: OpenClawStore = OpenClawStore(Path("/nonexistent"))

    @classmethod
    def of(cls, document: Mapping[str, Any], env: Mapping[str, str]) -> "SecretProviders":
        section = document.get("secrets")
        return cls(section if isinstance(section, Mapping) else {}, env, OpenClawStore(openclaw_home(env)))

    def resolve(self, reference: Mapping[str, Any], path: str) -> Any:
        """The reference in oc-trio's own shape; raises Invalid where its provider doesn't exist or can't be used."""
        source, name = str(reference["source"]), reference["id"]
        if source not in ("env", "file", "exec", "store") or not isinstance(name, str):
            return dict(reference)  # the reader of secrets says what is wrong with it
        if source in ("file", "exec") and "provider" not in reference and not self._table("providers"):
            return dict(reference)
        wanted = str(reference.get("provider") or self._default(source))
        provider = self._table("providers").get(wanted)
        known = isinstance(provider, Mapping) and provider.get("source") == source
        if not known and not (source in ("env", "store") and wanted == self._default(source)):
            there = ", ".join(self._table("providers")) or "none"
            hint = f"there are: {there}; see secrets.providers"
            raise Invalid(Problem(join(path, "provider"), f'there is no secrets provider "{wanted}" of {source}', hint))
        made: Mapping[str, Any] = provider if known and isinstance(provider, Mapping) else {}
        where = join("secrets.providers", wanted)
        match source:
            case "env":
                return _variable(made, name, path, where)
            case "store":
                return self._stored(name, path)
            case "file":
                return _file(made, name, path, where)
            case _:
                return _command(made, wanted, name, where, self.env)

    def _stored(self, name: str, path: str) -> str:
        try:
            value = self.store.secret(name)
        except StoreUnreadable as broken:
            raise Invalid(Problem(path, str(broken))) from None
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
    if not isinstance(arguments, list) or not all(isinstance(one, str) for one in arguments):
        raise Invalid(Problem(f"{where}.args", "must be a list of texts"))
    file = Path(program).expanduser()
    trusted = provider.get("trustedDirs")
    if isinstance(trusted, list) and not any(file.is_relative_to(Path(str(one)).expanduser()) for one in trusted):
        raise Invalid(Problem(f"{where}.command", "is in none of trustedDirs", "add its folder there"))
    made: dict[str, Any] = {"source": "exec", "command": [str(file), *arguments], "provider": alias, "id": name}
    if provider.get("jsonOnly") is False:
        made["plain"] = True
    if isinstance(provider.get("env"), Mapping):
        made["env"] = {
            str(key): re.sub(r"\$\{([A-Z_][A-Z0-9_]*)\}", lambda match: env.get(match[1], ""), str(value))
            for key, value in provider["env"].items()
        }
    made["timeoutMs"] = provider.get("timeoutMs", 5000)
    return made
