"""What a service has to be given: the secrets that a configuration refers to, and the paths that it names.

systemd reads a secret's file as root and passes a copy to the service (`LoadCredential=`), whose own user may read
neither /etc/oc-trio/bot-token nor an operator's home. `secrets.read_secret` looks for that copy first.
"""

import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import attrs

from oc_trio.classes import frozen
from oc_trio.config.accounts import AccountTable
from oc_trio.config.agents import Provider
from oc_trio.config.builtin_providers import BUILT_IN
from oc_trio.config.load import Loaded
from oc_trio.config.parse import Invalid, join
from oc_trio.config.paths import expanded, is_folder
from oc_trio.config.persona import workspace_of
from oc_trio.config.secret_keys import secret_ref
from oc_trio.config.secrets import Secret, SecretRef, SecretSource, credential_name

# What `ProtectHome=yes` and `PrivateTmp=yes` hide.
HOMES = ("/home", "/root", "/run/user")
TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108 - named, not used


@frozen
class Credential:
    """A secret for `LoadCredential=name:path`; `key` is where the configuration asks for it.

    `path` is empty for a variable or a token without a file: the operator's folder of credentials has it. One that
    `is_optional` goes into a unit only where its file is: systemd starts no service whose credential is missing.
    """

    name: str
    key: str
    path: str = ""
    is_optional: bool = False


@frozen
class ServicePath:
    """A file or folder that the configuration names at `key`, absolute."""

    key: str
    path: Path


def credentials(loaded: Loaded) -> tuple[Credential, ...]:
    """The credentials that a service with this configuration needs, each once. `loaded` may have read no secrets."""
    folder = loaded.document.folder
    found = [
        *_of_values(loaded.config, "", folder),
        *_of_accounts(loaded),
        *_of_key_files(loaded),
        *_of_built_in(loaded),
    ]
    # Turned around twice: of two with one name the first stays, and all stay in their order.
    return tuple({credential.name: credential for credential in reversed(found)}.values())[::-1]


def paths(loaded: Loaded) -> tuple[ServicePath, ...]:
    """What a service has to read or run; programs without a slash are found by PATH and are left out."""
    config, folder = loaded.config, loaded.document.folder
    named: list[tuple[str, str]] = [("the configuration", str(path)) for path in _documents(loaded)]
    tls = config.gateway.tls
    named += [("gateway.tls.certFile", tls.cert_file), ("gateway.tls.keyFile", tls.key_file)]
    named += [("skills.dirs", each) for each in config.skills.dirs if is_folder(folder / each)]
    for agent in tuple(config.agents.entries) or ("main",):
        workspace, key = workspace_of(config, agent)
        named.append((key, workspace))
    for name, provider in config.models.providers.items():
        named += [(join("models.providers", name) + ".command", word) for word in provider.command if "/" in word]
    for name, server in config.mcp.servers.items():
        key = join("mcp.servers", name)
        named += [
            (f"{key}.command", word) for word in (server.command, *server.args) if word.startswith(("/", "~", "."))
        ]
    return tuple(ServicePath(key, (folder / expanded(text))) for key, text in named if text)


def is_below(path: Path, folders: Iterable[str]) -> bool:
    """Whether a path is one of the folders or in it."""
    return any(path == Path(folder) or Path(folder) in path.parents for folder in folders)


def unreadable(path: Path) -> Path | None:
    """The first part of an existing path that a user without rights of its own can't pass or read; None if none is."""
    for part in (*reversed(path.parents), path):
        try:
            mode = part.stat().st_mode
        except OSError:
            return None  # it is not there, or not to be judged by us
        needed = stat.S_IXOTH if part != path else stat.S_IROTH | (stat.S_IXOTH if stat.S_ISDIR(mode) else 0)
        if mode & needed != needed:
            return part
    return None


def _documents(loaded: Loaded) -> Iterator[Path]:
    if loaded.path is not None:
        yield loaded.path.absolute()
    yield from (path for path in loaded.document.modes if path != loaded.path)


def _credential(ref: SecretRef | None, key: str, folder: Path) -> Iterator[Credential]:
    if ref is not None and ref.source is SecretSource.FILE:
        target = str(folder / expanded(ref.target))
        yield Credential(credential_name(target), key, target)
    elif ref is not None and ref.source is SecretSource.ENV:
        yield Credential(ref.target, key)


def _of_values(value: Any, key: str, folder: Path) -> Iterator[Credential]:
    """Those of all secrets in the values of the configuration, accounts excepted: they inherit."""
    if isinstance(value, Secret):
        yield from _credential(value.ref, key, folder)
    elif attrs.has(type(value)):
        for each in attrs.fields(type(value)):
            if (inner := getattr(value, each.name)) is not None and each.name != "channels":
                yield from _of_values(inner, f"{key}.{each.name}".lstrip("."), folder)
    elif isinstance(value, dict) or hasattr(value, "items"):
        for name, inner in value.items():
            yield from _of_values(inner, join(key, str(name)), folder)
    elif isinstance(value, (tuple, list)):
        for index, inner in enumerate(value):
            yield from _of_values(inner, f"{key}[{index}]", folder)


def _of_accounts(loaded: Loaded) -> Iterator[Credential]:
    for table in loaded.tables.values():
        if table.merged.get("enabled", True) is not False:
            yield from _of_account(table, loaded.document.folder)


def _of_account(table: AccountTable, folder: Path) -> Iterator[Credential]:
    token, file = table.merged.get("botToken"), table.merged.get("botTokenFile")
    if file:
        yield from _credential(SecretRef(SecretSource.FILE, str(file)), table.origin("botTokenFile"), folder)
    elif not token:
        name = "bot-token" if table.id == "default" else f"bot-token.{table.id}"
        yield Credential(name, join(table.path, "botToken"))
    elif not isinstance(token, str):
        try:
            ref = secret_ref(token, table.origin("botToken"))
        except Invalid:
            return  # `load` has reported it
        yield from _credential(ref, table.origin("botToken"), folder)


def _of_key_files(loaded: Loaded) -> Iterator[Credential]:
    files = [("hooks.tokenFile", loaded.config.hooks.token_file)]
    for name, provider in loaded.config.models.providers.items():
        files.append((join("models.providers", name) + ".apiKeyFile", provider.api_key_file))
    for key, file in files:
        if file:
            yield from _credential(SecretRef(SecretSource.FILE, file), key, loaded.document.folder)


def _of_built_in(loaded: Loaded) -> Iterator[Credential]:
    """The usual variable of each built-in provider whose key the file doesn't have."""
    for name, provider in loaded.config.models.providers.items():
        if name in BUILT_IN and BUILT_IN[name].variables and not _has_key(provider):
            built_in, key = BUILT_IN[name], join("models.providers", name) + ".apiKey"
            yield Credential(built_in.variables[0], key, is_optional=not built_in.needs_key or bool(provider.headers))


def _has_key(provider: Provider) -> bool:
    return bool(provider.api_key or provider.api_key.ref or provider.api_key_file)
