"""Runs one look-up of a command that asks questions in between."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import click
import trio

T = TypeVar("T")


def in_trio(function: Callable[..., Awaitable[T]], *arguments: Any) -> T:
    """Run `function` in an event loop of its own. Raises what it raises, Abort for a Ctrl-C."""
    result: list[T] = []
    interrupted = False
    try:
        result.append(trio.run(function, *arguments))
    except* KeyboardInterrupt:
        interrupted = True
    # After the block: an exception raised within except* comes out in a group with Python 3.11.2.
    if interrupted:
        raise click.Abort
    return result[0]
