"""An openclaw.json as oc-trio's own TOML: today's spellings, only what oc-trio uses, secrets out of sight if wanted.

What works differently stands in the text as a comment, at the table that it is about.
"""

import re
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import evolve, field, frozen

from oc_trio.config.accounts import ROOT
from oc_trio.config.builtin_providers import BUILT_IN, complete_providers, inactive
from oc_trio.config.credentials import TOKEN_VARIABLE, URL_VARIABLE, describes_default
from oc_trio.config.document import Document
from oc_trio.config.dotenv import environment
from oc_trio.config.findings import Findings
from oc_trio.config.foreign_keys import sort_out
from oc_trio.config.legacy import Modern, modernize
from oc_trio.config.model import Config
from oc_trio.config.openclaw import adapt
from oc_trio.config.parse import Reader, is_within, join
from oc_trio.config.secret_keys import check_shape
from oc_trio.config.secrets import Secret, SecretForm
from oc_trio.config.toml_text import toml_text
from oc_trio.errors import ConfigError, Problem

_ONE_CONVERSATION = (
    "OpenClaw puts all direct messages into one conversation where session.dmScope is unset; here each person has "
    'one. dmScope = "main" is OpenClaw\'s.'
)
_INHERITED = (
    "here accounts take what they don't say from channels.mattermost; in OpenClaw dmPolicy and groupPolicy fell back "
    'to "pairing" and "allowlist".'
)


@frozen
class Imported:
    """The text, the warnings, and for each secret taken out of it: path and the variable that is read instead."""

    text: str
    warnings: tuple[Problem, ...]
    variables: tuple[tuple[str, str], ...] = ()


def import_openclaw(document: Document, env: Mapping[str, str], *, keep_secrets: bool) -> Imported:
    """Translate; raises ConfigError with every problem.

    `env` has the process's variables. What only OpenClaw's own `.env` or `env.vars` has is written into the text with
    `keep_secrets`, and else among `variables`.
    """
    found = Findings()
    effective = environment(document, env, found)
    adapted = adapt(document.values, effective, found)
    modern = modernize(adapted.values)
    modern = evolve(modern, written={**adapted.written, **modern.written})
    inline: list[str] = []

    def note(raw: Any, path: str, form: SecretForm) -> Secret:
        if isinstance(raw, str) and raw:
            inline.append(path)
        return check_shape(raw, path, form)

    reader = Reader(note, lambda path: not path.startswith(ROOT + "."))
    config: Config = reader.table(Config, modern.values, "")
    told = {problem.path for problem in adapted.missing}
    problems = [
        *found.problems,
        *modern.problems,
        *(one for one in reader.problems if modern.as_written(one.path) not in told),
        *_wanted(adapted.missing, reader, config, modern),
    ]
    if problems:
        raise ConfigError(*(evolve(problem, path=modern.as_written(problem.path)) for problem in problems))
    carried = _Carried(effective, env, keep_secrets)
    values = carried.usual(carried.references(modern.values, ""), config)
    variables = [] if keep_secrets else [(path, variable_for(path)) for path in inline]
    text = toml_text(_pick(values, "", set(reader.ignored), dict(variables)))
    differences, unused = _differences(reader.ignored, found, document)
    comments = [*differences, *_silent(modern.values)]
    placed = [evolve(one, where=document.place(modern.as_written(one.path))) for one in differences]
    warnings = (*modern.warnings, *placed, *unused)
    return Imported(_commented(text, comments), warnings, (*variables, *carried.variables))


def variable_for(path: str) -> str:
    """The environment variable that replaces an inline secret: the usual one for a built-in provider's key,
    `MATTERMOST_BOT_TOKEN` for the default account.
    """
    usual = re.fullmatch(r"models\.providers\.([\w-]+)\.apiKey", path)
    if usual and usual[1] in BUILT_IN:
        return BUILT_IN[usual[1]].variables[0]
    short = path.removeprefix("channels.").replace("mattermost.accounts.", "mattermost.")
    words = re.sub(r"([a-z])([A-Z])", r"\1_\2", short)
    return re.sub(r"[^A-Za-z0-9]+", "_", words).strip("_").upper()


def _wanted(missing: Iterable[Problem], reader: Reader, config: Config, modern: Modern) -> list[Problem]:
    """Those values that can't be had and that are translated."""
    unused = [modern.as_written(path) for path in (*reader.ignored, *inactive(config))]
    return [problem for problem in missing if not any(is_within(problem.path, path) for path in unused)]


