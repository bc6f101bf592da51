"""Converts sessions, queues, reactions, bindings and listeners of an openclaw.json."""

from typing import Any

from oc_trio.config.accounts import normalize_account_id
from oc_trio.config.openclaw_draft import OpenClawDraft
from oc_trio.config.parse import join

_CHANNEL = "mattermost"
# Complete silence is not to be had: why a gateway does not start has to stand somewhere.
_LOG_LEVELS = {"trace": "debug", "fatal": "error", "silent": "error"}
# The largest that `historyLimit` may be here.
_MAX_HISTORY = 1000


def adapt_conversation(draft: OpenClawDraft) -> None:
    """Rewrites `session`, `messages`, `bindings`, `accessGroups`, `gateway`, `mcp`, `skills` and `logging`."""
    _reset(draft)
    _queue(draft)
    _acknowledge(draft)
    _history(draft)
    _bindings(draft)
    groups = draft.table("accessGroups")
    for name, group in list(groups.items()):
        if isinstance(group, dict) and group.get("type", "message.senders") != "message.senders":
            del groups[name]  # lists of other platforms' rooms
    _gateway(draft)
    _tool_servers(draft)
    _skills(draft)
    logging = draft.table("logging")
    if isinstance(logging.get("level"), str):
        logging["level"] = _LOG_LEVELS.get(logging["level"], logging["level"])


def _reset(draft: OpenClawDraft) -> None:
    """Rewrites the rule for a new session: that of the channel, else the shared one."""
    session = draft.table("session")
    path, raw = "session.reset", session.pop("reset", None)
    by_channel = draft.of_kind(session.pop("resetByChannel", None), dict, "session.resetByChannel")
    if by_channel is not None and _CHANNEL in by_channel:
        path, raw = f"session.resetByChannel.{_CHANNEL}", by_channel[_CHANNEL]
    rule = draft.of_kind(raw, dict, path)
    if rule is None:
        draft.rename(session, "session", "idleMinutes", "resetAfterMinutes")
        return
    # OpenClaw's defaults: daily, at 4 in the morning.
    mode, hour, minutes = rule.get("mode", "daily"), rule.get("atHour", 4), rule.get("idleMinutes")
    if mode not in ("none", "daily", "idle"):
        draft.error(f"{path}.mode", 'must be one of "none", "daily", "idle"')
    if mode == "daily":
        session["resetAtHour"] = hour
        draft.original_paths["session.resetAtHour"] = f"{path}.atHour"
    if mode in ("daily", "idle") and minutes is not None:
        session["resetAfterMinutes"] = minutes
        draft.original_paths["session.resetAfterMinutes"] = f"{path}.idleMinutes"


def _queue(draft: OpenClawDraft) -> None:
    """Takes Mattermost's entry of each table by channel, and drops those of other platforms."""
    for names, by_channel, key in (
        (("messages", "queue"), "byChannel", "mode"),
        (("messages", "queue"), "debounceMsByChannel", "debounceMs"),
        (("messages", "inbound"), "byChannel", "debounceMs"),
    ):
        table, path = draft.table(*names), ".".join(names)
        listed = draft.of_kind(table.pop(by_channel, None), dict, f"{path}.{by_channel}")
        if listed is not None and _CHANNEL in listed:
            table[key] = listed[_CHANNEL]
            draft.original_paths[f"{path}.{key}"] = f"{path}.{by_channel}.{_CHANNEL}"


def _acknowledge(draft: OpenClawDraft) -> None:
    """Rewrites `messages.ackReaction` as the reaction that a message has while it is being answered."""
    messages, section = draft.table("messages"), draft.table("channels", _CHANNEL)
    emoji = draft.of_kind(messages.pop("ackReaction", None), str, "messages.ackReaction")
    scope = messages.pop("ackReactionScope", "group-mentions")
    if not emoji or scope in ("off", "none") or not section:
        return
    reactions = section.setdefault("ackReactions", {})
    if isinstance(reactions, dict):
        reactions.setdefault("seen", emoji)
    draft.original_paths[f"channels.{_CHANNEL}.ackReactions.seen"] = "messages.ackReaction"
    if scope != "all":
        where = "messages.ackReaction"
        draft.warning(
            where, f'every message that is answered gets it, not those of "{scope}" alone, until it is answered'
        )


