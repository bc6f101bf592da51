"""Translates an openclaw.json to oc-trio's own TOML: current spellings, and only the keys that oc-trio uses.

Whatever works differently becomes a comment before its table. Secrets can be replaced by environment variables.
"""

import re
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import evolve, field

from oc_trio.classes import frozen
from oc_trio.config.accounts import ROOT
from oc_trio.config.adapted import UnavailableValue
from oc_trio.config.builtin_providers import BUILT_IN, complete_providers, unused_sections
from oc_trio.config.credentials import TOKEN_VARIABLE, URL_VARIABLE, has_default_account
from oc_trio.config.document import Document
from oc_trio.config.dotenv import environment
from oc_trio.config.findings import Findings
from oc_trio.config.foreign_keys import split_ignored
from oc_trio.config.legacy import ModernDocument, modernize
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
    """The TOML, the warnings, and for each secret that was taken out: its path and the variable that replaces it."""

    text: str
    warnings: tuple[Problem, ...]
    variables: tuple[tuple[str, str], ...] = ()


def import_openclaw(document: Document, env: Mapping[str, str], *, keep_secrets: bool) -> Imported:
    """Translates a document. Raises ConfigError with every problem.

    `env` has the process's variables. With `keep_secrets`, variables that only OpenClaw's `.env` or `env.vars` set are
    replaced by their values; without, they are listed in `variables`.
    """
    findings = Findings()
    effective = environment(document, env, findings)
    adapted = adapt(document.values, effective, findings)
    modern = modernize(adapted.values)
    modern = evolve(modern, original_paths={**adapted.original_paths, **modern.original_paths})
    inline: list[str] = []

    def note_inline(raw: Any, path: str, form: SecretForm) -> Secret:
        if isinstance(raw, str) and raw:
            inline.append(path)
        return check_shape(raw, path, form)

    reader = Reader(note_inline, lambda path: not path.startswith(ROOT + "."))
    config: Config = reader.table(Config, modern.values, "")
    # A value that can't be read was left empty, and an empty value must not be reported as malformed as well.
    reported = {value.path for value in adapted.unavailable}
    problems = [
        *findings.problems,
        *modern.problems,
        *(problem for problem in reader.problems if modern.path_in_file(problem.path) not in reported),
        *_needed(adapted.unavailable, reader, config, modern),
    ]
    if problems:
        paths = [modern.path_in_file(problem.path) for problem in problems]
        located = [
            evolve(each, path=path, where=document.location(path)) for each, path in zip(problems, paths, strict=True)
        ]
        # Each once: adapting and reading may find the same.
        raise ConfigError(*dict.fromkeys(located))
    openclaw_variables = _OpenClawVariables(effective, env, keep_secrets)
    values = openclaw_variables.add_usual_keys(openclaw_variables.replace_references(modern.values, ""), config)
    variables = [] if keep_secrets else [(path, variable_for(path)) for path in inline]
    text = toml_text(_used_values(values, "", set(reader.ignored), dict(variables)))
    differences, unused = _differences(reader.ignored, findings, document)
    comments = [*differences, *_implicit_differences(modern.values)]
    located = [
        evolve(problem, where=document.location(modern.path_in_file(problem.path)))
        for problem in (*modern.warnings, *differences)
    ]
    warnings = (*located, *unused)
    return Imported(_commented(text, comments), warnings, (*variables, *openclaw_variables.variables))


def variable_for(path: str) -> str:
    """The environment variable that replaces an inline secret: the usual one for a built-in provider's key,
    `MATTERMOST_BOT_TOKEN` for the default account.
    """
    usual = re.fullmatch(r"models\.providers\.([\w-]+)\.apiKey", path)
    if usual and usual[1] in BUILT_IN:
        return BUILT_IN[usual[1]].variables[0]
    short = path.removeprefix("channels.").replace("mattermost.accounts.", "mattermost.")
    snake_case = re.sub(r"([a-z])([A-Z])", r"\1_\2", short)
    return re.sub(r"[^A-Za-z0-9]+", "_", snake_case).strip("_").upper()


def _needed(
    unavailable: Iterable[UnavailableValue], reader: Reader, config: Config, modern: ModernDocument
) -> list[Problem]:
    """Those of the unavailable values that are translated and used."""
    unused = [modern.path_in_file(path) for path in (*reader.ignored, *unused_sections(config))]
    return [value.problem for value in unavailable if not any(is_within(value.path, path) for path in unused)]


