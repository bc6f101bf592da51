"""The websocket endpoint over any Trio stream, so that a client can connect in memory, without a socket."""

import trio
from trio_websocket import ConnectionClosed, HandshakeError, WebSocketConnection, WebSocketRequest, wrap_server_stream

from oc_trio.sandbox.protocol import PeerGone, is_foreign_origin, read_opening, serve_connection
from oc_trio.sandbox.settings import MAX_FRAME, PING_SECONDS, PONG_SECONDS, UPGRADE_SECONDS
from oc_trio.sandbox.world import World

PATH = "/api/v4/websocket"
QUEUE = 256  # unread messages; with more, pongs would have to wait


class _StreamPeer:
    def __init__(self, socket: WebSocketConnection, stream: trio.abc.Stream) -> None:
        self._socket = socket
        self._stream = stream

    async def receive(self) -> str | bytes:
        try:
            frame: str | bytes = await self._socket.get_message()
        except ConnectionClosed:
            raise PeerGone from None
        return frame

    async def send(self, frame: str) -> None:
        try:
            await self._socket.send_message(frame)
        except (ConnectionClosed, trio.BrokenResourceError, trio.ClosedResourceError):
            raise PeerGone from None

    async def abort(self) -> None:
        await trio.aclose_forcefully(self._stream)


async def serve_websocket_stream(world: World, stream: trio.abc.Stream) -> None:
    """Serves one connection from its upgrade request to its end; closes the stream."""
    async with trio.open_nursery() as nursery:
        try:
            request: WebSocketRequest | None = None
            # trio-websocket does not notice a client that goes away before its upgrade request.
            with trio.move_on_after(UPGRADE_SECONDS):
                request = await wrap_server_stream(
                    nursery,
                    stream,
                    message_queue_size=QUEUE,
                    max_message_size=MAX_FRAME,
                    # No size for the buffer: a memory stream hands out whatever is there.
                    receive_buffer_size=None,
                )
            if request is not None:
                await _serve(world, stream, request, nursery)
        except (HandshakeError, ConnectionClosed):
            pass  # the client went away before the upgrade was complete
        await trio.aclose_forcefully(stream)
        nursery.cancel_scope.cancel()


async def _serve(world: World, stream: trio.abc.Stream, request: WebSocketRequest, nursery: trio.Nursery) -> None:
    headers = {key.decode().lower(): value.decode() for key, value in request.headers}
    path, _, query = request.path.partition("?")
    if path != PATH:
        await request.reject(404)
    elif is_foreign_origin(headers.get("origin", ""), headers.get("host", "")):
        await request.reject(403)
    else:
        socket = await request.accept()
        nursery.start_soon(_keep_alive, socket, stream)
        opening = read_opening(query, headers.get("authorization", ""))
        await serve_connection(world, _StreamPeer(socket, stream), opening)


async def _keep_alive(socket: WebSocketConnection, stream: trio.abc.Stream) -> None:
    """Pings as the real server does, and drops a peer that does not answer."""
    while True:
        await trio.sleep(PING_SECONDS)
        with trio.move_on_after(PONG_SECONDS) as waiting:
            try:
                await socket.ping()
            except ConnectionClosed:
                return
        if waiting.cancelled_caught:
            await trio.aclose_forcefully(stream)
            return
