"""Reads the values of a document into a `Config`, with its secrets: all but those of accounts, which inherit first."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from attrs import evolve

from oc_trio.config.accounts import ROOT
from oc_trio.config.adapted import Adapted, UnavailableValue
from oc_trio.config.builtin_providers import complete_providers, unused_sections
from oc_trio.config.document import Document
from oc_trio.config.findings import Findings
from oc_trio.config.foreign_keys import split_ignored
from oc_trio.config.legacy import ModernDocument
from oc_trio.config.model import Config
from oc_trio.config.parse import Invalid, Reader, is_within, join
from oc_trio.config.secret_keys import Unavailable, check_shape, holds_secret, read_file_key, resolver
from oc_trio.config.secrets import NO_SECRET, Secret, SecretForm


def read_config(
    modern: ModernDocument,
    adapted: Adapted,
    document: Document,
    env: Mapping[str, str],
    findings: Findings,
    inline: dict[str, str],
    *,
    connect: bool,
) -> Config:
    """The configuration. Adds to `inline` the secrets in the file itself, by path, except for tokens of accounts."""
    resolve = resolver(env, document.folder)
    unavailable: list[UnavailableValue] = []

    def secret(raw: Any, path: str, form: SecretForm) -> Secret:
        if holds_secret(raw, path) and not path.startswith(ROOT):
            inline[path] = raw
        # Tokens of accounts are read by `credentials`, after accounts have inherited from the root section.
        if not connect or path.startswith(ROOT):
            return check_shape(raw, path, form)
        try:
            return resolve(raw, path, form)
        except Unavailable as error:
            unavailable.append(UnavailableValue(path, error.problem))
            return NO_SECRET

    def foreign(path: str) -> bool:
        return document.imported and not path.startswith(ROOT + ".")

    reader = Reader(secret, foreign)
    config: Config = reader.table(Config, modern.values, "")
    # A value that can't be had was left empty, and an empty value must not be reported as malformed as well.
    reported = {value.path for value in adapted.unavailable}
    findings.problems.extend(
        problem for problem in reader.problems if modern.path_in_file(problem.path) not in reported
    )
    _warn_foreign(reader.ignored, document, findings)
    ignored = [modern.path_in_file(path) for path in reader.ignored]
    unavailable += [value for value in adapted.unavailable if not any(is_within(value.path, path) for path in ignored)]
    _report_unavailable(unavailable, config, modern, findings)
    config = _with_secret_files(config, document, env, findings) if connect else config
    return complete_providers(config, _providers(modern.values), env, findings, connect=connect)


def _providers(values: Mapping[str, Any]) -> Mapping[str, Any]:
    models = values.get("models")
    listed = models.get("providers") if isinstance(models, Mapping) else None
    return listed if isinstance(listed, Mapping) else {}


def _warn_foreign(ignored: list[str], document: Document, findings: Findings) -> None:
    """Warns of keys of an openclaw.json that oc-trio doesn't read: one line, and one for each that people may miss."""
    foreign = split_ignored(ignored)
    for difference in foreign.differing():
        findings.warning(difference.path, difference.message, difference.hint)
    if foreign.unused:
        findings.warning(str(document.path), "parts that oc-trio has no use for are ignored", ", ".join(foreign.unused))


def _report_unavailable(
    unavailable: list[UnavailableValue], config: Config, modern: ModernDocument, findings: Findings
) -> None:
    """A value that is not available is an error, or a warning if the part of the configuration is not used."""
    unused = {modern.path_in_file(path): reason for path, reason in unused_sections(config).items()}
    for value in unavailable:
        problem, value_path = value.problem, modern.path_in_file(value.path)
        reason = next((reason for path, reason in unused.items() if is_within(value_path, path)), "")
        if reason:
            findings.warning(problem.path, f"{problem.message}; {reason}", problem.hint)
        else:
            findings.problems.append(problem)


def _with_secret_files(config: Config, document: Document, env: Mapping[str, str], findings: Findings) -> Config:
    """The configuration with the content of `hooks.tokenFile` and of each `apiKeyFile` as the secret."""

    def read(inline: Secret, file: str, path: str) -> Secret:
        if not file:
            return inline
        if inline:
            findings.error(path, "is set beside the inline value", "keep one of them")
            return inline
        try:
            return read_file_key(file, path, env, document.folder)
        except Invalid as error:
            findings.problems.append(error.problem)
            return inline

    hooks = evolve(config.hooks, token=read(config.hooks.token, config.hooks.token_file, "hooks.tokenFile"))
    providers = {
        name: evolve(
            provider,
            api_key=read(provider.api_key, provider.api_key_file, join("models.providers", name) + ".apiKeyFile"),
        )
        for name, provider in config.models.providers.items()
    }
    return evolve(config, hooks=hooks, models=evolve(config.models, providers=MappingProxyType(providers)))
