"""The newest lines of the log, kept in memory for `oc-trio logs`; older ones are with whoever reads standard error."""

import itertools
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import field
from structlog.typing import EventDict

from oc_trio.classes import define, frozen

# About half a MiB.
MAX_LINES = 1000


@frozen
class LogLine:
    """`number` counts the process's lines from 1; `event` has no secrets, and `timestamp` in ISO 8601, UTC."""

    number: int
    event: Mapping[str, Any] = field(hash=False)


@define(eq=False)
class LogTail:
    """A structlog processor that keeps what passes through it. It belongs behind what cuts secrets out."""

    _lines: deque[LogLine] = field(init=False, factory=lambda: deque(maxlen=MAX_LINES))
    _numbers: Iterator[int] = field(init=False, factory=lambda: itertools.count(1))

    def __call__(self, _logger: Any, _method: str, event: EventDict) -> EventDict:
        self._lines.append(LogLine(next(self._numbers), dict(event)))
        return event

    def after(self, number: int, most: int) -> tuple[LogLine, ...]:
        """The newest `most` lines of those that came after line `number`, oldest first."""
        lines = [line for line in tuple(self._lines) if line.number > number]
        return tuple(lines[-most:]) if most > 0 else ()
