"""Older and third-party spellings of `channels.mattermost` and models, rewritten to today's before anything is checked.

This is the one table of old names. Each rewriting is a warning that names the new key.
"""

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from oc_trio.config.parse import join, kind_of
from oc_trio.errors import Problem

_MOVED = {
    "streamMode": "streaming.mode",
    "chunkMode": "streaming.chunkMode",
    "blockStreaming": "streaming.block.enabled",
    "blockStreamingCoalesce": "streaming.block.coalesce",
    "allowPrivateNetwork": "network.dangerouslyAllowPrivateNetwork",
    "serverUrl": "baseUrl",
    "allowChannels": "onlyChannels",
    "reconnectInterval": "connection.reconnectIntervalMs",
}
# A boolean of old, and what each of its values means today; None changes nothing.
_SWITCHES: dict[str, dict[bool, tuple[str, Any] | None]] = {
    "requireMention": {True: ("chatmode", "oncall"), False: ("chatmode", "onmessage")},
    "respondToMentions": {True: None, False: ("groupPolicy", "disabled")},
    "respondToDMs": {True: None, False: ("dmPolicy", "disabled")},
    "useWebSocket": {True: None, False: ("connection.mode", "poll")},
}
_OVERRULING = ("respondToMentions", "respondToDMs")  # "don't answer" wins over a policy written beside it


