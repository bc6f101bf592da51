"""A TCP proxy on loopback that can be cut, and that can lose answers to requests which were carried out."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio
from attrs import define, field

CHUNK = 65536


@define(eq=False)
class Proxy:
    """Forwards to `target`. `loses` is asked about the first bytes of each request of an HTTP connection."""

    target: tuple[str, int]
    loses: Callable[[bytes], bool] = lambda _head: False
    is_down: bool = False
    lost: int = 0
    _open: set[trio.CancelScope] = field(factory=set)

    def cut(self) -> None:
        """Drop every connection, and every new one, until `mend`."""
        self.is_down = True
        for scope in self._open:
            scope.cancel()

    def mend(self) -> None:
        self.is_down = False

    async def serve(self, client: trio.SocketStream) -> None:
        await trio.lowlevel.checkpoint()
        if self.is_down:
            return
        with trio.CancelScope() as scope:
            await trio.lowlevel.checkpoint()
            self._open.add(scope)
            try:
                server = await trio.open_tcp_stream(*self.target)
                async with server, trio.open_nursery() as nursery:
                    doomed = [False]
                    nursery.start_soon(self._requests, client, server, doomed, scope)
                    nursery.start_soon(self._answers, server, client, doomed, scope)
            except* (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
                pass  # either side may go at any time; the other one is closed then
            finally:
                self._open.discard(scope)

    async def _requests(
        self, client: trio.SocketStream, server: trio.SocketStream, doomed: list[bool], scope: trio.CancelScope
    ) -> None:
        async for chunk in client:
            if chunk.startswith((b"GET ", b"POST ", b"PUT ", b"DELETE ")):
                doomed[0] = self.loses(bytes(chunk))
            await server.send_all(chunk)
        scope.cancel()

    async def _answers(
        self, server: trio.SocketStream, client: trio.SocketStream, doomed: list[bool], scope: trio.CancelScope
    ) -> None:
        async for chunk in server:
            if doomed[0]:  # it was carried out, as there is an answer; nobody will read that
                self.lost += 1
                break
            await client.send_all(chunk)
        scope.cancel()


@asynccontextmanager
async def open_proxy(
    url: str, *, loses: Callable[[bytes], bool] = lambda _head: False
) -> AsyncIterator[tuple[Proxy, str]]:
    """The proxy and its URL, in front of the server at `url`."""
    host, _, port = url.removeprefix("http://").partition(":")
    proxy = Proxy((host, int(port)), loses)
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, proxy.serve, [listener])
        yield proxy, f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()
