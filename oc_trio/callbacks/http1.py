"""Serves one connection of the callback port with HTTP/1.1 only.

Hypercorn switches to HTTP/2 for any client that sends its preface or asks for an upgrade, and has no setting against
it. An HTTP/2 connection carries a hundred concurrent requests, which defeats limits per connection and per source, and
its streams outlive clients that disconnect. Mattermost and programs that call hooks don't need it.
"""

from collections.abc import Callable
from typing import Any

from hypercorn.config import Config
from hypercorn.events import Closed, Event, Updated
from hypercorn.protocol import ProtocolWrapper
from hypercorn.protocol.h11 import H2CProtocolRequiredError, H2ProtocolAssumedError
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper


class _Http1:
    """The protocol of one connection; replaces Hypercorn's wrapper, which would switch to HTTP/2."""

    def __init__(self, wrapper: ProtocolWrapper) -> None:
        self._protocol, self._send = wrapper.protocol, wrapper.send

    async def initiate(self) -> None:
        await self._protocol.initiate()

    async def handle(self, event: Event) -> None:
        try:
            await self._protocol.handle(event)
        except (H2ProtocolAssumedError, H2CProtocolRequiredError):
            await self._send(Closed())


class Http1Server(TCPServer):
    """Hypercorn's server of one connection, which is closed where a client begins HTTP/2.

    `set_waiting` is called with False when the headers of a request are there, and with True when it has been answered
    and the next one is waited for.
    """

    def __init__(
        self, app: AppWrapper, config: Config, context: WorkerContext, stream: Any, set_waiting: Callable[[bool], None]
    ) -> None:
        super().__init__(app, config, context, {}, stream)
        self._set_waiting = set_waiting

    async def protocol_send(self, event: Event) -> None:
        if isinstance(event, Updated):
            self._set_waiting(event.idle)
        await super().protocol_send(event)

    @property
    def protocol(self) -> Any:
        return self._protocol

    @protocol.setter
    def protocol(self, wrapper: ProtocolWrapper) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        self._protocol = _Http1(wrapper)