def _history(draft: OpenClawDraft) -> None:
    sections = [("messages.groupChat", draft.table("messages", "groupChat"))]
    sections.append((f"channels.{_CHANNEL}", draft.table("channels", _CHANNEL)))
    for path, table in sections:
        limit = table.get("historyLimit")
        if isinstance(limit, int) and limit > _MAX_HISTORY:
            table["historyLimit"] = _MAX_HISTORY
            draft.warning(f"{path}.historyLimit", f"{_MAX_HISTORY} posts at most are kept here")


def _bindings(draft: OpenClawDraft) -> None:
    """Keeps the bindings for Mattermost. One without an account is for the default account, as in OpenClaw."""
    listed = draft.values.get("bindings")
    if not isinstance(listed, list):
        return
    bindings: list[Any] = []
    section = draft.table("channels", _CHANNEL)
    names = {normalize_account_id(name) for name in draft.table("channels", _CHANNEL, "accounts")}
    has_default = "default" in names or bool(section.get("baseUrl") and section.get("botToken"))
    for index, binding in enumerate(listed):
        match = binding.get("match") if isinstance(binding, dict) else None
        if isinstance(match, dict) and match.get("channel") != _CHANNEL:
            continue
        if isinstance(binding, dict) and binding.pop("type", "route") != "route":
            draft.warning(join("bindings", index), "binds a conversation to a program of OpenClaw's", "remove it")
            continue
        if isinstance(match, dict) and "accountId" not in match and names and has_default:
            match["accountId"] = "default"
        # Left-out bindings shift the indexes of the others, and messages should name those of the file.
        draft.original_paths[join("bindings", len(bindings))] = join("bindings", index)
        bindings.append(binding)
    draft.values["bindings"] = bindings


def _gateway(draft: OpenClawDraft) -> None:
    gateway = draft.table("gateway")
    if gateway.get("bind") == "tailnet":
        del gateway["bind"]
        hint = 'bind = "custom", customBindHost = "<address in the tailnet>"'
        draft.warning(
            "gateway.bind", '"tailnet" is not known here; loopback is used unless customBindHost is set', hint
        )
    if draft.table("gateway", "tailscale").get("mode") == "off":
        del gateway["tailscale"]
    tls = gateway.get("tls")
    if isinstance(tls, dict):
        # In OpenClaw, certificates without `enabled` are not used.
        if tls.pop("enabled", False) is True:
            draft.rename(tls, "gateway.tls", "certPath", "certFile")
            draft.rename(tls, "gateway.tls", "keyPath", "keyFile")
        else:
            gateway.pop("tls")


def _tool_servers(draft: OpenClawDraft) -> None:
    for name, server in draft.table("mcp", "servers").items():
        if not isinstance(server, dict):
            continue
        path = join("mcp.servers", name)
        for old, new in (("connectionTimeoutMs", "startSeconds"), ("requestTimeoutMs", "callSeconds")):
            if isinstance(server.get(old), int | float):
                # A second is the least that the keys take.
                server[old] = max(1, server[old] / 1000)
                draft.rename(server, path, old, new)
        filters = draft.of_kind(server.pop("toolFilter", None), dict, f"{path}.toolFilter")
        if filters is not None:
            if "include" in filters:
                server["allow"] = filters["include"]
                draft.original_paths[f"{path}.allow"] = f"{path}.toolFilter.include"
            if filters.get("exclude"):
                draft.warning(f"{path}.toolFilter.exclude", "is not known here", f"name {name}.<tool> in tools.deny")
        for kind in ("env", "headers"):
            if isinstance(server.get(kind), dict):
                server[kind] = {
                    # JSON's spelling, not Python's.
                    key: str(value).lower()
                    if isinstance(value, bool)
                    else str(value)
                    if isinstance(value, int | float)
                    else value
                    for key, value in server[kind].items()
                }
        transport = server.pop("transport", None)
        if transport == "sse":
            draft.warning(f"{path}.transport", "SSE is not spoken here", "use the server's streamable HTTP address")


def _skills(draft: OpenClawDraft) -> None:
    """Sets OpenClaw's folders of skills: that of the workspace, the one beside the file, `skills.load.extraDirs`."""
    workspace = draft.table("agents", "defaults").get("workspace")
    extra = draft.of_kind(draft.table("skills", "load").pop("extraDirs", None), list, "skills.load.extraDirs")
    folders = [f"{workspace.rstrip('/')}/skills"] if isinstance(workspace, str) and workspace.strip() else []
    folders += ["skills", *(extra or ())]
    skills = draft.table("skills")
    # The folder beside the file is the default.
    if "dirs" not in skills and len(folders) > 1:
        draft.ensure_table("skills")["dirs"] = folders
    if not draft.table("skills", "load"):
        skills.pop("load", None)
