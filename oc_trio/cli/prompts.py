"""Questions to whoever types a command: at a terminal, or with the answers in a pipe, or not at all."""

import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from oc_trio.classes import frozen
from oc_trio.cli.edge import harmless
from oc_trio.cli.exits import EX_FAILED, EX_INTERRUPTED


class SetupFailed(Exception):
    """The command can't go on; `exit_code` is what it ends with."""

    def __init__(self, problem: str, exit_code: int = EX_FAILED) -> None:
        super().__init__(problem)
        self.exit_code = exit_code


@frozen
class Prompts:
    """`is_asking`: there is somebody to answer; else `yes` answers what would be asked for consent.

    With `to_stderr` everything goes there, as standard output has JSON.
    """

    is_asking: bool
    yes: bool
    to_stderr: bool

    def say(self, text: str = "") -> None:
        click.echo(harmless(text), err=self.to_stderr)

    def ask(self, label: str, default: str | None = None) -> str:
        """An answer, the default for an empty one."""
        answer: str = click.prompt(label, default=default, show_default=bool(default), err=self.to_stderr)
        return answer.strip()

    def ask_secret(self, label: str) -> str:
        """An answer that is not shown while it is typed."""
        # From a pipe it is read as it comes: without a terminal nothing is shown, and nobody could be asked there.
        answer: str = click.prompt(label, hide_input=sys.stdin.isatty(), err=self.to_stderr)
        return answer.strip()

    def choose(self, label: str, options: Sequence[str], default: int = 0) -> int:
        """The index of an option, chosen by its number."""
        for number, option in enumerate(options, 1):
            self.say(f"  {number}  {option}")
        numbers = click.IntRange(1, len(options))
        answer: int = click.prompt(label, type=numbers, default=default + 1, err=self.to_stderr)
        return answer - 1

    def agree(self, question: str, *, default: bool, refusal: str) -> None:
        """Go on if the answer is yes. Raises SetupFailed with `refusal`; where nobody is asked, --yes is the answer."""
        if self.is_asking:
            if not click.confirm(harmless(question), default=default, err=self.to_stderr):
                raise SetupFailed(refusal)
        elif not self.yes:
            raise SetupFailed(refusal)


def end_unanswered(abort: click.Abort, wanted: str) -> NoReturn:
    """End the command after a Ctrl-C, or where the answers ended before the questions. Raises UsageError for that."""
    if isinstance(abort.__context__, EOFError):
        raise click.UsageError(f"Standard input ended before every question had its answer. {wanted}") from None
    click.echo("\noc-trio: interrupted; nothing was written", err=True)
    sys.exit(EX_INTERRUPTED)
