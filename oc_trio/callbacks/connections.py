"""The open connections of the callback port: how many there may be, and which one goes for a new one.

A connection without a whole request costs its caller nothing, and each takes a file descriptor of the process, which
the journal and the chat server's connections need too. How long one may take for its headers is the server's rule; how
many requests are answered at a time is the turnstile's.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import trio
from attrs import define, field

from oc_trio.telemetry.log import get_logger

log = get_logger(part="callbacks")

_LOG_EVERY = 60.0  # seconds


@define(eq=False)
class HttpConnection:
    """`is_waiting` for a whole request, the first or a further one. Ends when `scope` is cancelled."""

    source: str
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    is_waiting: bool = True


@define(eq=False)
class ConnectionLimiter:
    """At most `most`. The chat server sends its headers at once: who is let go waits longest at who waits most."""

    most: int
    _open: dict[HttpConnection, None] = field(init=False, factory=dict)  # in the order in which they began to wait
    _quiet_until: float = field(init=False, default=0.0)

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def opened(self, source: str) -> Iterator[HttpConnection]:
        """A place for a connection of `source`; the block is cancelled when another one gets it."""
        connection = HttpConnection(source)
        if len(self._open) >= self.most:
            self._let_go()
        if len(self._open) >= self.most:  # all of them are being answered
            connection.scope.cancel()
        else:
            self._open[connection] = None
        try:
            with connection.scope:
                yield connection
        finally:
            self._open.pop(connection, None)

    def waits(self, connection: HttpConnection, *, is_waiting: bool) -> None:
        """Its request has come in whole, or has been answered."""
        connection.is_waiting = is_waiting
        if is_waiting and connection in self._open:
            self._open[connection] = self._open.pop(connection)

    def _let_go(self) -> None:
        waiting = Counter(each.source for each in self._open if each.is_waiting)
        if not waiting:
            return
        source, count = waiting.most_common(1)[0]
        oldest = next(each for each in self._open if each.is_waiting and each.source == source)
        del self._open[oldest]
        oldest.scope.cancel()
        now = trio.current_time()
        if now >= self._quiet_until:
            self._quiet_until = now + _LOG_EVERY
            what = "too many connections: those without a request are closed"
            log.warning(what, most=self.most, source=source, of_source=count)
