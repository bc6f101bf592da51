"""Secrets: where they come from, and a value that can't be printed by accident.

Reading happens in `load` (and again when a token is refused); this module never logs and never quotes a value.
"""

import json
import os
import stat
import subprocess
import unicodedata
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from attrs import field, frozen

COMMAND_SECONDS = 15.0  # a password manager that asks its server takes a few; longer is a prompt nobody will answer


class SecretSource(Enum):
    """Where a secret is kept."""

    ENV = "env"
    FILE = "file"
    EXEC = "exec"
    CREDENTIAL = "credential"


@frozen
class SecretRef:
    """A pointer to a secret: variable name, path, command line, or systemd credential.

    `pointer` finds it within a JSON file (RFC 6901). A command with an `id` is asked for it as OpenClaw asks: JSON on
    standard input, JSON back; `plain` lets it print the bare value instead. `env` is added to its variables; `seconds`
    is how long it may take.
    """

    source: SecretSource
    target: str
    arguments: tuple[str, ...] = ()
    pointer: str = ""
    id: str = ""
    provider: str = ""
    plain: bool = False
    env: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    seconds: float = COMMAND_SECONDS

    def __str__(self) -> str:
        return " ".join(word for word in (self.source.value, self.target, self.pointer or self.id) if word)


@frozen(repr=False)
class Secret:
    """A value that shows itself only to `reveal()`; `ref` says where it can be read again, None when inline."""

    _value: str = field(alias="value")
    ref: SecretRef | None = None

    def reveal(self) -> str:
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "Secret(***)" if self._value else "Secret()"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)


NO_SECRET = Secret("")


class SecretForm(Enum):
    """What a secret may be made of: `TOKEN` printable ASCII without blanks, `HEADER` also with blanks between words,
    `TEXT` (the environment of a program) any text of one line.
    """

    TOKEN = "token"  # noqa: S105 (a form, not a value)
    HEADER = "header"
    TEXT = "text"


_CONTROLS = {0: "NULL", 9: "CHARACTER TABULATION", 10: "LINE FEED", 13: "CARRIAGE RETURN", 27: "ESCAPE", 127: "DELETE"}


def flaw(value: str, form: SecretForm = SecretForm.TOKEN) -> str:
    """What is wrong with the characters of a secret, in words that name one and quote none; empty when it is fine."""
    last = len(value) - 1
    for at, letter in enumerate(value):
        code = ord(letter)
        is_blank = letter == " " and (form is SecretForm.TOKEN or (form is SecretForm.HEADER and at in (0, last)))
        is_foreign = not letter.isascii() and (form is not SecretForm.TEXT or 0xD800 <= code <= 0xDFFF)
        if is_blank or is_foreign or code < 32 or code == 127:
            where = "begins with" if at == 0 else "ends with" if at == last else "holds"
            return f"{where} {_name(letter)} (U+{code:04X}), which is no part of a secret"
    return ""


def _name(letter: str) -> str:
    if letter == "\ufeff":
        return "a byte order mark, ZERO WIDTH NO-BREAK SPACE"
    if letter == "\ufffd" or 0xD800 <= ord(letter) <= 0xDFFF:  # the environment is cleaned before
        return "REPLACEMENT CHARACTER, for a byte that is not UTF-8"
    return unicodedata.name(letter, "") or _CONTROLS.get(ord(letter), "a character without a name")


class SecretUnavailable(Exception):
    """A secret can't be had; str() says why and what to do, never the value."""


class SecretMalformed(SecretUnavailable):
    """It is there, and can't be one."""


