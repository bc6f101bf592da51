"""Asking the running gateway over its admin socket: where that is, and what it means that nobody answers."""

import json
import os
import socket
import sys
from collections.abc import Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import click

from oc_trio.cli.exits import EX_CONFIG, EX_FAILED, EX_NOPERM, EX_UNAVAILABLE

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from oc_trio.config.load import Loaded

# A gateway answers in milliseconds, or it hangs.
_SECONDS = 5.0
_NONE_RUNNING = "no gateway is running"


class NoAnswerError(Exception):
    """The gateway could not be asked; `exit_code` is what a command ends with."""

    def __init__(self, problem: str, exit_code: int) -> None:
        super().__init__(problem)
        self.exit_code = exit_code


def load_unconnected(config_path: str | None) -> "Loaded":
    """The configuration, without asking for tokens and servers; what is wrong with it ends the command with 78."""
    from oc_trio.config.load import load
    from oc_trio.errors import ConfigError

    try:
        return load(config_path, os.environ, isolate=True, connect=False)
    except ConfigError as error:
        click.echo(f"oc-trio: {error}", err=True)
        sys.exit(EX_CONFIG)


def find_socket(config_path: str | None) -> "tuple[Path, tuple[str, ...]]":
    """Where the gateway listens for commands of this machine, and what is wrong with the configuration.

    Of one that can't be used its `gateway.admin.socket` counts, where that can be read; else the state directory.
    """
    from oc_trio.config.load import load
    from oc_trio.config.paths import state_dir
    from oc_trio.errors import ConfigError
    from oc_trio.runtime.process.locations import SOCKET, admin_socket

    try:
        return admin_socket(load(config_path, os.environ, isolate=True, connect=False)), ()
    except ConfigError as wrong:
        problems = tuple(map(str, wrong.problems))
    return _named_socket(config_path) or state_dir(os.environ) / SOCKET, problems


def _named_socket(config_path: str | None) -> "Path | None":
    """`gateway.admin.socket` of a configuration, whatever else is wrong with it."""

    from oc_trio.config.document import read_document
    from oc_trio.config.paths import current_folder, expanded, find_config
    from oc_trio.errors import ConfigError

    try:
        found = find_config(config_path, os.environ, current_folder())
        value: Any = read_document(found, os.environ).values if found else {}
    except ConfigError:
        return None
    for key in ("gateway", "admin", "socket"):
        value = value.get(key) if isinstance(value, Mapping) else None
    return expanded(value) if isinstance(value, str) and value else None


def ask(path: "Path", what: str = "/status.json", method: str = "GET") -> dict[str, Any]:
    """The JSON object at `what` of the admin API behind the socket at `path`. Raises NoAnswerError."""
    return _exchange(path, method, what, (HTTPStatus.OK,))


def act(path: "Path", action: str, fields: "Mapping[str, str]") -> tuple[bool, str]:
    """Carry out an action of the status page, as its token allows: whether it was done, and a sentence about it.

    Raises NoAnswerError.
    """
    # An action needs the token of the status page, on the socket as well.
    token = ask(path, "/page.json")["token"]
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-www-form-urlencoded"}
    # A conflict is an answer too: what was to be acted on is not there any more, and the text says so.
    expected = (HTTPStatus.OK, HTTPStatus.CONFLICT)
    answer = _exchange(path, "POST", f"/actions/{action}", expected, urlencode(fields), headers)
    return bool(answer["ok"]), str(answer["text"])


def _exchange(
    path: "Path",
    method: str,
    what: str,
    expected: "Sequence[HTTPStatus]",
    body: str | None = None,
    headers: "Mapping[str, str] | None" = None,
) -> dict[str, Any]:
    connection = HTTPConnection("localhost", timeout=_SECONDS)
    # `http.client` knows no Unix sockets: with a socket already set it does not connect by itself.
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.sock.settimeout(_SECONDS)
        connection.sock.connect(str(path))
        connection.request(method, what, body, dict(headers or {}))
        response = connection.getresponse()
        if response.status not in expected:
            raise ValueError(f"HTTP {response.status}")
        answer: dict[str, Any] = json.loads(response.read())
        return answer
    except (OSError, HTTPException, ValueError) as problem:
        from oc_trio.config.paths import service_state_hint

        text, code = reason(problem)
        hint = service_state_hint(os.environ) if text == _NONE_RUNNING else ""
        raise NoAnswerError(f"{text} (asked at {path}){hint}", code) from None
    finally:
        connection.close()


def ask_or_exit(path: "Path", what: str = "/status.json") -> dict[str, Any]:
    """As `ask`; where nobody answers, the command ends with one line and its exit code."""
    with _exit_without_answer():
        return ask(path, what)


def act_or_exit(path: "Path", action: str, fields: "Mapping[str, str]") -> tuple[bool, str]:
    """As `act`; where nobody answers, the command ends with one line and its exit code."""
    with _exit_without_answer():
        return act(path, action, fields)


def send_signal_or_exit(pid: int, number: int, what: str) -> None:
    """Send the gateway's process a signal, which means `what`; where it takes none, the command ends with one line."""
    try:
        os.kill(pid, number)
    except OSError as problem:
        click.echo(f"oc-trio: process {pid} can't be told to {what}: {problem.strerror}", err=True)
        sys.exit(EX_NOPERM if isinstance(problem, PermissionError) else EX_FAILED)


@contextmanager
def _exit_without_answer() -> "Generator[None]":
    try:
        yield
    except NoAnswerError as refusal:
        click.echo(f"oc-trio: {refusal}", err=True)
        sys.exit(refusal.exit_code)


def reason(problem: Exception) -> tuple[str, int]:
    """What it means that the socket gave no status, and the exit code."""
    match problem:
        case PermissionError():
            return "you may not ask the gateway: run this as its user, or as root", EX_NOPERM
        # A socket file that nobody listens on is what a killed gateway leaves behind.
        case FileNotFoundError() | ConnectionRefusedError():
            return _NONE_RUNNING, EX_UNAVAILABLE
        case _:
            return f"the gateway does not answer ({type(problem).__name__})", EX_UNAVAILABLE
