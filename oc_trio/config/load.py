"""Loads the configuration: one call reads files and environment, checks everything and returns it complete.

    loaded = load(path, os.environ)      # raises ConfigError with every problem at once

Blocking (files, perhaps the program of a password manager): call it before the event loop runs, or in a thread.
"""

import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from attrs import evolve, field

from oc_trio.classes import frozen
from oc_trio.config.accounts import ROOT, Account, AccountTable, account_tables, default_account, normalize_account_id
from oc_trio.config.adapted import Adapted
from oc_trio.config.builtin_providers import missing_model
from oc_trio.config.checks import check_account, check_config
from oc_trio.config.credentials import complete_account, has_default_account
from oc_trio.config.document import Document, read_document
from oc_trio.config.dotenv import environment
from oc_trio.config.findings import Findings
from oc_trio.config.legacy import ModernDocument, modernize
from oc_trio.config.model import Config
from oc_trio.config.parse import is_within
from oc_trio.config.paths import current_folder, find_config, no_config_problem, state_dir
from oc_trio.config.persona import read_personas
from oc_trio.config.read_config import read_config
from oc_trio.config.secret_keys import holds_secret
from oc_trio.config.secrets import with_credentials
from oc_trio.config.telemetry import check_otel
from oc_trio.core.text import clean
from oc_trio.errors import ConfigError, Problem
from oc_trio.ids import AccountId


@frozen
class Loaded:
    """A usable configuration. `accounts` has the enabled accounts that can run, `broken` the problems of the others.

    `values` are the file's, in current spelling; `tables` those of each account with their origins, for `config show`.
    `modern` knows how the file spells a key. `environ` has the variables in effect, `personas` the text of each
    agent's own files.
    """

    config: Config
    accounts: Mapping[AccountId, Account] = field(hash=False)
    default_account: AccountId
    state_dir: Path
    document: Document
    warnings: tuple[Problem, ...] = ()
    broken: Mapping[AccountId, tuple[Problem, ...]] = field(factory=dict, hash=False)
    tables: Mapping[AccountId, AccountTable] = field(factory=dict, repr=False, hash=False)
    values: Mapping[str, Any] = field(factory=dict, repr=False, hash=False)
    environ: Mapping[str, str] = field(factory=dict, repr=False, hash=False)
    personas: Mapping[str, str] = field(factory=dict, repr=False, hash=False)
    modern: ModernDocument = field(factory=lambda: ModernDocument({}), repr=False, hash=False)

    def listed_at(self, account: AccountId) -> int:
        """The account's index in the order of the file; -1 for the default account, if the file does not name it."""
        names = self.config.channels.mattermost.accounts
        return next((index for index, name in enumerate(names) if normalize_account_id(name) == account), -1)

    @property
    def switched_off(self) -> tuple[AccountId, ...]:
        """The accounts with `enabled = false`."""
        return tuple(name for name in self.tables if name not in self.accounts and name not in self.broken)

    @property
    def path(self) -> Path | None:
        """The file that was read; None when the environment was enough."""
        return self.document.path


def load(
    path: str | None,
    env: Mapping[str, str],
    *,
    cwd: Path | None = None,
    isolate: bool = False,
    connect: bool = True,
    to_start: bool = False,
) -> Loaded:
    """Find, read and check the configuration; raises ConfigError with every problem.

    With `isolate`, an account with problems is left out as long as another one is fine. Without `connect`, tokens and
    server addresses may be missing: commands that only read the state don't need them. With `to_start`, there has to be
    a model, too.
    """
    folder = current_folder() if cwd is None else cwd
    config_file = find_config(path, env, folder)
    document = read_document(config_file, env) if config_file else Document()
    try:
        return build(document, env, isolate=isolate, connect=connect, to_start=to_start)
    except ConfigError as error:
        if config_file is None:
            raise ConfigError(no_config_problem(env, folder), *error.problems) from None
        raise