@frozen
class _OpenClawVariables:
    """Takes over variables from OpenClaw's `.env` and `env.vars`: for a TOML, only the process's variables count.

    `keep` writes their values into the text; else `variables` collects the path and name of each.
    """

    effective: Mapping[str, str]
    env: Mapping[str, str]
    keep: bool
    variables: list[tuple[str, str]] = field(factory=list)

    def replace_references(self, value: Any, path: str) -> Any:
        """A copy of the values, with each reference to such a variable replaced by its value, or noted."""
        if isinstance(value, Mapping):
            if value.get("source") == "env" and isinstance(value.get("id"), str):
                return self._value(value["id"], path)
            if value.get("source") == "exec" and isinstance(value.get("env"), Mapping) and not self.keep:
                # The program inherits the gateway's variables, so those may be set outside of the file.
                self.variables.extend((f"{path}.env", str(name)) for name in value["env"])
                value = {name: inner for name, inner in value.items() if name != "env"}
            return {name: self.replace_references(inner, join(path, str(name))) for name, inner in value.items()}
        if isinstance(value, list):
            return [self.replace_references(inner, join(path, at)) for at, inner in enumerate(value)]
        return value

    def add_usual_keys(self, values: dict[str, Any], config: Config) -> dict[str, Any]:
        """Adds the keys that nothing in the file refers to: a provider's key or the account's token, which take effect
        because the variable has the usual name.
        """
        raw = values.get("models", {}).get("providers", {})
        # What is wrong with a key is told when the TOML is read.
        completed = complete_providers(config, raw, self.effective, Findings(), connect=False)
        for name, provider in completed.models.providers.items():
            ref = provider.api_key.ref
            if ref is not None and "apiKey" not in raw.get(name, {}) and ref.target not in self.env:
                entry = _table(values, "models", "providers", name)
                entry["apiKey"] = self._value(ref.target, join("models.providers", name) + ".apiKey")
        section = values.get("channels", {}).get("mattermost", {})
        if not section.get("accounts") or has_default_account(values, self.effective):
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


def _differences(ignored: list[str], findings: Findings, document: Document) -> tuple[list[Problem], list[Problem]]:
    """What works differently, and one problem that lists what is left out."""
    foreign = split_ignored(ignored)
    unused = (
        [Problem(str(document.path), "parts that oc-trio has no use for are left out", ", ".join(foreign.unused))]
        if foreign.unused
        else []
    )
    return [*findings.warnings, *foreign.differing()], unused


def _implicit_differences(values: Mapping[str, Any]) -> list[Problem]:
    """Differences that come from keys which the file does not set."""
    differences = []
    if "dmScope" not in values.get("session", {}):
        differences.append(Problem("session", _ONE_CONVERSATION))
    section = values.get("channels", {}).get("mattermost", {})
    policies = {name for name in ("dmPolicy", "groupPolicy") if name in section}
    for name, account in section.get("accounts", {}).items():
        if isinstance(account, Mapping) and policies - set(account):
            differences.append(Problem(join(f"{ROOT}.accounts", name), _INHERITED))
    return differences


def _commented(text: str, comments: Iterable[Problem]) -> str:
    """The text with each comment before the table that it is about, or at the top if there is no such table."""
    lines = text.split("\n")
    headers = {line[1:-1]: line for line in lines if line.startswith("[") and line.endswith("]")}
    by_header: dict[str, list[str]] = {}
    for problem in comments:
        # The innermost table around the path.
        table_name = max((name for name in headers if is_within(problem.path, name)), key=len, default="")
        hint = f" ({problem.hint})" if problem.hint else ""
        comment = f"{problem.path}: {problem.message}{hint}"
        by_header.setdefault(headers.get(table_name, ""), []).extend(
            textwrap.wrap(
                comment,
                110,
                initial_indent="# ",
                subsequent_indent="#   ",
                break_long_words=False,
                break_on_hyphens=False,
            )
        )
    output = [*by_header.pop("", [])]
    for line in lines:
        output += [*by_header.pop(line, []), line] if line else [line]
    return "\n".join(output)


def _used_values(
    values: Mapping[str, Any], path: str, ignored: set[str], variables: Mapping[str, str]
) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for name, value in values.items():
        key_path = join(path, name)
        # Keys without a use here are left out of the TOML; a warning lists them.
        if key_path in ignored:
            continue
        if key_path in variables:
            table[name] = {"source": "env", "id": variables[key_path]}
        elif isinstance(value, Mapping):
            inner = _used_values(value, key_path, ignored, variables)
            # A table of which everything was left out goes as well; one that was empty before stays.
            if inner or not value:
                table[name] = inner
        elif isinstance(value, list):
            items = enumerate(value)
            table[name] = [
                _used_values(item, join(key_path, index), ignored, variables) if isinstance(item, Mapping) else item
                for index, item in items
            ]
        else:
            table[name] = value
    return table