def read_secret(ref: SecretRef, env: Mapping[str, str], form: SecretForm = SecretForm.TOKEN) -> Secret:
    """The secret that `ref` points to, without line breaks at its end. Raises SecretUnavailable."""
    match ref.source:
        case SecretSource.ENV:
            value = _from_env(ref.target, env)
        case SecretSource.FILE:
            value = _from_file(Path(ref.target).expanduser())
            if ref.pointer:
                value = _pointed(value, ref)
        case SecretSource.CREDENTIAL:
            value = _read(Path(ref.target))
        case SecretSource.EXEC:
            value = _from_command(ref, env)
            if ref.id:
                value = _answered(value, ref)
    value = value.rstrip("\r\n")
    if not value.strip():
        raise SecretUnavailable(f"{ref} is empty")
    if "\n" in value:
        raise SecretMalformed(f"{ref} holds more than one line: a LINE FEED (U+000A)")
    if wrong := flaw(value, form):
        raise SecretMalformed(f"{ref} {wrong}")
    return Secret(value, ref)


def find_credential(name: str, env: Mapping[str, str]) -> SecretRef | None:
    """The systemd credential of that name, if the service was given one (`LoadCredential=`)."""
    folder = env.get("CREDENTIALS_DIRECTORY")
    if not folder or not (Path(folder) / name).is_file():
        return None
    return SecretRef(SecretSource.CREDENTIAL, str(Path(folder) / name))


def _from_env(name: str, env: Mapping[str, str]) -> str:
    if name not in env:
        raise SecretUnavailable(f"the environment variable {name} is not set")
    return env[name]


def _from_file(path: Path) -> str:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except (OSError, ValueError) as broken:
        raise SecretUnavailable(f"{path} can't be read: {_reason(broken)}") from None
    if mode & 0o077:
        raise SecretUnavailable(f"{path} can be read by others (mode {mode:04o}); run: chmod 600 {path}")
    return _read(path)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as broken:
        raise SecretUnavailable(f"{path} can't be read: {_reason(broken)}") from None


def _reason(broken: Exception) -> str:
    return os.strerror(broken.errno) if isinstance(broken, OSError) and broken.errno else "it is not a text file"


def _pointed(text: str, ref: SecretRef) -> str:
    """What the JSON pointer of `ref` finds in the text of its file."""
    try:
        value: Any = json.loads(text)
    except ValueError:
        raise SecretUnavailable(f"{ref.target} is not JSON, so {ref.pointer} finds nothing in it") from None
    for written in ref.pointer.removeprefix("/").split("/"):
        name = written.replace("~1", "/").replace("~0", "~")
        if isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        elif isinstance(value, dict) and name in value:
            value = value[name]
        else:
            raise SecretUnavailable(f"{ref.target} holds nothing at {ref.pointer}")
    if not isinstance(value, str):
        raise SecretUnavailable(f"{ref.target} holds no text at {ref.pointer}")
    return value


def _answered(text: str, ref: SecretRef) -> str:
    """The value that a command gave for the id it was asked for."""
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        if ref.plain:
            return text
        raise SecretUnavailable(f"{ref.target} printed no JSON object")
    values, errors = answer.get("values"), answer.get("errors")
    value = values.get(ref.id) if isinstance(values, dict) else None
    if isinstance(value, str):
        return value
    error = errors.get(ref.id) if isinstance(errors, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    # Other codes and all messages may quote the secret.
    known = f" ({code})" if code in ("NOT_FOUND", "AMBIGUOUS_DUPLICATE_KEY") else ""
    raise SecretUnavailable(f"{ref.target} gave no value for {ref.id}{known}")


def _from_command(ref: SecretRef, env: Mapping[str, str]) -> str:
    name, question = ref.target, {"protocolVersion": 1, "provider": ref.provider, "ids": [ref.id]}
    try:
        done = subprocess.run(  # noqa: S603 (the operator's own command, no shell)
            (name, *ref.arguments),
            env={**env, **dict(ref.env)},
            input=json.dumps(question).encode() if ref.id else b"",
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=ref.seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SecretUnavailable(f"{name} gave no answer within {ref.seconds:g} s") from None
    except (OSError, ValueError) as broken:
        raise SecretUnavailable(f"{name} can't be run: {_reason(broken)}") from None
    if done.returncode != 0:
        raise SecretUnavailable(f"{name} ended with exit code {done.returncode}")
    try:
        return done.stdout.decode()
    except UnicodeDecodeError:
        raise SecretUnavailable(f"{name} printed something that is not text") from None
