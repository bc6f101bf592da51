"""An httpx transport with connections of our own, which take a fifth of the CPU of those that httpx brings.

httpx stays the interface. Each proxy that the environment names has a pool of its own.
"""

import base64
import math
import os
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from types import TracebackType
from typing import Self

import h11
import httpx
import trio
from attrs import field

from oc_trio.classes import define, frozen
from oc_trio.core.proxies import BadProxy, Proxy, proxy_for
from oc_trio.network.http1 import BROKEN, ClientConnection, reason
from oc_trio.network.read_pacer import ReadPacer
from oc_trio.network.stream import Dial, PacedStream, dial
from oc_trio.network.tls import start_tls
from oc_trio.network.tunnel import ProxyRefused, tunnel_over

# The extension of a request that is awaited right before each write of it; what it raises ends the request.
BEFORE_WRITE = "oc_trio.before_write"

# Scheme, host and port of an address.
_Origin = tuple[str, str, int]
_PORTS = {"http": 80, "https": 443}
# Origins whose proxy is remembered: files are fetched from any number of them.
_MOST_ORIGINS = 64


class PooledTransport(httpx.AsyncBaseTransport):
    """`dial` opens direct connections; a proxy is always reached by its name. `pacer` paces streams that ask for it.

    At most `max_connections` are in use per route, and `max_idle` wait for a next request, each for `idle_seconds`.
    """

    def __init__(
        self,
        ssl_context: ssl.SSLContext,
        *,
        dial: Dial = dial,
        environ: Mapping[str, str] | None = None,
        max_connections: int | None = 100,
        max_idle: int = 100,
        idle_seconds: float = 60.0,
        pacer: ReadPacer | None = None,
    ) -> None:
        self._ssl_context = ssl_context
        self._dial = dial
        self._environ = os.environ if environ is None else environ
        self._limits = (max_connections, max_idle, idle_seconds)
        self._pacer = pacer or ReadPacer()
        self._pools: dict[Proxy | None, _Pool] = {}
        self._pool_of: dict[_Origin, _Pool] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One request. Raises httpx.TransportError, and what `dial` raises."""
        url = request.url
        origin = (url.scheme, url.raw_host.decode("ascii"), url.port or _PORTS.get(url.scheme, 0))
        pool = self._pool_of.get(origin) or self._find_pool(url, origin)
        timeouts: Mapping[str, float | None] = request.extensions.get("timeout", {})
        connection = await pool.take(origin, timeouts)
        # By a flag, since a cancellation ends it as well: no other exchange can follow one that was broken off.
        is_answered = False
        try:
            connection.before_write = request.extensions.get(BEFORE_WRITE)
            await connection.send(pool.route.head(request, origin), _content(request), timeouts.get("write"))
            response = await connection.receive_head(timeouts.get("read"))
            is_answered = True
        finally:
            if not is_answered:
                pool.give_up(connection)
        return httpx.Response(
            response.status_code,
            headers=response.headers.raw_items(),
            stream=_Body(pool, origin, connection, timeouts.get("read")),
            extensions={
                "http_version": b"HTTP/" + response.http_version,
                "reason_phrase": response.reason,
                "network_stream": connection.network,
            },
        )

    async def aclose(self) -> None:
        for pool in self._pools.values():
            pool.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.aclose()

    def _find_pool(self, url: httpx.URL, origin: _Origin) -> "_Pool":
        if url.scheme not in _PORTS or not origin[1]:
            raise httpx.UnsupportedProtocol(f"{url.scheme or 'no scheme'}:// is no address of a web server")
        try:
            proxy = proxy_for(str(url), self._environ)
        except BadProxy as problem:
            raise httpx.UnsupportedProtocol(str(problem)) from problem
        if proxy not in self._pools:
            most, idle, seconds = self._limits
            # The guard of `dial` is for addresses that others name; a proxy is the operator's, and often private.
            route = _Route(self._ssl_context, self._dial if proxy is None else dial, self._pacer, proxy)
            slots = None if most is None else trio.Semaphore(most, max_value=most)
            self._pools[proxy] = _Pool(route, slots, idle, seconds)
        # The pools stay; only which of them an origin has is found again.
        if len(self._pool_of) >= _MOST_ORIGINS:
            self._pool_of.clear()
        self._pool_of[origin] = self._pools[proxy]
        return self._pools[proxy]


@frozen
class _Route:
    """How servers are reached: directly, or through a proxy."""

    ssl_context: ssl.SSLContext
    dial: Dial
    pacer: ReadPacer
    proxy: Proxy | None

    async def connect(self, origin: _Origin, seconds: float | None) -> ClientConnection:
        """A new connection; `seconds` are for all of it. Raises httpx.ConnectError, ConnectTimeout and ProxyError."""
        try:
            if seconds is None:
                return await self._connect(origin)
            with trio.fail_after(seconds):
                return await self._connect(origin)
        except ProxyRefused as exc:
            raise httpx.ProxyError(str(exc)) from exc
        except trio.TooSlowError as exc:
            raise httpx.ConnectTimeout(str(exc)) from exc
        except BROKEN as exc:
            raise httpx.ConnectError(reason(exc)) from exc

    def head(self, request: httpx.Request, origin: _Origin) -> h11.Request:
        """The head of a request. A proxy is told the whole address where it does not only pass bytes on."""
        headers, target = request.headers.raw, request.url.raw_path
        if self.proxy is not None and origin[0] == "http":
            target = b"http://" + request.url.netloc + target
            if self.proxy.user:
                credentials = base64.b64encode(f"{self.proxy.user}:{self.proxy.password}".encode())
                headers = [*headers, (b"Proxy-Authorization", b"Basic " + credentials)]
        try:
            return h11.Request(method=request.method, target=target, headers=headers)
        except h11.LocalProtocolError as exc:
            raise httpx.LocalProtocolError(str(exc)) from exc

    async def _connect(self, origin: _Origin) -> ClientConnection:
        scheme, host, port = origin
        proxy = self.proxy
        network = PacedStream(
            await (self.dial(host, port) if proxy is None else self.dial(proxy.host, proxy.port)), self.pacer
        )
        stream: trio.abc.Stream = network
        is_open = False
        try:
            if proxy is not None and scheme == "https":
                stream = await tunnel_over(stream, proxy, host, port, self.ssl_context)
            elif proxy is not None and proxy.is_tls:
                stream = await start_tls(stream, self.ssl_context, proxy.host)
            if scheme == "https":
                stream = await start_tls(stream, self.ssl_context, host)
            is_open = True
        finally:
            if not is_open:
                network.socket.close()
        return ClientConnection(stream, network)


@define(eq=False)
class _Pool:
    """The connections of one route. `slots` bounds those in use; who waits for one is served in order."""

    route: _Route
    slots: trio.Semaphore | None
    max_idle: int
    idle_seconds: float
    # In the order in which they became idle: the next request takes the last one of its origin.
    _idle: list[tuple[_Origin, ClientConnection]] = field(init=False, factory=list)
    _is_closed: bool = field(init=False, default=False)

    async def take(self, origin: _Origin, timeouts: Mapping[str, float | None]) -> ClientConnection:
        """A connection for one request, which `give_back` or `give_up` must get. Raises httpx.TransportError."""
        if self.slots is not None:
            await self._take_slot(self.slots, timeouts.get("pool"))
        is_taken = False
        try:
            connection = self._idle_one(origin) or await self.route.connect(origin, timeouts.get("connect"))
            is_taken = True
            return connection
        finally:
            if not is_taken:
                self._free_slot()

    def give_back(self, origin: _Origin, connection: ClientConnection) -> None:
        """Its exchange is over, or has been left half-way."""
        self._free_slot()
        if self._is_closed or not connection.can_be_reused():
            connection.close()
            return
        now = trio.current_time()
        connection.expires_at = now + self.idle_seconds
        self._idle.append((origin, connection))
        # The one just added has not expired, so there is always a first one.
        while len(self._idle) > self.max_idle or self._idle[0][1].expires_at <= now:
            self._idle.pop(0)[1].close()

    def give_up(self, connection: ClientConnection) -> None:
        """Its exchange has failed."""
        self._free_slot()
        connection.close()

    def close(self) -> None:
        """Those in use are closed when they come back."""
        self._is_closed = True
        for _origin, connection in self._idle:
            connection.close()
        self._idle.clear()

    def _idle_one(self, origin: _Origin) -> ClientConnection | None:
        now = trio.current_time()
        for at in range(len(self._idle) - 1, -1, -1):
            if self._idle[at][0] == origin:
                _origin, connection = self._idle.pop(at)
                if connection.is_usable(now):
                    return connection
                connection.close()
        return None

    async def _take_slot(self, slots: trio.Semaphore, seconds: float | None) -> None:
        try:
            slots.acquire_nowait()
            return
        except trio.WouldBlock:
            pass
        try:
            with trio.fail_after(math.inf if seconds is None else seconds):
                await slots.acquire()
        except trio.TooSlowError as exc:
            raise httpx.PoolTimeout(f"no connection was free for {seconds:g} s") from exc

    def _free_slot(self) -> None:
        if self.slots is not None:
            self.slots.release()


class _Body(httpx.AsyncByteStream):
    """The body of a response; its connection goes back to the pool when it is closed."""

    def __init__(self, pool: _Pool, origin: _Origin, connection: ClientConnection, seconds: float | None) -> None:
        self._pool = pool
        self._origin = origin
        self._connection = connection
        self._seconds = seconds
        self._is_closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while not self._is_closed and (piece := await self._connection.next_piece(self._seconds)) is not None:
            yield piece

    async def aclose(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._pool.give_back(self._origin, self._connection)


def _content(request: httpx.Request) -> bytes | AsyncGenerator[bytes]:
    """The body as bytes, where it is in memory anyway."""
    try:
        return request.content
    except httpx.RequestNotRead:
        assert isinstance(request.stream, httpx.AsyncByteStream)
        return _pieces(request.stream)


async def _pieces(stream: httpx.AsyncByteStream) -> AsyncGenerator[bytes]:
    iterator = aiter(stream)
    try:
        async for piece in iterator:
            yield piece
    finally:
        if isinstance(iterator, AsyncGenerator):
            await iterator.aclose()
