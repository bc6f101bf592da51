"""Agents of an openclaw.json: older shapes, thinking levels, workspaces and tool rules in oc-trio's terms."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from oc_trio.config.openclaw_draft import OpenClawDraft
from oc_trio.config.parse import join
from oc_trio.config.paths import openclaw_home

_THINKING = {"minimal": "low", "xhigh": "high", "max": "high", "ultra": "high", "adaptive": ""}
_LONGEST_TURN = 86_400
# Names of OpenClaw's tools and groups, and what they are here; names with "__" or * are an MCP server's and stay.
_TOOLS: Mapping[str, tuple[str, ...]] = {
    "*": ("*",),
    "message": ("message",),
    "group:messaging": ("message",),
    "ask_user": ("ask_user", "offer_buttons"),
    "read": ("use_skill",),  # OpenClaw's agents read their skills with it
    "group:fs": ("use_skill",),
    "group:openclaw": ("message", "ask_user", "offer_buttons", "use_skill"),
    "bundle-mcp": ("*__*",),
    "group:plugins": ("*__*",),
}
_PROFILES: Mapping[str, tuple[str, ...]] = {
    "minimal": (),
    "coding": ("use_skill", "ask_user", "offer_buttons", "*__*"),
    "messaging": ("message", "ask_user", "offer_buttons", "*__*"),
    "full": ("*",),
}


def adapt_agents(draft: OpenClawDraft, env: Mapping[str, str]) -> None:
    """`agents` and `tools` in oc-trio's terms."""
    _entries(draft)
    defaults = draft.table("agents", "defaults")
    draft.rename(defaults, "agents.defaults", "userTimezone", "timezone")
    for path, table in draft.agents():
        _thinking(draft, path, table)
        _parameters(draft, path, table)
        if isinstance(table.get("timeoutSeconds"), int | float) and table["timeoutSeconds"] > _LONGEST_TURN:
            table["timeoutSeconds"] = _LONGEST_TURN
            draft.odd(f"{path}.timeoutSeconds", "a turn lasts a day at most here")
    _workspace(draft, env)
    _tools(draft)


def _entries(draft: OpenClawDraft) -> None:
    """`agents.list`, a list of tables with an id, as `agents.entries`."""
    agents = draft.table("agents")
    listed = agents.get("list")
    if not isinstance(listed, list) or "entries" in agents:
        return
    entries: dict[str, Any] = {}
    for index, entry in enumerate(listed):
        place = join("agents.list", index)
        if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
            draft.found.wrong(place, "must be a table with an id", '{ id: "main" }')
        elif entry["id"] in entries:
            draft.found.wrong(f"{place}.id", f'there is another agent "{entry["id"]}"', "rename one of them")
        else:
            entries[entry["id"]] = {name: value for name, value in entry.items() if name != "id"}
            draft.written[join("agents.entries", entry["id"])] = place
    del agents["list"]
    agents["entries"] = entries


def _thinking(draft: OpenClawDraft, path: str, table: dict[str, Any]) -> None:
    level = table.get("thinkingDefault")
    if isinstance(level, str) and level in _THINKING:
        meant = table["thinkingDefault"] = _THINKING[level]
        instead = f'"{meant}" is used' if meant else "the model decides"
        draft.odd(f"{path}.thinkingDefault", f'there is no "{level}" here: {instead}', "off, low, medium or high")


def _parameters(draft: OpenClawDraft, path: str, table: dict[str, Any]) -> None:
    """`params.temperature` and `params.maxTokens`, which stand beside the model here."""
    parameters = table.get("params")
    if isinstance(parameters, dict):
        for name in ("temperature", "maxTokens"):
            if name in parameters and name not in table:
                table[name] = parameters.pop(name)
                draft.written[f"{path}.{name}"] = f"{path}.params.{name}"
        if not parameters:
            del table["params"]


def _workspace(draft: OpenClawDraft, env: Mapping[str, str]) -> None:
    """OpenClaw's own place for the agents' files, where the file names none and it exists."""
    defaults = draft.table("agents", "defaults")
    folder = env.get("OPENCLAW_WORKSPACE_DIR", "").strip() or str(openclaw_home(env) / "workspace")
    if "workspace" not in defaults and (openclaw_home(env) / "workspace").is_dir():
        draft.made("agents", "defaults")["workspace"] = folder


def _tools(draft: OpenClawDraft) -> None:
    """`tools` for everybody and the agents' own, each as one list of what is offered and one of what isn't."""
    shared = draft.table("tools")
    everybody, refused = _allowed(draft, "tools", shared), _denied(draft, "tools", shared)
    if not shared:
        draft.values.pop("tools", None)
    if everybody is not None or refused:
        rules = draft.made("agents", "defaults").setdefault("tools", {})
        _write(rules, everybody, refused)
        draft.written.setdefault("agents.defaults.tools", "tools")
    for path, table in draft.agents():
        own = table.get("tools")
        if path == "agents.defaults" or not isinstance(own, dict):
            continue
        allowed, denied = _allowed(draft, f"{path}.tools", own), _denied(draft, f"{path}.tools", own)
        if allowed is not None and everybody is not None:
            allowed = [name for name in allowed if any(fnmatchcase(name, pattern) for pattern in everybody)]
        _write(own, everybody if allowed is None else allowed, [*refused, *denied])
        if not own:
            del table["tools"]


def _write(rules: dict[str, Any], allowed: list[str] | None, denied: list[str]) -> None:
    if allowed is not None:
        rules["allow"] = list(dict.fromkeys(allowed))
    if denied:
        rules["deny"] = list(dict.fromkeys(denied))


def _allowed(draft: OpenClawDraft, path: str, table: dict[str, Any]) -> list[str] | None:
    """What is offered; None where nothing restricts it."""
    profile = draft.of_kind(table.pop("profile", None), str, f"{path}.profile") or "full"
    allowed = draft.of_kind(table.pop("allow", None), list, f"{path}.allow") or []
    also = draft.of_kind(table.pop("alsoAllow", None), list, f"{path}.alsoAllow") or []
    listed = [*_translated(draft, f"{path}.allow", allowed), *_translated(draft, f"{path}.alsoAllow", also)]
    if profile not in _PROFILES:
        draft.found.wrong(f"{path}.profile", f"must be one of {', '.join(_PROFILES)}")
    elif allowed:
        return listed
    elif profile != "full":
        return [*_PROFILES[profile], *listed]
    return None


def _denied(draft: OpenClawDraft, path: str, table: dict[str, Any]) -> list[str]:
    denied = draft.of_kind(table.pop("deny", None), list, f"{path}.deny") or []
    return _translated(draft, f"{path}.deny", denied, missing_matters=False)


def _translated(draft: OpenClawDraft, path: str, names: Iterable[Any], *, missing_matters: bool = True) -> list[str]:
    """The tools' names here; those that oc-trio doesn't have are noted, where they were wanted."""
    made: list[str] = []
    missing: list[str] = []
    for name in names:
        word = str(name).strip()
        if word.lower() in _TOOLS:
            made += _TOOLS[word.lower()]
        elif "__" in word or ("*" in word and not word.startswith("group:")):
            made.append(word)
        else:
            missing.append(word)
    if missing and missing_matters:
        hint = "an MCP server may bring them: mcp.servers"
        draft.odd(path, f"these tools are not here: {', '.join(missing)}", hint)
    return made
