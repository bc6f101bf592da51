"""Sends a page view to those who watch it, as server-sent events; while nobody watches, nothing is computed.

One task computes the view twice a second and offers the differences to every client. A client's queue is bounded: one
that reads too slowly overflows, loses what is queued, and gets a fresh snapshot when it reads again.
"""

import json
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

import trio
from attrs import field

from oc_trio.admin.tables import PageView, changes
from oc_trio.classes import define
from oc_trio.telemetry.log import get_logger
from oc_trio.wakeup import Wakeup

# Of one audience, operators or everybody: more readers of a status page than that are a mistake.
MAX_CLIENTS = 8
# More events than that are longer to read than a fresh snapshot.
CLIENT_EVENTS = 16
# Between two looks while somebody watches: quick enough for a turn's progress, and little work.
TICK_SECONDS = 0.5
# Proxies end a stream that is silent for a minute, as a rule.
HEARTBEAT_SECONDS = 15.0
# Browsers connect again by themselves after so many milliseconds.
RETRY_MS = 2000
# A comment, which browsers ignore and proxies count as traffic.
HEARTBEAT = b": still here\n\n"

log = get_logger(part="feed")


class TooManyClients(Exception):
    """As many watch already as may."""


@define(eq=False)
class FeedClient:
    """One open stream. Begins behind: the first thing that it gets is a snapshot."""

    scope: trio.CancelScope = field(factory=trio.CancelScope)
    is_behind: bool = True
    overflows: int = 0
    events: deque[bytes] = field(factory=deque)
    wakeup: Wakeup = field(factory=Wakeup)

    def offer(self, event: bytes) -> None:
        """Queue an event; where the queue is full, drop it all: the client is behind then. Never waits."""
        if self.is_behind:
            return
        if len(self.events) >= CLIENT_EVENTS:
            self.events.clear()
            self.is_behind = True
            self.overflows += 1
            log.info("status page overflow: a slow reader gets a fresh snapshot", overflows=self.overflows)
            return
        self.events.append(event)


@define(eq=False)
class Feed:
    """The view for one audience, and who watches it. `run` has to run for events to come."""

    compute: Callable[[], Awaitable[PageView]]
    now_ms: Callable[[], int]
    # At most `MAX_CLIENTS`, in the order of their coming.
    _clients: dict[FeedClient, None] = field(init=False, factory=dict)
    _parts: Mapping[str, Any] = field(init=False, factory=dict)
    _texts: Mapping[str, str] = field(init=False, factory=dict)
    _wakeup: Wakeup = field(init=False, factory=Wakeup)
    _serial: int = field(init=False, default=0)

    def __len__(self) -> int:
        return len(self._clients)

    def refresh(self) -> None:
        """Compute the view now, and not only at the next tick."""
        self._wakeup.set()

    async def run(self) -> NoReturn:
        """Compute and offer for as long as anybody watches. Ends by what `compute` raises, or by cancellation."""
        while True:
            # Who watches next must not be shown what was true when the last one left.
            if not self._clients:
                self._parts, self._texts = {}, {}
                await self._wakeup.wait_next()
                continue
            view = await self.compute()
            # After the first look there is nothing to compare with: whoever waits gets a snapshot.
            events = changes(self._parts, self._texts, view) if self._parts else ()
            self._parts, self._texts = view.parts(), view.texts()
            for name, data in events:
                encoded = self._event(name, data)
                for client in self._clients:
                    client.offer(encoded)
            for client in self._clients:
                client.wakeup.set()
            with trio.move_on_after(TICK_SECONDS):
                await self._wakeup.wait_next()

    @contextmanager
    def open(self) -> Iterator[FeedClient]:
        """Watch for as long as the block runs, which `close_all` cancels. Raises TooManyClients."""
        if len(self._clients) >= MAX_CLIENTS:
            raise TooManyClients
        client = FeedClient()
        self._clients[client] = None
        self.refresh()
        try:
            with client.scope:
                yield client
        finally:
            del self._clients[client]

    def close_all(self) -> None:
        """End all streams, after `run` has failed: browsers connect again."""
        self._parts, self._texts = {}, {}
        for client in self._clients:
            client.scope.cancel()

    async def next(self, client: FeedClient) -> bytes:
        """What `client` gets next: a snapshot, an event, or after a while of silence a heartbeat."""
        with trio.move_on_after(HEARTBEAT_SECONDS):
            while not client.events and not (client.is_behind and self._parts):
                await client.wakeup.wait()
        if client.is_behind and self._parts:
            client.is_behind = False
            client.events.clear()
            reason = "overflow" if client.overflows else "start"
            data = {"reason": reason, "now": self.now_ms(), "parts": [*self._parts.values()], "texts": self._texts}
            return self._event("snapshot", data)
        return client.events.popleft() if client.events else HEARTBEAT

    def _event(self, name: str, data: Mapping[str, Any]) -> bytes:
        self._serial += 1
        # What is no UTF-8 becomes an escape of JSON's.
        text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
        return f"id: {self._serial}\nevent: {name}\ndata: {text}\n\n".encode("utf-8", "backslashreplace")
