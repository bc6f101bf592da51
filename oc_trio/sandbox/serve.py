"""Serves a world on a TCP port with hypercorn.

Uses hypercorn's per-connection server instead of its `serve`, because a Mattermost server often drops a websocket
without a close frame (1006). ASGI has no way to do that; here the TCP stream is at hand.
"""

import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, NoReturn, cast

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext

from oc_trio.sandbox.app import ABORT, create_app
from oc_trio.sandbox.settings import MAX_FRAME, PING_SECONDS
from oc_trio.sandbox.world import World

# Bytes of a body that is held back for its head. A larger one may fill the socket's buffer with less than a packet of
# loopback (64 KiB), which the kernel then keeps for 200 ms.
LARGEST_CORKED = 8 * 1024
UNREAD_MS = 3000  # a client that stops reading is dropped after this, so that it cannot delay the shutdown


class _Abortable:
    """The app of one connection: lets its websockets drop the connection."""

    def __init__(self, app: ASGIWrapper, stream: trio.SocketStream) -> None:
        self._app = app
        self._stream = stream

    async def __call__(
        self, scope: Any, receive: Any, send: Any, sync_spawn: Callable[..., Any], call_soon: Any
    ) -> None:
        if scope["type"] == "websocket":
            scope["extensions"][ABORT] = partial(trio.aclose_forcefully, self._stream)
            await self._app(scope, receive, send, sync_spawn, call_soon)
            return
        # Send head and body of a response together, as the real server does; hypercorn writes them one by one.
        self._cork(1)

        async def send_part(message: Any) -> None:
            if len(message.get("body", b"")) > LARGEST_CORKED:
                self._cork(0)
            await send(message)

        try:
            await self._app(scope, receive, send_part, sync_spawn, call_soon)
        finally:
            self._cork(0)

    def _cork(self, on: int) -> None:
        if hasattr(socket, "TCP_CORK"):
            with suppress(OSError, trio.ClosedResourceError):  # the client may be gone
                self._stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, on)


def _config() -> Config:
    config = Config()
    config.websocket_max_message_size = MAX_FRAME
    config.websocket_ping_interval = PING_SECONDS
    config.accesslog = config.errorlog = None
    return config


async def serve(
    world: World,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> NoReturn:
    """Serves until cancelled; `started` gets the URL, which becomes the world's site URL. OSError if bind fails."""
    listeners = await trio.open_tcp_listeners(port, host=host)
    bound = listeners[0].socket.getsockname()
    address = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
    url = f"http://{address}:{bound[1]}"
    world.use_site_url(url)
    app = create_app(world)
    await app.startup()
    wrapped, config, context = ASGIWrapper(app), _config(), WorkerContext(None)

    async def connection(stream: trio.SocketStream) -> None:
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MS)
        await TCPServer(_Abortable(wrapped, stream), config, context, {}, cast("Any", stream))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, connection, listeners)
        task_status.started(url)
        await trio.sleep_forever()
    raise AssertionError("serving ends by cancellation only")
