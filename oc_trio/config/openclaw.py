"""What only an imported openclaw.json has: `${VARIABLE}` in texts, agents and skills in other shapes."""

import re
from collections.abc import Mapping
from typing import Any

from oc_trio.config.checks import Findings
from oc_trio.config.parse import join

_SECRET_KEYS = {"botToken", "apiKey", "token"}
_VARIABLE = re.compile(r"\$\{([A-Z_][A-Z0-9_]*)\}")


def adapt(document: Mapping[str, Any], env: Mapping[str, str], found: Findings) -> dict[str, Any]:
    """The document with variables put in `agents.list` as `agents.entries` and
    `userTimezone` as `timezone`; unset variables are problems."""
    made = {str(name): _substitute(value, str(name), env, found) for name, value in document.items()}
    agents = made.get("agents")
    if isinstance(agents, Mapping) and isinstance(agents.get("list"), list) and "entries" not in agents:
        listed = [entry for entry in agents["list"] if isinstance(entry, Mapping) and isinstance(entry.get("id"), str)]
        entries = {entry["id"]: {name: value for name, value in entry.items() if name != "id"} for entry in listed}
        made["agents"] = {**{name: value for name, value in agents.items() if name != "list"}, "entries": entries}
    if isinstance(made.get("agents"), Mapping) and isinstance(made["agents"].get("defaults"), Mapping):
        defaults = dict(made["agents"]["defaults"])
        if "userTimezone" in defaults:
            defaults.setdefault("timezone", defaults.pop("userTimezone"))
            made["agents"] = {**made["agents"], "defaults": defaults}
    return made


def _substitute(value: Any, path: str, env: Mapping[str, str], found: Findings) -> Any:
    if isinstance(value, str):
        whole = _VARIABLE.fullmatch(value.strip())
        if whole and path.rpartition(".")[2] in _SECRET_KEYS:
            return {"source": "env", "id": whole[1]}
        return _VARIABLE.sub(lambda match: _variable(match[1], path, env, found), value) if "${" in value else value
    if isinstance(value, Mapping):
        return {str(name): _substitute(inner, join(path, str(name)), env, found) for name, inner in value.items()}
    if isinstance(value, list):
        return [_substitute(inner, join(path, index), env, found) for index, inner in enumerate(value)]
    return value


def _variable(name: str, path: str, env: Mapping[str, str], found: Findings) -> str:
    if name not in env:
        found.wrong(path, f"the environment variable {name} is not set")
    return env.get(name, "")
