"""Shared by commands that talk to the chat server: options, the event loop, and exit codes for failures."""

import os
import re
import sys
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, TypeVar

import click

from oc_trio.cli.exits import EX_CONFIG, EX_FAILED, EX_INTERRUPTED, EX_NOPERM, EX_UNAVAILABLE, first
from oc_trio.cli.options import config_option
from oc_trio.config.load import Loaded
from oc_trio.core.text import clean

EXIT_CODES = (
    "Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 only a part was done, 69 the server can't be reached, "
    "77 the token is refused, 78 the configuration is wrong."
)

F = TypeVar("F", bound=Callable[..., Any])

# Control characters except line ends and tabs, and marks that change the direction of text.
_ACTS_ON_TERMINALS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def harmless(text: str) -> str:
    """Foreign text for a terminal: control characters (which set title, colours, cursor) are escaped."""
    return _ACTS_ON_TERMINALS.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def shared_options(function: F) -> F:
    """`--config`, `--account` and `--json`."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        click.option("--account", metavar="ID", help="The account that acts; the default account without this."),
        config_option,
    ):
        function = option(function)
    return function


def run(config_path: str | None, main: Callable[[Loaded], Awaitable[int]]) -> NoReturn:
    """Load the configuration, run `main` and exit with its code; a failure is one line on stderr."""
    import trio

    from oc_trio.config.load import load
    from oc_trio.errors import OcTrioError

    code = 0
    try:
        loaded = load(config_path, os.environ, isolate=True)
        code = trio.run(main, loaded)
    # Trio's nurseries raise groups; what comes alone is caught by except* as well.
    except* KeyboardInterrupt:
        code = EX_INTERRUPTED
    except* (OcTrioError, ValueError) as group:
        problem = first(group)
        # Refused input raises subclasses of ValueError; a plain ValueError is a defect.
        if not isinstance(problem, OcTrioError) and type(problem) is ValueError:
            raise
        click.echo(f"oc-trio: {problem}", err=True)
        code = exit_code(problem)
    sys.exit(code)


def exit_code(problem: BaseException) -> int:
    """The exit code for a failure."""
    from oc_trio.errors import ConfigError, MattermostRejected, MattermostUnavailable

    match problem:
        case ConfigError():
            return EX_CONFIG
        case MattermostUnavailable():
            return EX_UNAVAILABLE
        case MattermostRejected() if problem.is_auth:
            return EX_NOPERM
        case _:
            return EX_FAILED


def text_argument(value: str | None) -> str:
    """A text given on the command line; `-` is standard input."""
    return standard_input().removesuffix("\n") if value == "-" else value or ""


def standard_input() -> str:
    """All of standard input, clean, whatever encoding the terminal has. Raises UsageError where it is not UTF-8."""
    try:
        return clean(sys.stdin.buffer.read().decode("utf-8-sig").replace("\r\n", "\n"))
    except UnicodeDecodeError:
        raise click.UsageError("Standard input is not UTF-8 text.") from None
