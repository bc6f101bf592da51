"""An openclaw.json as oc-trio's own TOML: today's spellings, only what oc-trio uses, secrets out of sight if wanted."""

import re
from collections.abc import Mapping
from typing import Any

from attrs import evolve, frozen

from oc_trio.config.accounts import ROOT
from oc_trio.config.checks import Findings
from oc_trio.config.document import Document
from oc_trio.config.legacy import modernize
from oc_trio.config.model import Config
from oc_trio.config.openclaw import adapt
from oc_trio.config.parse import Reader, join
from oc_trio.config.secret_keys import check_shape
from oc_trio.config.secrets import Secret, SecretForm
from oc_trio.config.toml_text import toml_text
from oc_trio.errors import ConfigError, Problem


@frozen
class Imported:
    """The text, the warnings, and for each secret taken out of it: path and the variable that is read instead."""

    text: str
    warnings: tuple[Problem, ...]
    variables: tuple[tuple[str, str], ...] = ()


def import_openclaw(document: Document, env: Mapping[str, str], *, keep_secrets: bool) -> Imported:
    """Translate; raises ConfigError with every problem."""
    found = Findings()
    modern = modernize(adapt(document.values, env, found))
    warnings = [*modern.warnings]
    inline: list[str] = []

    def note(raw: Any, path: str, form: SecretForm) -> Secret:
        if isinstance(raw, str) and raw:
            inline.append(path)
        return check_shape(raw, path, form)

    reader = Reader(note, lambda path: not path.startswith(ROOT + "."))
    reader.table(Config, modern.values, "")
    problems = (*found.problems, *modern.problems, *reader.problems)
    if problems:
        raise ConfigError(*(evolve(problem, path=modern.as_written(problem.path)) for problem in problems))
    if reader.ignored:
        what = ", ".join(reader.ignored)
        warnings.append(Problem(str(document.path), "parts that oc-trio has no use for are left out", what))
    variables = () if keep_secrets else tuple((path, variable_for(path)) for path in inline)
    text = toml_text(_pick(modern.values, "", set(reader.ignored), dict(variables)))
    return Imported(text, tuple(warnings), variables)


def variable_for(path: str) -> str:
    """The environment variable that replaces an inline secret: `MATTERMOST_BOT_TOKEN` for the default account."""
    short = path.removeprefix("channels.").replace("mattermost.accounts.", "mattermost.")
    words = re.sub(r"([a-z])([A-Z])", r"\1_\2", short)
    return re.sub(r"[^A-Za-z0-9]+", "_", words).strip("_").upper()


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
