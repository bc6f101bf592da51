"""The only reader of configuration files and of the environment: one call gives everything, checked and complete.

    loaded = load(path, os.environ)      # raises ConfigError with every problem at once

Blocking (files, perhaps a password manager): call it before the event loop, or in a thread.
"""

import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from attrs import evolve, field, frozen

from oc_trio.config.accounts import ROOT, Account, AccountTable, account_tables, default_account, normalize_account_id
from oc_trio.config.builtin_providers import complete_providers, inactive
from oc_trio.config.checks import check_account, check_config
from oc_trio.config.credentials import complete_account, describes_default
from oc_trio.config.document import Document, read_document
from oc_trio.config.dotenv import environment
from oc_trio.config.findings import Findings
from oc_trio.config.foreign_keys import sort_out
from oc_trio.config.legacy import Modern, modernize
from oc_trio.config.model import Config
from oc_trio.config.openclaw import Adapted, adapt
from oc_trio.config.parse import Invalid, Reader, is_within
from oc_trio.config.paths import find_config, nothing_found, state_dir
from oc_trio.config.persona import read_personas
from oc_trio.config.secret_keys import Unavailable, check_shape, holds_secret, read_file_key, resolver
from oc_trio.config.secrets import NO_SECRET, Secret, SecretForm
from oc_trio.core.text import clean
from oc_trio.errors import ConfigError, Problem
from oc_trio.ids import AccountId


@frozen
class Loaded:
    """A usable configuration. `accounts` holds the enabled accounts that can run; `broken` those left out, and why.

    `values` are the file's, in today's spelling, and `tables` each account's with their origins, for `config show`.
    `modern` says how the file spells a key. `environ` has the variables in effect, `personas` what each agent's own
    files say of it.
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
    modern: Modern = field(factory=lambda: Modern({}), repr=False, hash=False)

    def listed_at(self, account: AccountId) -> int:
        """The account's place in the file's order; -1 for the one that the file does not name."""
        named = self.config.channels.mattermost.accounts
        return next((at for at, name in enumerate(named) if normalize_account_id(name) == account), -1)

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
) -> Loaded:
    """Find, read and check the configuration; raises ConfigError with every problem.

    With `isolate`, an account with problems of its own is put aside while another one is fine. Without `connect`,
    tokens and servers are not asked for: enough for commands that only look at the state.
    """
    folder = Path.cwd() if cwd is None else cwd
    found = find_config(path, env, folder)
    document = read_document(found, env) if found else Document()
    try:
        return build(document, env, isolate=isolate, connect=connect)
    except ConfigError as wrong:
        if found is None:
            raise ConfigError(nothing_found(env, folder), *wrong.problems) from None
        raise


def build(document: Document, env: Mapping[str, str], *, isolate: bool = False, connect: bool = True) -> Loaded:
    """A configuration from plain values; raises ConfigError with every problem."""
    found, folder = Findings(), state_dir(env)
    env = {name: clean(value) for name, value in env.items()}
    adapted = Adapted(dict(document.values))
    if document.imported:
        env = environment(document, env, found)
        adapted = adapt(document.values, env, found)
    modern = modernize(adapted.values)
    modern = evolve(modern, written={**adapted.written, **modern.written})
    # A model's `input` and `compat` are OpenClaw's own spelling, not an older one.
    found.warnings.extend(
        one for one in modern.warnings if not (document.imported and is_within(one.path, "models.providers"))
    )
    found.problems.extend(modern.problems)
    inline: dict[str, str] = {}
    config = _read_config(modern, adapted, document, env, found, inline, connect=connect)
    personas = read_personas(config, document.folder, found) if connect else {}
    whole = check_config(config, _installed_agents)
    malformed = [problem.path for problem in found.problems]
    found.problems.extend(_unrelated(whole.problems, malformed))
    tables = account_tables(modern.values, implicit_default=describes_default(modern.values, env))
    _check_ids(tables, found)
    for table in tables:
        token = table.merged.get("botToken")
        if isinstance(token, str) and holds_secret(token, "botToken"):
            inline[table.origin("botToken")] = token
    _check_readers(document, modern, inline, found)
    paths = {table.path: table.id for table in tables if table.path != ROOT}
    by_account: dict[AccountId, list[Problem]] = {table.id: [] for table in tables}
    shared: list[Problem] = []
    for problem in found.problems:
        owner = next(
            (owner for path, owner in paths.items() if problem.path.startswith((path + ".", path + "["))), None
        )
        (by_account[owner] if owner else shared).append(problem)
    accounts: dict[AccountId, Account] = {}
    for table in tables:
        account, missing = complete_account(table, env, document.folder, connect=connect)
        if not account.enabled:
            continue
        accounts[table.id] = account
        inner = check_account(account, table, config)
        by_account[table.id] += _unrelated(missing + inner.problems, malformed)
        found.warnings.extend(inner.warnings)
    _check_same_bot(accounts, tables, by_account)
    placed = partial(_placed, document, modern)
    broken = _sort_out(accounts, by_account, shared, placed, isolate=isolate)
    return Loaded(
        config,
        MappingProxyType({name: account for name, account in accounts.items() if name not in broken}),
        default_account(list(accounts), config.channels.mattermost.default_account),
        folder,
        document,
        placed(found.warnings + whole.warnings),
        MappingProxyType(broken),
        MappingProxyType({table.id: table for table in tables}),
        modern.values,
        env,
        personas,
        modern,
    )


def _read_config(
    modern: Modern,
    adapted: Adapted,
    document: Document,
    env: Mapping[str, str],
    found: Findings,
    inline: dict[str, str],
    *,
    connect: bool,
) -> Config:
    """The configuration; `inline` gets the keys of secrets that stand in the file itself, accounts' tokens aside."""
    resolve = resolver(env, document.folder)
    unavailable: list[Problem] = []

    def secret(raw: Any, path: str, form: SecretForm) -> Secret:
        if holds_secret(raw, path) and not path.startswith(ROOT):
            inline[path] = raw
        # Account tokens are read per account, where inheritance is settled.
        if not connect or path.startswith(ROOT):
            return check_shape(raw, path, form)
        try:
            return resolve(raw, path, form)
        except Unavailable as missing:
            unavailable.append(missing.problem)
            return NO_SECRET

    def foreign(path: str) -> bool:
        return document.imported and not path.startswith(ROOT + ".")

    reader = Reader(secret, foreign)
    config: Config = reader.table(Config, modern.values, "")
    told = {problem.path for problem in adapted.missing}
    found.problems.extend(one for one in reader.problems if modern.as_written(one.path) not in told)
    _note_foreign(reader.ignored, document, found)
    ignored = [modern.as_written(path) for path in reader.ignored]
    unavailable += [one for one in adapted.missing if not any(is_within(one.path, path) for path in ignored)]
    _sort_unavailable(unavailable, config, modern, found)
    config = _with_secret_files(config, document, env, found) if connect else config
    return complete_providers(config, _providers(modern.values), env, found, connect=connect)