@frozen
class _Carried:
    """Takes over what stands in OpenClaw's own places for variables; the TOML knows the process's only."""

    effective: Mapping[str, str]
    env: Mapping[str, str]
    keep: bool
    variables: list[tuple[str, str]] = field(factory=list)

    def references(self, value: Any, path: str) -> Any:
        """A copy of the values, with references to such variables replaced or noted."""
        if isinstance(value, Mapping):
            if value.get("source") == "env" and isinstance(value.get("id"), str):
                return self._value(value["id"], path)
            if value.get("source") == "exec" and isinstance(value.get("env"), Mapping) and not self.keep:
                # The program inherits the gateway's variables, so those may be set outside of the file.
                self.variables.extend((f"{path}.env", str(name)) for name in value["env"])
                value = {name: inner for name, inner in value.items() if name != "env"}
            return {name: self.references(inner, join(path, str(name))) for name, inner in value.items()}
        if isinstance(value, list):
            return [self.references(inner, join(path, at)) for at, inner in enumerate(value)]
        return value

    def usual(self, values: dict[str, Any], config: Config) -> dict[str, Any]:
        """The values, with keys that are in effect only by the usual name of such a variable."""
        raw = values.get("models", {}).get("providers", {})
        completed = complete_providers(config, raw, self.effective, Findings(), connect=False)
        for name, provider in completed.models.providers.items():
            ref = provider.api_key.ref
            if ref is not None and "apiKey" not in raw.get(name, {}) and ref.target not in self.env:
                entry = _table(values, "models", "providers", name)
                entry["apiKey"] = self._value(ref.target, join("models.providers", name) + ".apiKey")
        section = values.get("channels", {}).get("mattermost", {})
        if not section.get("accounts") or describes_default(values, self.effective):
            for key, variable in (("botToken", TOKEN_VARIABLE), ("baseUrl", URL_VARIABLE)):
                if key not in section and variable in self.effective and variable not in self.env:
                    value = self._value(variable, f"{ROOT}.{key}")
                    _table(values, "channels", "mattermost")[key] = (
                        self.effective[variable] if key == "baseUrl" else value
                    )
        return values

    def _value(self, variable: str, path: str) -> Any:
        if variable in self.env or variable not in self.effective:
            return {"source": "env", "id": variable}
        if self.keep:
            return self.effective[variable]
        self.variables.append((path, variable))
        return {"source": "env", "id": variable}


def _table(values: dict[str, Any], *names: str) -> dict[str, Any]:
    for name in names:
        values = values.setdefault(name, {})
    return values


def _differences(ignored: list[str], found: Findings, document: Document) -> tuple[list[Problem], list[Problem]]:
    """What works differently, and the one line of what is left out."""
    foreign = sort_out(ignored)
    differing = [
        Problem(paths[0], f"works differently here: {what}" + "".join(f", {one}" for one in paths[1:]), instead)
        for paths, what, instead in foreign.different
    ]
    unused = (
        [Problem(str(document.path), "parts that oc-trio has no use for are left out", ", ".join(foreign.unused))]
        if foreign.unused
        else []
    )
    return [*found.warnings, *differing], unused


def _silent(values: Mapping[str, Any]) -> list[Problem]:
    """Differences that no key of the file shows."""
    made = []
    if "dmScope" not in values.get("session", {}):
        made.append(Problem("session", _ONE_CONVERSATION))
    section = values.get("channels", {}).get("mattermost", {})
    policies = {name for name in ("dmPolicy", "groupPolicy") if name in section}
    for name, account in section.get("accounts", {}).items():
        if isinstance(account, Mapping) and policies - set(account):
            made.append(Problem(join(f"{ROOT}.accounts", name), _INHERITED))
    return made


def _commented(text: str, comments: Iterable[Problem]) -> str:
    """The text with each comment before the table that it is about; at the top where there is none."""
    lines = text.split("\n")
    headers = {line[1:-1]: line for line in lines if line.startswith("[") and line.endswith("]")}
    before: dict[str, list[str]] = {}
    for problem in comments:
        place = max((name for name in headers if is_within(problem.path, name)), key=len, default="")
        hint = f" ({problem.hint})" if problem.hint else ""
        words = f"{problem.path}: {problem.message}{hint}"
        before.setdefault(headers.get(place, ""), []).extend(
            textwrap.wrap(
                words,
                110,
                initial_indent="# ",
                subsequent_indent="#   ",
                break_long_words=False,
                break_on_hyphens=False,
            )
        )
    made = [*before.pop("", [])]
    for line in lines:
        made += [*before.pop(line, []), line] if line else [line]
    return "\n".join(made)


def _pick(values: Mapping[str, Any], path: str, ignored: set[str], variables: Mapping[str, str]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, value in values.items():
        here = join(path, name)
        if here in ignored:
            continue
        if here in variables:
            made[name] = {"source": "env", "id": variables[here]}
        elif isinstance(value, Mapping):
            inner = _pick(value, here, ignored, variables)
            if inner or not value:
                made[name] = inner
        elif isinstance(value, list):
            items = enumerate(value)
            made[name] = [
                _pick(item, join(here, index), ignored, variables) if isinstance(item, Mapping) else item
                for index, item in items
            ]
        else:
            made[name] = value
    return made