class Modernizer:
    """Rewrites one section; collects `warnings` and `problems` with the paths as they were written.

    `written` has the paths that are new, each with the old one.
    """

    def __init__(self) -> None:
        self.warnings: list[Problem] = []
        self.problems: list[Problem] = []
        self.written: dict[str, str] = {}

    def section(self, raw: Mapping[str, Any], path: str, inherited: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The same settings in today's spelling. `inherited` is the modern root section of an account."""
        made = dict(raw)
        self._streaming(made, path)
        for old, new in _MOVED.items():
            if old in made:
                self._move(made, path, old, new, made.pop(old))
        if "teamId" in made:
            team = made.pop("teamId")
            self._move(made, path, "teamId", "onlyTeams", [team] if isinstance(team, str) else team)
        for old in _SWITCHES:
            if old in made:
                self._switch(made, path, old, inherited or {})
        return made

    def models(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """The section `models` with OpenClaw's `input` and `compat` of each model as `images`, `tools` and so on."""
        made = dict(raw)
        providers = made.get("providers")
        if isinstance(providers, Mapping):
            made["providers"] = {
                name: {**provider, "models": self._listed(provider["models"], join("models.providers", str(name)))}
                if isinstance(provider, Mapping) and isinstance(provider.get("models"), list)
                else provider
                for name, provider in providers.items()
            }
        return made

    def _listed(self, models: list[Any], path: str) -> list[Any]:
        return [
            self._model(model, join(f"{path}.models", index)) if isinstance(model, Mapping) else model
            for index, model in enumerate(models)
        ]

    def _model(self, raw: Mapping[str, Any], path: str) -> dict[str, Any]:
        made = dict(raw)
        kinds = made.pop("input", None)
        if isinstance(kinds, list) and all(isinstance(kind, str) for kind in kinds):
            self._move(made, path, "input", "images", "image" in kinds)
        elif kinds is not None:
            self.problems.append(Problem(join(path, "input"), 'must be a list such as ["text", "image"]'))
        compat = made.get("compat")
        if isinstance(compat, Mapping):
            made["compat"] = left = dict(compat)
            for old, new in (("supportsTools", "tools"), ("maxTokensField", "maxTokensField")):
                if old in left:
                    self._move(made, path, f"compat.{old}", new, left.pop(old))
            if not left:
                del made["compat"]
        return made

    def _streaming(self, made: dict[str, Any], path: str) -> None:
        """A bare `streaming` value: a mode, or a switch. `streamMode` beats the switch but not the mode."""
        value = made.get("streaming")
        if not isinstance(value, str | bool):
            return
        mode = value if isinstance(value, str) else "partial" if value else "off"
        meant = made.pop("streamMode", mode) if isinstance(value, bool) else mode
        made["streaming"] = {"mode": meant}
        self.written[f"{path}.streaming.mode"] = join(path, "streaming")
        self._warn(path, "streaming", "is an older form", f'write streaming.mode = "{meant}"')

    def _move(self, made: dict[str, Any], path: str, old: str, new: str, value: Any) -> None:
        if _put(made, new, value):
            self.written[f"{path}.{new}"] = f"{path}.{old}"
            self._warn(path, old, "is an older spelling", f"write {new}")
        else:
            self._warn(path, old, f"is an older spelling, ignored because {new} is set", "remove it")

    def _switch(self, made: dict[str, Any], path: str, old: str, inherited: Mapping[str, Any]) -> None:
        value = made.pop(old)
        if not isinstance(value, bool):
            self.problems.append(Problem(join(path, old), f"must be true or false, not {kind_of(value)}"))
            return
        change = _SWITCHES[old][value]
        if change is None:
            self._warn(path, old, "is an older spelling for what is the default", "remove it")
            return
        new, meant = change
        if old in _OVERRULING:
            made.pop(new, None)
        elif new in inherited:
            self._warn(path, old, f"is an older spelling, ignored because {new} is set", "remove it")
            return
        if _put(made, new, meant):
            self._warn(path, old, "is an older spelling", f'write {new} = "{meant}"')
        else:
            self._warn(path, old, f"is an older spelling, ignored because {new} is set", "remove it")

    def _warn(self, path: str, old: str, message: str, hint: str) -> None:
        self.warnings.append(Problem(f"{path}.{old}", message, hint))


@frozen
class Modern:
    """A document in today's spelling, `warnings` of older ones, and `problems` with them; see `as_written`."""

    values: dict[str, Any] = field(hash=False)
    warnings: tuple[Problem, ...] = ()
    problems: tuple[Problem, ...] = ()
    written: Mapping[str, str] = field(factory=dict, hash=False)

    def as_written(self, path: str) -> str:
        """The path of a key as it stands in the file: that is what its author can find."""
        moved = [new for new in self.written if path == new or path.startswith((new + ".", new + "["))]
        new = max(moved, key=len, default="")
        return self.written[new] + path.removeprefix(new) if new else path


def modernize(document: Mapping[str, Any]) -> Modern:
    """The document with today's spellings in `channels.mattermost`, its accounts, and models."""
    modernizer = Modernizer()
    if isinstance(document.get("models"), Mapping):
        document = {**document, "models": modernizer.models(document["models"])}
    made = {**document, **_modern_channels(document, modernizer)}
    return Modern(made, tuple(modernizer.warnings), tuple(modernizer.problems), modernizer.written)


def _modern_channels(document: Mapping[str, Any], modernizer: Modernizer) -> dict[str, Any]:
    channels = document.get("channels")
    section = channels.get("mattermost") if isinstance(channels, Mapping) else None
    if not isinstance(channels, Mapping) or not isinstance(section, Mapping):
        return {}
    root = modernizer.section(section, "channels.mattermost")
    accounts = root.get("accounts")
    if isinstance(accounts, Mapping):
        root["accounts"] = {
            name: modernizer.section(account, join("channels.mattermost.accounts", str(name)), root)
            if isinstance(account, Mapping)
            else account
            for name, account in accounts.items()
        }
    return {"channels": {**channels, "mattermost": root}}


def _put(made: dict[str, Any], dotted: str, value: Any) -> bool:
    """Set a key unless it is there already; copies the tables on the way. False when it was there."""
    *parents, last = dotted.split(".")
    table = made
    for name in parents:
        inner = table.get(name, {})
        if not isinstance(inner, Mapping):
            return False
        table[name] = dict(inner)
        table = table[name]
    if last in table:
        return False
    table[last] = value
    return True
