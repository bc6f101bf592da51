"""Reads secrets, and wraps them in a value that can't be printed by accident.

They are read by `load`, and again when the server refuses a token. This module never logs or quotes a value.
"""

import hashlib
import json
import os
import re
import selectors
import stat
import subprocess
import time
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Any

from attrs import field

from oc_trio.classes import frozen
from oc_trio.config.paths import expanded, is_file

MAX_OUTPUT = 1_048_576  # bytes of a command's answer, which may hold many secrets
COMMAND_SECONDS = 15.0  # a password manager that asks its server takes a few; longer is a prompt nobody will answer


_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")


class SecretSource(Enum):
    """Where a secret is kept."""

    ENV = "env"
    FILE = "file"
    EXEC = "exec"
    CREDENTIAL = "credential"


@frozen
class SecretRef:
    """A reference to a secret: variable name, path, command line, or systemd credential.

    `pointer` selects a value of a JSON file (RFC 6901). A command with an `id` gets OpenClaw's request as JSON on
    standard input and answers in JSON; with `plain` it may print the bare value instead. `env` is added to its
    variables; `seconds` limits its run.
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
    """A value that only `reveal()` returns; `ref` says where it can be read again, None if inline."""

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
    """The characters that a secret may have: `TOKEN` printable ASCII without blanks, `HEADER` also blanks inside,
    `TEXT` (for the environment of a program) any text of one line.
    """

    TOKEN = "token"  # noqa: S105 (a form, not a value)
    HEADER = "header"
    TEXT = "text"


_CONTROLS = {0: "NULL", 9: "CHARACTER TABULATION", 10: "LINE FEED", 13: "CARRIAGE RETURN", 27: "ESCAPE", 127: "DELETE"}


def character_error(value: str, form: SecretForm = SecretForm.TOKEN) -> str:
    """What is wrong with the characters of a secret; "" if nothing is. Names the wrong character, quotes no other."""
    last = len(value) - 1
    for index, character in enumerate(value):
        code = ord(character)
        is_blank = character == " " and (form is SecretForm.TOKEN or (form is SecretForm.HEADER and index in (0, last)))
        is_foreign = not character.isascii() and (form is not SecretForm.TEXT or 0xD800 <= code <= 0xDFFF)
        if is_blank or is_foreign or code < 32 or code == 127:
            where = "begins with" if index == 0 else "ends with" if index == last else "holds"
            return f"{where} {_name(character)} (U+{code:04X}), which is no part of a secret"
    return ""


def _name(character: str) -> str:
    if character == "\ufeff":
        return "a byte order mark, ZERO WIDTH NO-BREAK SPACE"
    if character == "\ufffd" or 0xD800 <= ord(character) <= 0xDFFF:  # the environment is cleaned before
        return "REPLACEMENT CHARACTER, for a byte that is not UTF-8"
    return unicodedata.name(character, "") or _CONTROLS.get(ord(character), "a character without a name")


class SecretUnavailable(Exception):
    """A secret is not available; str() says why and what to do, never the value."""


class SecretMalformed(SecretUnavailable):
    """A secret was read, but its characters can't be right."""


def read_secret(ref: SecretRef, env: Mapping[str, str], form: SecretForm = SecretForm.TOKEN) -> Secret:
    """The secret that `ref` refers to, without line breaks at its end. Raises SecretUnavailable."""
    match ref.source:
        case SecretSource.ENV:
            value = _from_env(ref.target, env)
        case SecretSource.FILE:
            copy = find_credential(credential_name(ref.target), env)
            value = _read(Path(copy.target)) if copy else _from_file(expanded(ref.target))
            if ref.pointer:
                value = _at_pointer(value, ref)
        case SecretSource.CREDENTIAL:
            # Without a check of its mode: systemd makes the file, and it is readable for the service alone.
            value = _read(Path(ref.target))
        case SecretSource.EXEC:
            value = _from_command(ref, env)
            if ref.id:
                value = _exec_value(value, ref)
    # Every editor, and most programs, end a file or their output with one.
    value = value.rstrip("\r\n")
    if not value.strip():
        raise SecretUnavailable(f"{ref} is empty")
    if "\n" in value:
        raise SecretMalformed(f"{ref} holds more than one line: a LINE FEED (U+000A)")
    if error := character_error(value, form):
        raise SecretMalformed(f"{ref} {error}")
    return Secret(value, ref)


