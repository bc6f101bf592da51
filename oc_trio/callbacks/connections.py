"""Limits the open connections of the callback port; beyond the limit a new one replaces one that waits for a request.

An idle connection costs its caller nothing, but each takes a file descriptor of the process, which the journal and the
connections to the chat server need too. The timeout for headers is in `server`; `request_limiter` limits requests.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import trio
from attrs import field

from oc_trio.classes import define
from oc_trio.telemetry.log import get_logger

log = get_logger(part="callbacks")

_LOG_EVERY = 60.0  # seconds


@define(eq=False)
class HttpConnection:
    """One client connection; `is_waiting` for a complete request. Ends when `scope` is cancelled."""

    source: str
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    is_waiting: bool = True


@define(eq=False)
class ConnectionLimiter:
    """At most `limit` connections, of all sources together.

    Mattermost sends its headers at once. So the connection that is closed for a new one is the one that has waited
    longest, of the source with the most waiting connections.
    """

    limit: int
    _open: dict[HttpConnection, None] = field(init=False, factory=dict)  # in the order in which they began to wait
    # The times here are of Trio's clock: a flood makes a line of the log a minute.
    _quiet_until: float = field(init=False, default=0.0)

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def opened(self, source: str) -> Iterator[HttpConnection]:
        """Register a connection of `source` for the block, which is cancelled when a new connection replaces it."""
        connection = HttpConnection(source)
        if len(self._open) >= self.limit:
            self._close_oldest_waiting()
        if len(self._open) >= self.limit:  # all of them are being answered
            # The new one goes: a request that is being answered is never cut off for it.
            connection.scope.cancel()
        else:
            self._open[connection] = None
        try:
            with connection.scope:
                yield connection
        finally:
            self._open.pop(connection, None)

    def set_waiting(self, connection: HttpConnection, *, is_waiting: bool) -> None:
        """Note that a complete request has arrived (`is_waiting` false), or that it has been answered (true)."""
        connection.is_waiting = is_waiting
        if is_waiting and connection in self._open:
            self._open[connection] = self._open.pop(connection)

    def _close_oldest_waiting(self) -> None:
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
            log.warning(what, most=self.limit, source=source, of_source=count)
