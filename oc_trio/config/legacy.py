"""Rewrites older and third-party spellings of `channels.mattermost` and models to the current ones.

It runs before any check, and each change is a warning that names the new key. All old names are in this module.
"""

from collections.abc import Mapping
from typing import Any

from attrs import field

from oc_trio.classes import frozen
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
# False for these means "don't answer", which wins over a policy in the same table: the safer of two contradictions.
_OVERRULING = ("respondToMentions", "respondToDMs")


class Modernizer:
    """Rewrites sections; collects `warnings` and `problems`, with paths as they are in the file.

    `original_paths` maps each path that is new to the one in the file.
    """

    def __init__(self) -> None:
        self.warnings: list[Problem] = []
        self.problems: list[Problem] = []
        self.original_paths: dict[str, str] = {}

    def section(self, raw: Mapping[str, Any], path: str, inherited: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The section in current spelling. `inherited` is the rewritten root section, for a section of an account."""
        table = dict(raw)
        # First: a switch takes `streamMode` with it.
        self._streaming(table, path)
        for old, new in _MOVED.items():
            if old in table:
                self._move(table, path, old, new, table.pop(old))
        if "teamId" in table:
            team = table.pop("teamId")
            self._move(table, path, "teamId", "onlyTeams", [team] if isinstance(team, str) else team)
        for old in _SWITCHES:
            if old in table:
                self._switch(table, path, old, inherited or {})
        return table

    def models(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """The section `models` with OpenClaw's `input` and `compat` of each model as `images`, `tools` and so on."""
        section = dict(raw)
        providers = section.get("providers")
        if isinstance(providers, Mapping):
            section["providers"] = {
                name: {**provider, "models": self._models_of(provider["models"], join("models.providers", str(name)))}
                if isinstance(provider, Mapping) and isinstance(provider.get("models"), list)
                else provider
                for name, provider in providers.items()
            }
        return section

    def _models_of(self, models: list[Any], path: str) -> list[Any]:
        return [
            self._model(model, join(f"{path}.models", index)) if isinstance(model, Mapping) else model
            for index, model in enumerate(models)
        ]

    def _model(self, raw: Mapping[str, Any], path: str) -> dict[str, Any]:
        model = dict(raw)
        kinds = model.pop("input", None)
        if isinstance(kinds, list) and all(isinstance(kind, str) for kind in kinds):
            self._move(model, path, "input", "images", "image" in kinds)
        elif kinds is not None:
            self.problems.append(Problem(join(path, "input"), 'must be a list such as ["text", "image"]'))
        compat = model.get("compat")
        if isinstance(compat, Mapping):
            model["compat"] = compat_rest = dict(compat)
            for old, new in (("supportsTools", "tools"), ("maxTokensField", "maxTokensField")):
                if old in compat_rest:
                    self._move(model, path, f"compat.{old}", new, compat_rest.pop(old))
            if not compat_rest:
                del model["compat"]
        return model

    def _streaming(self, table: dict[str, Any], path: str) -> None:
        """A bare `streaming` value: a mode, or a switch. `streamMode` beats the switch but not the mode."""
        value = table.get("streaming")
        if not isinstance(value, str | bool):
            return
        mode = value if isinstance(value, str) else "partial" if value else "off"
        meant = table.pop("streamMode", mode) if isinstance(value, bool) else mode
        table["streaming"] = {"mode": meant}
        self.original_paths[f"{path}.streaming.mode"] = join(path, "streaming")
        self._warn(path, "streaming", "is an older form", f'write streaming.mode = "{meant}"')

    def _move(self, table: dict[str, Any], path: str, old: str, new: str, value: Any) -> None:
        if _put(table, new, value):
            self.original_paths[f"{path}.{new}"] = f"{path}.{old}"
            self._warn(path, old, "is an older spelling", f"write {new}")
        else:
            self._warn(path, old, f"is an older spelling, ignored because {new} is set", "remove it")

    def _switch(self, table: dict[str, Any], path: str, old: str, inherited: Mapping[str, Any]) -> None:
        value = table.pop(old)
        if not isinstance(value, bool):
            self.problems.append(Problem(join(path, old), f"must be true or false, not {kind_of(value)}"))
            return
        change = _SWITCHES[old][value]
        if change is None:
            self._warn(path, old, "is an older spelling for what is the default", "remove it")
            return
        new, meant = change
        if old in _OVERRULING:
            table.pop(new, None)
        # The root section has the current key. An old key of the account must not hide it.
        elif new in inherited:
            self._warn(path, old, f"is an older spelling, ignored because {new} is set", "remove it")
            return
        if _put(table, new, meant):
            self._warn(path, old, "is an older spelling", f'write {new} = "{meant}"')
        else:
            self._warn(path, old, f"is an older spelling, ignored because {new} is set", "remove it")

    def _warn(self, path: str, old: str, message: str, hint: str) -> None:
        self.warnings.append(Problem(f"{path}.{old}", message, hint))


@frozen
class ModernDocument:
    """A document in current spelling, with the warnings and problems of older ones. `original_paths` maps a new path to
    the one in the file.
    """

    values: dict[str, Any] = field(hash=False)
    warnings: tuple[Problem, ...] = ()
    problems: tuple[Problem, ...] = ()
    original_paths: Mapping[str, str] = field(factory=dict, hash=False)

    def path_in_file(self, path: str) -> str:
        """The path of a key as the file spells it, which is the one that an operator can find."""
        moved = [new for new in self.original_paths if path == new or path.startswith((new + ".", new + "["))]
        # The innermost: within a table that has moved, a key may have moved by itself.
        new = max(moved, key=len, default="")
        return self.original_paths[new] + path.removeprefix(new) if new else path


def modernize(document: Mapping[str, Any]) -> ModernDocument:
    """The document with `channels.mattermost`, its accounts and models in current spelling."""
    modernizer = Modernizer()
    if isinstance(document.get("models"), Mapping):
        document = {**document, "models": modernizer.models(document["models"])}
    values = {**document, **_modern_channels(document, modernizer)}
    return ModernDocument(values, tuple(modernizer.warnings), tuple(modernizer.problems), modernizer.original_paths)


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


def _put(table: dict[str, Any], dotted: str, value: Any) -> bool:
    """Sets a key, and returns False if it exists already. The tables on the way are copied, not changed."""
    *parents, last = dotted.split(".")
    inner_table = table
    for name in parents:
        existing = inner_table.get(name, {})
        if not isinstance(existing, Mapping):
            return False
        inner_table[name] = dict(existing)
        inner_table = inner_table[name]
    if last in inner_table:
        return False
    inner_table[last] = value
    return True
