"""Converts the agents of an openclaw.json: older forms, thinking levels, workspaces and tool rules."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from oc_trio.config.openclaw_draft import OpenClawDraft
from oc_trio.config.parse import join
from oc_trio.config.paths import expanded, is_folder, openclaw_home

_THINKING_LEVELS = {"minimal": "low", "xhigh": "high", "max": "high", "ultra": "high", "adaptive": ""}
_ONE_FORM = "move its agents into agents.entries, under their ids, and remove it"
# The largest that `timeoutSeconds` may be here.
_MAX_TURN_SECONDS = 86_400
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
    """Rewrites `agents` and `tools`."""
    _entries(draft)
    defaults = draft.table("agents", "defaults")
    draft.rename(defaults, "agents.defaults", "userTimezone", "timezone")
    for path, table in draft.agents():
        _thinking(draft, path, table)
        _parameters(draft, path, table)
        if isinstance(table.get("timeoutSeconds"), int | float) and table["timeoutSeconds"] > _MAX_TURN_SECONDS:
            table["timeoutSeconds"] = _MAX_TURN_SECONDS
            draft.warning(f"{path}.timeoutSeconds", "a turn lasts a day at most here")
    _workspace(draft, env)
    _tools(draft)


def _entries(draft: OpenClawDraft) -> None:
    """`agents.list`, a list of tables with an id, as `agents.entries`."""
    agents = draft.table("agents")
    listed = agents.get("list")
    if not isinstance(listed, list):
        return
    if "entries" in agents:
        # OpenClaw refuses the file, and to follow either of them would forget the other's agents.
        draft.error("agents.list", "is the older form of agents.entries, and both are here", _ONE_FORM)
        del agents["list"]
        return
    entries: dict[str, Any] = {}
    for index, entry in enumerate(listed):
        path = join("agents.list", index)
        if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
            draft.error(path, "must be a table with an id", '{ id: "main" }')
        elif entry["id"] in entries:
            draft.error(f"{path}.id", f'there is another agent "{entry["id"]}"', "rename one of them")
        else:
            entries[entry["id"]] = {name: value for name, value in entry.items() if name != "id"}
            draft.original_paths[join("agents.entries", entry["id"])] = path
    del agents["list"]
    agents["entries"] = entries


def _thinking(draft: OpenClawDraft, path: str, table: dict[str, Any]) -> None:
    level = table.get("thinkingDefault")
    if isinstance(level, str) and level in _THINKING_LEVELS:
        meant = table["thinkingDefault"] = _THINKING_LEVELS[level]
        replacement = f'"{meant}" is used' if meant else "the model decides"
        draft.warning(
            f"{path}.thinkingDefault", f'there is no "{level}" here: {replacement}', "off, low, medium or high"
        )


def _parameters(draft: OpenClawDraft, path: str, table: dict[str, Any]) -> None:
    """Moves `params.temperature` and `params.maxTokens`, which are keys of the agent itself here."""
    parameters = table.get("params")
    if isinstance(parameters, dict):
        for name in ("temperature", "maxTokens"):
            if name in parameters and name not in table:
                table[name] = parameters.pop(name)
                draft.original_paths[f"{path}.{name}"] = f"{path}.params.{name}"
        if not parameters:
            del table["params"]


def _workspace(draft: OpenClawDraft, env: Mapping[str, str]) -> None:
    """Sets OpenClaw's default folder of the agents' files, if the file names none and that folder exists."""
    defaults = draft.table("agents", "defaults")
    folder = env.get("OPENCLAW_WORKSPACE_DIR", "").strip() or str(openclaw_home(env) / "workspace")
    if "workspace" not in defaults and is_folder(expanded(folder)):
        draft.ensure_table("agents", "defaults")["workspace"] = folder


def _tools(draft: OpenClawDraft) -> None:
    """Rewrites the shared `tools` and those of each agent as one `allow` and one `deny` list."""
    shared = draft.table("tools")
    shared_allow, shared_deny = _allowed(draft, "tools", shared), _denied(draft, "tools", shared)
    if not shared:
        draft.values.pop("tools", None)
    if shared_allow is not None or shared_deny:
        rules = draft.ensure_table("agents", "defaults").setdefault("tools", {})
        _write(rules, shared_allow, shared_deny)
        draft.original_paths.setdefault("agents.defaults.tools", "tools")
    for path, table in draft.agents():
        own = table.get("tools")
        if path == "agents.defaults" or not isinstance(own, dict):
            continue
        allowed, denied = _allowed(draft, f"{path}.tools", own), _denied(draft, f"{path}.tools", own)
        if allowed is not None and shared_allow is not None:
            # In OpenClaw an agent's rules only narrow the shared ones, while here they replace them.
            allowed = [name for name in allowed if any(fnmatchcase(name, pattern) for pattern in shared_allow)]
        _write(own, shared_allow if allowed is None else allowed, [*shared_deny, *denied])
        if not own:
            del table["tools"]


def _write(rules: dict[str, Any], allowed: list[str] | None, denied: list[str]) -> None:
    if allowed is not None:
        rules["allow"] = list(dict.fromkeys(allowed))
    if denied:
        rules["deny"] = list(dict.fromkeys(denied))


def _allowed(draft: OpenClawDraft, path: str, table: dict[str, Any]) -> list[str] | None:
    """The allowed tools; None if nothing restricts them."""
    profile = draft.of_kind(table.pop("profile", None), str, f"{path}.profile") or "full"
    allowed = draft.of_kind(table.pop("allow", None), list, f"{path}.allow") or []
    also = draft.of_kind(table.pop("alsoAllow", None), list, f"{path}.alsoAllow") or []
    listed = [*_translated(draft, f"{path}.allow", allowed), *_translated(draft, f"{path}.alsoAllow", also)]
    if profile not in _PROFILES:
        draft.error(f"{path}.profile", f"must be one of {', '.join(_PROFILES)}")
    elif allowed:
        return listed
    elif profile != "full":
        return [*_PROFILES[profile], *listed]
    return None


def _denied(draft: OpenClawDraft, path: str, table: dict[str, Any]) -> list[str]:
    denied = draft.of_kind(table.pop("deny", None), list, f"{path}.deny") or []
    # What is denied and not here has what it wants.
    return _translated(draft, f"{path}.deny", denied, warn_unknown=False)


def _translated(draft: OpenClawDraft, path: str, names: Iterable[Any], *, warn_unknown: bool = True) -> list[str]:
    """The names of these tools in oc-trio. With `warn_unknown`, warns of those that it doesn't have."""
    tools: list[str] = []
    unknown: list[str] = []
    for name in names:
        tool = str(name).strip()
        if tool.lower() in _TOOLS:
            tools += _TOOLS[tool.lower()]
        elif "__" in tool or ("*" in tool and not tool.startswith("group:")):
            tools.append(tool)
        else:
            unknown.append(tool)
    if unknown and warn_unknown:
        hint = "an MCP server may bring them: mcp.servers"
        draft.warning(path, f"these tools are not here: {', '.join(unknown)}", hint)
    return tools
