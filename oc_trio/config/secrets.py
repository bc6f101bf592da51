"""Secrets: where they come from, and a value that can't be printed by accident.

Reading happens in `load` (and again when a token is refused); this module never logs and never quotes a value.
"""

import os
import stat
import subprocess
import unicodedata
from collections.abc import Mapping
from enum import Enum
from pathlib import Path

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
    """A pointer to a secret: variable name, path, command line, or systemd credential."""

    source: SecretSource
    target: str
    arguments: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.source.value} {self.target}"


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


def read_secret(ref: SecretRef, env: Mapping[str, str], form: SecretForm = SecretForm.TOKEN) -> Secret:
    """The secret that `ref` points to, without line breaks at its end. Raises SecretUnavailable."""
    match ref.source:
        case SecretSource.ENV:
            value = _from_env(ref.target, env)
        case SecretSource.FILE:
            value = _from_file(Path(ref.target).expanduser())
        case SecretSource.CREDENTIAL:
            value = _read(Path(ref.target))
        case SecretSource.EXEC:
            value = _from_command((ref.target, *ref.arguments), env)
    value = value.rstrip("\r\n")
    if not value.strip():
        raise SecretUnavailable(f"{ref} is empty")
    if "\n" in value:
        raise SecretUnavailable(f"{ref} holds more than one line: a LINE FEED (U+000A)")
    if wrong := flaw(value, form):
        raise SecretUnavailable(f"{ref} {wrong}")
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


def _from_command(command: tuple[str, ...], env: Mapping[str, str]) -> str:
    name = command[0]
    try:
        done = subprocess.run(  # noqa: S603 (the operator's own command, no shell)
            command,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=COMMAND_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SecretUnavailable(f"{name} gave no answer within {COMMAND_SECONDS:.0f} s") from None
    except (OSError, ValueError) as broken:
        raise SecretUnavailable(f"{name} can't be run: {_reason(broken)}") from None
    if done.returncode != 0:
        raise SecretUnavailable(f"{name} ended with exit code {done.returncode}")
    try:
        return done.stdout.decode()
    except UnicodeDecodeError:
        raise SecretUnavailable(f"{name} printed something that is not text") from None