def build(
    document: Document, env: Mapping[str, str], *, isolate: bool = False, connect: bool = True, to_start: bool = False
) -> Loaded:
    """The configuration of a document; raises ConfigError with every problem. The options are those of `load`."""
    findings, folder = Findings(), state_dir(env)
    # A variable may hold bytes that are not UTF-8; `os.environ` gives them as lone surrogates.
    env = {name: clean(value) for name, value in with_credentials(env).items()}
    # In this order: OpenClaw's form becomes ours, then older spellings become the current ones, and only then are
    # values read. Each step remembers the path in the file, since the operator knows no other.
    adapted = Adapted(dict(document.values))
    if document.imported:
        # Here only: most files are not OpenClaw's.
        from oc_trio.config.openclaw import adapt

        env = environment(document, env, findings)
        adapted = adapt(document.values, env, findings)
    modern = modernize(adapted.values)
    modern = evolve(modern, original_paths={**adapted.original_paths, **modern.original_paths})
    # A model's `input` and `compat` are OpenClaw's own spelling, not an older one.
    findings.warnings.extend(
        warning
        for warning in modern.warnings
        if not (document.imported and is_within(warning.path, "models.providers"))
    )
    findings.problems.extend(modern.problems)
    inline: dict[str, str] = {}
    config = read_config(modern, adapted, document, env, findings, inline, connect=connect)
    personas = read_personas(config, document.folder, findings) if connect else {}
    config_findings = check_config(config, _installed_agents)
    check_otel(config.telemetry.otel, env, config_findings)
    # A malformed value is left at its default, and what a check says of that default would mislead.
    malformed = [*(problem.path for problem in findings.problems), *(value.path for value in adapted.unavailable)]
    findings.problems.extend(_independent(config_findings.problems, malformed))
    if to_start and (missing := missing_model(config)) is not None:
        findings.problems.extend(_independent([missing], malformed))
    tables = account_tables(modern.values, implicit_default=has_default_account(modern.values, env))
    _check_ids(tables, findings)
    for table in tables:
        token = table.merged.get("botToken")
        if isinstance(token, str) and holds_secret(token, "botToken"):
            inline[table.origin("botToken")] = token
    _check_permissions(document, modern, inline, findings)
    paths = {table.path: table.id for table in tables if table.path != ROOT}
    by_account: dict[AccountId, list[Problem]] = {table.id: [] for table in tables}
    # Problems below an account's own path concern that account alone and don't have to stop the others.
    shared: list[Problem] = []
    for problem in findings.problems:
        owner = next(
            (owner for path, owner in paths.items() if problem.path.startswith((path + ".", path + "["))), None
        )
        (by_account[owner] if owner else shared).append(problem)
    accounts: dict[AccountId, Account] = {}
    for table in tables:
        account, credential_problems = complete_account(table, env, document.folder, connect=connect)
        if not account.enabled:
            continue
        accounts[table.id] = account
        account_findings = check_account(account, table, config)
        by_account[table.id] += _independent(credential_problems + account_findings.problems, malformed)
        findings.warnings.extend(account_findings.warnings)
    _check_same_bot(accounts, tables, by_account)
    locate = partial(_located, document, modern)
    broken = _split_broken(accounts, by_account, shared, locate, isolate=isolate)
    return Loaded(
        config,
        MappingProxyType({name: account for name, account in accounts.items() if name not in broken}),
        # Of the broken ones, too: what is meant for the default account must not go out by another.
        default_account(list(accounts), config.channels.mattermost.default_account),
        folder,
        document,
        locate(findings.warnings + config_findings.warnings),
        MappingProxyType(broken),
        MappingProxyType({table.id: table for table in tables}),
        modern.values,
        env,
        personas,
        modern,
    )


def _check_permissions(
    document: Document, modern: ModernDocument, inline: Mapping[str, str], findings: Findings
) -> None:
    """Warns of a file with secrets that others can read, and of any file that everybody can write.

    Who can write the file can do what the gateway can: it names the programs that the gateway starts. `inline` has
    the secrets that stand in a file, by path; one that replaced a `${NAME}` is not among the texts of the document.
    """
    texts = set(_texts(document.values))
    own = {} if document.path is None else {document.path: document.mode}
    for file, mode in {**own, **document.modes}.items():
        if mode & stat.S_IWOTH:
            problem = f"can be written by every user of this machine (mode {mode:04o})"
            findings.warning(str(file), problem, f"chmod 600 {file}")
        paths = [path for path in inline if document.file_of(modern.path_in_file(path)) == file]
        keys = ", ".join(path for path in paths if inline[path] in texts)
        if keys and mode & 0o044:
            hint = f"chmod 600 {file}, or keep secrets in files or variables of their own"
            findings.warning(str(file), f"holds a secret ({keys}) and can be read by others (mode {mode:04o})", hint)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _check_ids(tables: list[AccountTable], findings: Findings) -> None:
    path_by_id: dict[AccountId, str] = {}
    for table in tables:
        if table.id in path_by_id:
            findings.error(table.path, f'has the same id as {path_by_id[table.id]}: "{table.id}"', "rename one of them")
        path_by_id.setdefault(table.id, table.path)


def _check_same_bot(
    accounts: Mapping[AccountId, Account], tables: list[AccountTable], by_account: Mapping[AccountId, list[Problem]]
) -> None:
    """Adds a problem for each account with the server and token of an earlier one: both would answer every message."""
    first_account: dict[tuple[str, str], AccountId] = {}
    for table in tables:
        account = accounts.get(table.id)
        if account is None or not account.bot_token or not account.base_url:
            continue
        # By the values: two names of variables may hold one token.
        first = first_account.setdefault((account.base_url, account.bot_token.reveal()), table.id)
        if first != table.id:
            message = f'has the same server and token as account "{first}"; every message would be answered twice'
            by_account[table.id].append(Problem(table.path, message, "give it a botToken of its own, or remove it"))


def _split_broken(
    accounts: Mapping[AccountId, Account],
    by_account: Mapping[AccountId, list[Problem]],
    shared: list[Problem],
    locate: Callable[[Iterable[Problem]], tuple[Problem, ...]],
    *,
    isolate: bool,
) -> dict[AccountId, tuple[Problem, ...]]:
    """The accounts to leave out, with their problems. Raises ConfigError if no account could run, if a problem concerns
    all of them, or without `isolate`.
    """
    broken = {name: locate(problems) for name, problems in by_account.items() if problems}
    healthy = [name for name in accounts if name not in broken]
    if shared or (broken and not (isolate and healthy)):
        raise ConfigError(*locate(shared), *(problem for group in broken.values() for problem in group))
    return broken


def _independent(problems: list[Problem], malformed: list[str]) -> list[Problem]:
    """The problems that don't merely follow from a malformed value at, above or below the same path."""
    return [
        problem
        for problem in problems
        if not any(is_within(problem.path, path) or is_within(path, problem.path) for path in malformed)
    ]


def _located(document: Document, modern: ModernDocument, problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Each problem once, with file and line, and with the path as the file spells it."""
    files = {str(document.path), *map(str, document.modes)}

    def located(problem: Problem) -> Problem:
        path = modern.path_in_file(problem.path)
        return evolve(problem, path=path, where="" if path in files else document.location(path))

    return tuple(dict.fromkeys(map(located, problems)))


def _installed_agents() -> list[str]:
    # Slow to import, and nearly every configuration uses built-in APIs only.
    from importlib.metadata import entry_points

    return [entry.name for entry in entry_points(group="oc_trio.agents")]
