"""How `oc-trio run` ends after an uncaught exception: one sentence for people, the traceback in the log.

Installed as `sys.excepthook`, so that no code has to catch every exception.
"""

import os
import sys
from types import TracebackType

import click

from oc_trio.cli.exits import EX_INTERRUPTED, EX_SOFTWARE


def install() -> None:
    """Have an uncaught exception end the process with one sentence and exit code 70."""
    from oc_trio.telemetry.log import configure

    configure()  # logging is configured again from the file; this is for errors before that
    sys.excepthook = _end


def _end(_kind: type[BaseException], problem: BaseException, _traceback: TracebackType | None) -> None:
    from oc_trio.telemetry.log import get_logger

    if _is_interrupt(problem):
        sys.exit(EX_INTERRUPTED)
    # Joins what people report to what the log has.
    crash = os.urandom(4).hex()
    get_logger(part="crash").critical("the gateway crashed; please report it", crash=crash, exc_info=problem)
    click.echo(
        f"oc-trio: a defect ended the gateway. Its log has the traceback, as crash {crash}; please report it. What is"
        " unfinished is taken up at the next start.",
        err=True,
    )
    sys.exit(EX_SOFTWARE)


def _is_interrupt(problem: BaseException) -> bool:
    if isinstance(problem, BaseExceptionGroup):
        return all(map(_is_interrupt, problem.exceptions))
    return isinstance(problem, KeyboardInterrupt)