def _providers(values: Mapping[str, Any]) -> Mapping[str, Any]:
    models = values.get("models")
    listed = models.get("providers") if isinstance(models, Mapping) else None
    return listed if isinstance(listed, Mapping) else {}


def _note_foreign(ignored: list[str], document: Document, found: Findings) -> None:
    """What an openclaw.json says that oc-trio doesn't do: one line, and one for each thing that people may miss."""
    foreign = sort_out(ignored)
    for paths, what, instead in foreign.different:
        first, *others = paths
        also = f" (so {', '.join(others)})" if others else ""
        found.odd(first, f"works differently here: {what}{also}", f"instead: {instead}")
    if foreign.unused:
        found.odd(str(document.path), "parts that oc-trio has no use for are ignored", ", ".join(foreign.unused))


def _sort_unavailable(unavailable: list[Problem], config: Config, modern: Modern, found: Findings) -> None:
    """A value that can't be had stops the start, unless nobody wants it."""
    unused = {modern.as_written(path): why for path, why in inactive(config).items()}
    for problem in unavailable:
        why = next((why for path, why in unused.items() if is_within(modern.as_written(problem.path), path)), "")
        if why:
            found.odd(problem.path, f"{problem.message}; {why}", problem.hint)
        else:
            found.problems.append(problem)


