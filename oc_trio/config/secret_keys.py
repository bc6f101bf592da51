"""Parses the value of a secret key in the file: text, or a table with `source`. `secrets` reads what it refers to."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import evolve

from oc_trio.config.parse import Invalid, join, kind_of, nearest
from oc_trio.config.paths import expanded
from oc_trio.config.secrets import (
    COMMAND_SECONDS,
    NO_SECRET,
    Secret,
    SecretForm,
    SecretMalformed,
    SecretRef,
    SecretSource,
    SecretUnavailable,
    character_error,
    read_secret,
)
from oc_trio.errors import Problem

_KEYS = {
    "env": {"source", "provider", "id"},
    "file": {"source", "provider", "id", "path", "pointer"},
    "exec": {"source", "provider", "id", "command", "plain", "env", "timeoutMs"},
}
_CONFIDENTIAL = re.compile(r"auth|cookie|credential|key|pass|secret|token", re.IGNORECASE)
# People write these as the key of a server that needs none, so they are nothing to protect.
_NO_KEY = ("", "none", "dummy", "unused")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLACEHOLDER = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_POINTER = re.compile(r"/.*", re.DOTALL)
_SHAPES = '{ source = "env", id = "NAME" }, { source = "file", path = "..." } or { source = "exec", command = [...] }'


Resolve = Callable[[Any, str, SecretForm], Secret]


class Unavailable(Invalid):
    """The reference is well formed, but what it refers to is not available now."""


def resolver(env: Mapping[str, str], folder: Path) -> Resolve:
    """A function (raw, path, form) -> Secret that reads what a reference refers to; it raises Invalid.

    Relative paths start at `folder`, where the configuration file is.
    """

    def resolve(raw: Any, path: str, form: SecretForm) -> Secret:
        if isinstance(raw, str):
            return _inline(raw, path, form)
        return _fetch(secret_ref(raw, path), path, env, folder, form)

    return resolve


def read_file_key(file: str, path: str, env: Mapping[str, str], folder: Path) -> Secret:
    """The secret in the file that a key such as `botTokenFile` names; raises Invalid."""
    return _fetch(SecretRef(SecretSource.FILE, file), path, env, folder)


def _fetch(
    ref: SecretRef, path: str, env: Mapping[str, str], folder: Path, form: SecretForm = SecretForm.TOKEN
) -> Secret:
    if ref.source is SecretSource.FILE:
        # An absolute path takes the folder's place.
        ref = evolve(ref, target=str(folder / expanded(ref.target)))
    try:
        return read_secret(ref, env, form)
    except SecretMalformed as error:
        raise Invalid(Problem(path, str(error))) from None
    except SecretUnavailable as error:
        raise Unavailable(Problem(path, str(error))) from None


def _inline(raw: str, path: str, form: SecretForm) -> Secret:
    if variable := _PLACEHOLDER.fullmatch(raw):
        # In an openclaw.json it would have been replaced before.
        hint = f'write {{ source = "env", id = "{variable[1]}" }}'
        raise Invalid(Problem(path, "is text here, not the value of a variable", hint))
    if error := character_error(raw, form):
        raise Invalid(Problem(path, error, "copy it again, without quotation marks and blanks around it"))
    return Secret(raw)


def holds_secret(raw: Any, path: str) -> bool:
    """Whether the raw value is confidential itself, and not a reference, a placeholder or a plain setting.

    For headers and variables the name decides, for a URL whether it contains a password.
    """
    if not isinstance(raw, str) or raw.strip().lower() in _NO_KEY:
        return False
    if "://" in raw:
        return bool(re.search(r"://[^/@\s]*:[^/@\s]+@|[?&]password=", raw))
    kind, _, name = path.rpartition(".")
    return not kind.endswith((".headers", ".env")) or bool(_CONFIDENTIAL.search(name))


def check_shape(raw: Any, path: str, form: SecretForm) -> Secret:
    """A secret that is checked but not read: inline text is kept, a reference has an empty value. Raises Invalid."""
    return _inline(raw, path, form) if isinstance(raw, str) else Secret("", secret_ref(raw, path))


def read_late(secret: Secret, path: str, env: Mapping[str, str], folder: Path) -> Secret:
    """What a secret refers to that `check_shape` has left unread; one that has a value is returned. Raises Invalid."""
    return secret if secret or secret.ref is None else _fetch(secret.ref, path, env, folder)


def unread_secret(_raw: Any, _path: str, _form: SecretForm) -> Secret:
    """A resolver that reads nothing: the secret is checked and read elsewhere."""
    return NO_SECRET


def secret_ref(raw: Any, path: str) -> SecretRef:
    """The reference of a table with `source`; raises Invalid."""
    if not isinstance(raw, Mapping):
        raise Invalid(Problem(path, f"must be text or a table, not {kind_of(raw)}", _SHAPES))
    source = raw.get("source")
    if not isinstance(source, str) or source not in _KEYS:
        raise Invalid(Problem(join(path, "source"), 'must be one of "env", "file", "exec"', _SHAPES))
    for name in raw:
        if name not in _KEYS[source]:
            guess = nearest(str(name), _KEYS[source])
            hint = f"did you mean {guess}?" if guess else _SHAPES
            raise Invalid(Problem(join(path, str(name)), "is not a known key", hint))
    if source == "env":
        return SecretRef(SecretSource.ENV, _text(raw, "id", path, _VARIABLE, "the name of an environment variable"))
    if source == "file":
        name = "path" if "path" in raw else "id"
        pointer = _text(raw, "pointer", path, _POINTER, "a JSON pointer: /...") if "pointer" in raw else ""
        file = _text(raw, name, path, re.compile(r"[/~.].*"), "a path: /..., ~/... or ./...")
        return SecretRef(SecretSource.FILE, file, pointer=pointer)
    command = raw.get("command")
    if not isinstance(command, list) or not command or not all(isinstance(word, str) and word for word in command):
        problem = Problem(join(path, "command"), "must be a list of words", 'command = ["pass", "show", "mattermost"]')
        raise Invalid(problem)
    env, milliseconds = raw.get("env", {}), raw.get("timeoutMs", COMMAND_SECONDS * 1000)
    if not isinstance(env, Mapping) or not all(isinstance(value, str) for value in env.values()):
        raise Invalid(Problem(join(path, "env"), "must be a table of texts"))
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float) or not 0 < milliseconds <= 120_000:
        raise Invalid(Problem(join(path, "timeoutMs"), "must be between 1 and 120000"))
    return SecretRef(
        SecretSource.EXEC,
        command[0],
        tuple(command[1:]),
        id=_text(raw, "id", path, re.compile(r".+"), "a name") if "id" in raw else "",
        provider=str(raw.get("provider", "")),
        plain=raw.get("plain") is True,
        env=tuple(sorted((str(name), value) for name, value in env.items())),
        seconds=milliseconds / 1000,
    )


def _text(raw: Mapping[str, Any], name: str, path: str, pattern: re.Pattern[str], expects: str) -> str:
    value = raw.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise Invalid(Problem(join(path, name), f"must be {expects}"))
    return value
