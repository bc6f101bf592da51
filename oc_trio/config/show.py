"""Lists the configuration in effect: each key with its value, secrets hidden, and where the value comes from.

Also the keys in which two configurations differ.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from oc_trio.classes import frozen
from oc_trio.config.accounts import ROOT, key_paths
from oc_trio.config.credentials import URL_VARIABLE
from oc_trio.config.fields import Spec, own_keys
from oc_trio.config.file_value import to_file_value
from oc_trio.config.load import Loaded
from oc_trio.config.mattermost import MattermostSection
from oc_trio.config.parse import join
from oc_trio.config.secrets import Secret

DEFAULT = "default"
HIDDEN = "***"


@frozen
class Setting:
    """One key in effect. `origin` is `default`, `file:line`, an environment variable, or a path with `file:line`."""

    path: str
    value: Any
    origin: str


def settings(loaded: Loaded) -> list[Setting]:
    """Every key that has a value: first those of the complete accounts, then all others. Unset keys are left out."""
    rows: list[Setting] = []
    for name, account in loaded.accounts.items():
        table = loaded.tables[name]
        for path, value, secret in _leaves(account, ""):
            # The name of its table, and no key.
            if path != "id":
                path_in_file = table.origins.get(path)
                origin = _origin(loaded, path_in_file, secret)
                if path == "baseUrl" and path_in_file is None:  # an account without a server is not loaded
                    origin = f"env {URL_VARIABLE}"
                rows.append(Setting(join(f"{ROOT}.accounts", name) + f".{path}", value, origin))
    paths = key_paths(loaded.values)
    for path, value, secret in _leaves(loaded.config, ""):
        if not path.startswith(ROOT + "."):
            rows.append(Setting(path, value, _origin(loaded, path if path in paths else None, secret)))
    return rows


def changed_keys(old: Loaded, fresh: Loaded) -> tuple[str, ...]:
    """The paths of the written keys whose values differ, as the file spells them; secrets are compared, too."""
    before, after = _values(old), _values(fresh)
    return tuple(sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path)))


def _values(loaded: Loaded) -> dict[str, Any]:
    """Value and secret of every key that is written somewhere, by its path in the file."""
    found: dict[str, Any] = {}
    paths = key_paths(loaded.values)
    for name, account in loaded.accounts.items():
        table = loaded.tables[name]
        for path, value, secret in _leaves(account, ""):
            # A secret may change where the file does not: it can come from a variable or a credential.
            if path in table.origins or secret is not None:
                found[loaded.modern.path_in_file(table.origin(path))] = (value, secret)
    for path, value, secret in _leaves(loaded.config, ""):
        if not path.startswith(ROOT + ".") and (path in paths or secret is not None):
            found[loaded.modern.path_in_file(path)] = (value, secret)
    return found


def _origin(loaded: Loaded, path: str | None, secret: Secret | None) -> str:
    if secret is not None and secret.ref is not None:
        read_from = f", read from {secret.ref}"
        return (_place(loaded, path) if path else str(secret.ref)) + (read_from if path else "")
    if path is None:
        return DEFAULT
    return f"{_place(loaded, path)} {path}".strip()


def _place(loaded: Loaded, path: str) -> str:
    return loaded.document.location(loaded.modern.path_in_file(path))


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any, Secret | None]]:
    """Path, value in the file's terms, and the secret itself where it is one."""
    declared: type = type(value)
    # What the root section says is shown in the accounts that inherit it.
    if declared is MattermostSection:
        return
    for entry in own_keys(declared):
        inner = getattr(value, entry.attribute)
        inner_path = path if entry.spec.flat else join(path, entry.name)
        yield from _leaf(inner, entry.spec, inner_path)


def _leaf(inner: Any, spec: Spec, path: str) -> Iterator[tuple[str, Any, Secret | None]]:
    if isinstance(inner, Secret):
        if inner:
            yield path, to_file_value(inner, spec), inner
    elif attrs.has(type(inner)):
        yield from _leaves(inner, path)
    elif isinstance(inner, Mapping) and any(attrs.has(type(item)) for item in inner.values()):
        for name, item in inner.items():
            yield from _leaf(item, spec, join(path, name))
    elif inner is not None and inner != {} and inner != "":
        yield path, _without_keys(to_file_value(inner, spec)), None


def _without_keys(value: Any) -> Any:
    """Masks what may be a secret in an address: user name and password, and the values of the query."""
    match value:
        case str() if "://" in value:
            masked = re.sub(r"(?<=://)[^/?#\s]*@", f"{HIDDEN}@", value)
            address, mark, query = masked.partition("?")
            parts = (part.partition("=") for part in query.split("&"))
            return (
                address + mark + "&".join(f"{name}={HIDDEN}" if equals else HIDDEN for name, equals, _ in parts if mark)
            )
        case list():
            return [_without_keys(item) for item in value]
        case dict():
            return {name: _without_keys(item) for name, item in value.items()}
        case _:
            return value
