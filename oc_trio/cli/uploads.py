"""Progress bars for uploads on a terminal; nothing elsewhere."""

import sys
from typing import Any

import click


class UploadBars:
    """Called with the name, the bytes sent so far and the size; a count that goes back is a retry."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._name = ""
        self._sent = 0

    def __call__(self, name: str, sent: int, size: int) -> None:
        if self._bar is None or name != self._name or sent < self._sent:
            self._name, self._sent = name, 0
            self._bar = click.progressbar(length=size, label=name, file=sys.stderr, show_pos=True)
        self._bar.update(sent - self._sent)
        self._sent = sent
        if sent >= size:
            self._bar.render_finish()
            self._bar = None


def bars_for_terminal() -> UploadBars | None:
    """Progress bars if stderr is a terminal, else None."""
    return UploadBars() if sys.stderr.isatty() else None
