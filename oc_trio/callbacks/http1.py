"""One connection of the callback port, in HTTP/1.1 and nothing else.

Hypercorn speaks HTTP/2 on any port to whoever begins with its preface or asks for an upgrade, and has no setting
against it. There one connection carries a hundred requests at a time, so that limits by connection and by source mean
little, and its streams outlive callers that go away. Mattermost and programs that call hooks do without.
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
    """The protocol of one connection; stands where Hypercorn keeps the one that changes over to HTTP/2."""

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
    """Hypercorn's server of one connection, which is closed where HTTP/2 begins. `waits` is told false when the headers
    of a request are there, and true when it has been answered and the next one is waited for.
    """

    def __init__(
        self, app: AppWrapper, config: Config, context: WorkerContext, stream: Any, waits: Callable[[bool], None]
    ) -> None:
        super().__init__(app, config, context, {}, stream)
        self._waits = waits

    async def protocol_send(self, event: Event) -> None:
        if isinstance(event, Updated):
            self._waits(event.idle)
        await super().protocol_send(event)

    @property
    def protocol(self) -> Any:
        return self._protocol

    @protocol.setter
    def protocol(self, wrapper: ProtocolWrapper) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        self._protocol = _Http1(wrapper)