def _with_secret_files(config: Config, document: Document, env: Mapping[str, str], found: Findings) -> Config:
    """The configuration with what `hooks.tokenFile` and `apiKeyFile` name put where the inline value would be."""

    def read(inline: Secret, file: str, path: str) -> Secret:
        if not file:
            return inline
        if inline:
            found.wrong(path, "is set beside the inline value", "keep one of them")
            return inline
        try:
            return read_file_key(file, path, env, document.folder)
        except Invalid as missing:
            found.problems.append(missing.problem)
            return inline

    hooks = evolve(config.hooks, token=read(config.hooks.token, config.hooks.token_file, "hooks.tokenFile"))
    providers = {
        name: evolve(
            provider, api_key=read(provider.api_key, provider.api_key_file, f"models.providers.{name}.apiKeyFile")
        )
        for name, provider in config.models.providers.items()
    }
    return evolve(config, hooks=hooks, models=evolve(config.models, providers=MappingProxyType(providers)))


def _check_readers(document: Document, modern: Modern, inline: Mapping[str, str], found: Findings) -> None:
    """A file with a secret in it is for its owner alone. What a `${NAME}` was replaced by doesn't stand in it.

    Who can write it can do what the gateway can: it names the programs that the gateway starts.
    """
    written = set(_texts(document.values))
    own = {} if document.path is None else {document.path: document.mode}
    for file, mode in {**own, **document.modes}.items():
        if mode & stat.S_IWOTH:
            problem = f"can be written by every user of this machine (mode {mode:04o})"
            found.odd(str(file), problem, f"chmod 600 {file}")
        here = [path for path in inline if document.file_of(modern.as_written(path)) == file]
        keys = ", ".join(path for path in here if inline[path] in written)
        if keys and mode & 0o044:
            hint = f"chmod 600 {file}, or keep secrets in files or variables of their own"
            found.odd(str(file), f"holds a secret ({keys}) and can be read by others (mode {mode:04o})", hint)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _check_ids(tables: list[AccountTable], found: Findings) -> None:
    seen: dict[AccountId, str] = {}
    for table in tables:
        if table.id in seen:
            found.wrong(table.path, f'has the same id as {seen[table.id]}: "{table.id}"', "rename one of them")
        seen.setdefault(table.id, table.path)


def _check_same_bot(
    accounts: Mapping[AccountId, Account], tables: list[AccountTable], by_account: Mapping[AccountId, list[Problem]]
) -> None:
    """Two accounts with one token would answer everything twice."""
    seen: dict[tuple[str, str], AccountId] = {}
    for table in tables:
        account = accounts.get(table.id)
        if account is None or not account.bot_token or not account.base_url:
            continue
        first = seen.setdefault((account.base_url, account.bot_token.reveal()), table.id)
        if first != table.id:
            message = f'has the same server and token as account "{first}"; every message would be answered twice'
            by_account[table.id].append(Problem(table.path, message, "give it a botToken of its own, or remove it"))


def _sort_out(
    accounts: Mapping[AccountId, Account],
    by_account: Mapping[AccountId, list[Problem]],
    shared: list[Problem],
    placed: Callable[[Iterable[Problem]], tuple[Problem, ...]],
    *,
    isolate: bool,
) -> dict[AccountId, tuple[Problem, ...]]:
    """The accounts to leave out; raises ConfigError when nothing can run, or when nothing may be left out."""
    broken = {name: placed(problems) for name, problems in by_account.items() if problems}
    healthy = [name for name in accounts if name not in broken]
    if shared or (broken and not (isolate and healthy)):
        raise ConfigError(*placed(shared), *(problem for group in broken.values() for problem in group))
    return broken


def _unrelated(problems: list[Problem], malformed: list[str]) -> list[Problem]:
    """Those that don't merely follow from a malformed value at, above or below the same place."""
    return [
        problem
        for problem in problems
        if not any(is_within(problem.path, path) or is_within(path, problem.path) for path in malformed)
    ]


def _placed(document: Document, modern: Modern, problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Each problem once, with file and line, under the name that the file has for the key."""
    whole = {str(document.path), *map(str, document.modes)}

    def place(problem: Problem) -> Problem:
        path = modern.as_written(problem.path)
        return evolve(problem, path=path, where="" if path in whole else document.place(path))

    return tuple(dict.fromkeys(map(place, problems)))


def _installed_agents() -> list[str]:
    from importlib.metadata import entry_points

    return [entry.name for entry in entry_points(group="oc_trio.agents")]