def credential_name(path: str) -> str:
    """The name under which systemd passes a copy of the file at `path` to the service: its own and a digest."""
    file = expanded(path)
    digest = hashlib.sha256(str(file).encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{re.sub(r'[^A-Za-z0-9._-]', '_', file.name)[:100]}.{digest}"


def with_credentials(env: Mapping[str, str]) -> Mapping[str, str]:
    """The variables, and those that the service was given as a credential of that name instead (`OPENAI_API_KEY`).

    Like a secret's file it may end in line breaks. One that can't be read, or is no text, is as if it were not there.
    """
    folder = env.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return env
    try:
        names = [file.name for file in Path(folder).iterdir() if _VARIABLE.fullmatch(file.name) and file.is_file()]
    except OSError:
        return env
    given: dict[str, str] = {}
    for name in names:
        if not env.get(name, "").strip():
            with suppress(SecretUnavailable):
                given[name] = _read(Path(folder) / name).rstrip("\r\n")
    return {**env, **given}


def find_credential(name: str, env: Mapping[str, str]) -> SecretRef | None:
    """The systemd credential of that name, if the service was given one (`LoadCredential=`)."""
    folder = env.get("CREDENTIALS_DIRECTORY")
    if not folder or not is_file(Path(folder) / name):
        return None
    return SecretRef(SecretSource.CREDENTIAL, str(Path(folder) / name))


def _from_env(name: str, env: Mapping[str, str]) -> str:
    if name not in env:
        raise SecretUnavailable(f"the environment variable {name} is not set")
    return env[name]


def _from_file(path: Path) -> str:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except (OSError, ValueError) as error:
        raise SecretUnavailable(f"{path} can't be read: {_reason(error)}") from None
    # An error and not a warning, unlike for the configuration itself: this file holds nothing but the secret.
    if mode & 0o077:
        raise SecretUnavailable(f"{path} can be read by others (mode {mode:04o}); run: chmod 600 {path}")
    return _read(path)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise SecretUnavailable(f"{path} can't be read: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "it is not a text file"


def _at_pointer(text: str, ref: SecretRef) -> str:
    """The value at the JSON pointer of `ref` in the text of its file."""
    try:
        value: Any = json.loads(text)
    except ValueError:
        raise SecretUnavailable(f"{ref.target} is not JSON, so {ref.pointer} finds nothing in it") from None
    for part in ref.pointer.removeprefix("/").split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        elif isinstance(value, dict) and name in value:
            value = value[name]
        else:
            raise SecretUnavailable(f"{ref.target} holds nothing at {ref.pointer}")
    if not isinstance(value, str):
        raise SecretUnavailable(f"{ref.target} holds no text at {ref.pointer}")
    return value


def _exec_value(text: str, ref: SecretRef) -> str:
    """The value that a command printed for the id that it was asked for."""
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
    # Only these two codes are known to be free of it: other codes, and all messages, may quote the secret.
    reason = f" ({code})" if code in ("NOT_FOUND", "AMBIGUOUS_DUPLICATE_KEY") else ""
    raise SecretUnavailable(f"{ref.target} gave no value for {ref.id}{reason}")


def _from_command(ref: SecretRef, env: Mapping[str, str]) -> str:
    name, request = ref.target, {"protocolVersion": 1, "provider": ref.provider, "ids": [ref.id]}
    try:
        process = subprocess.Popen(  # noqa: S603 (the operator's own command, no shell)
            (name, *ref.arguments),
            env={**env, **dict(ref.env)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # A password manager may print the secret there when it fails.
            stderr=subprocess.DEVNULL,
        )
    except (OSError, ValueError) as error:
        raise SecretUnavailable(f"{name} can't be run: {_reason(error)}") from None
    with process:
        try:
            output = _exchange(process, json.dumps(request).encode() if ref.id else b"", ref.seconds)
        except subprocess.TimeoutExpired:
            raise SecretUnavailable(f"{name} gave no answer within {ref.seconds:g} s") from None
        finally:
            # Does nothing where the answer is there: `_exchange` has waited for the process by then.
            process.kill()
    if output is None:
        raise SecretUnavailable(f"{name} printed more than {MAX_OUTPUT // 1024} KiB")
    if process.returncode != 0:
        raise SecretUnavailable(f"{name} ended with exit code {process.returncode}")
    try:
        return output.decode()
    except UnicodeDecodeError:
        raise SecretUnavailable(f"{name} printed something that is not text") from None


def _exchange(process: subprocess.Popen[bytes], request: bytes, seconds: float) -> bytes | None:
    """All that the process prints until it ends; None if that is more than a secret can be. Raises TimeoutExpired."""
    assert process.stdin is not None
    assert process.stdout is not None
    deadline = time.monotonic() + seconds
    # A command that reads nothing may have ended by now. The request is shorter than a pipe holds.
    with suppress(BrokenPipeError):
        process.stdin.write(request)
        process.stdin.flush()
    with suppress(BrokenPipeError):
        process.stdin.close()
    output = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(max(deadline - time.monotonic(), 0)):
                raise subprocess.TimeoutExpired(process.args, seconds)
            chunk = os.read(process.stdout.fileno(), 65_536)
            output += chunk
            if len(output) > MAX_OUTPUT:
                return None
            if not chunk:
                # It has closed its output; it may come right at the deadline, and still needs a moment to end.
                process.wait(max(deadline - time.monotonic(), 0.01))
                return output
