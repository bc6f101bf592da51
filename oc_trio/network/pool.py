"""An httpx transport over httpcore2's connection pool, which takes half the CPU of the one that httpx brings.

httpx stays the client. Each proxy that the environment names has a pool of its own.
"""

import os
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self, cast

import httpcore2
import httpx
import trio

from oc_trio.core.proxies import BadProxy, Proxy, proxy_for
from oc_trio.network.stream import Dial, NetworkBackend, ReadPacer

# httpx names its errors as httpcore does.
_ERRORS: dict[type[Exception], type[httpx.TransportError]] = {
    getattr(httpcore2, name): getattr(httpx, name)
    for name in (
        "ConnectTimeout", "ReadTimeout", "WriteTimeout", "PoolTimeout", "ConnectError", "ReadError", "WriteError",
        "ProxyError", "UnsupportedProtocol", "LocalProtocolError", "RemoteProtocolError",
    )
}  # fmt: skip


async def dial(host: str, port: int) -> trio.SocketStream:
    """TCP to any address of `host`, one after the other as they answer."""
    return await trio.open_tcp_stream(host, port)


class PooledTransport(httpx.AsyncBaseTransport):
    """`dial` opens direct connections; a proxy is always reached by its name. `pacer` paces streams that ask for it."""

    def __init__(
        self,
        ssl_context: ssl.SSLContext,
        *,
        dial: Dial = dial,
        environ: Mapping[str, str] | None = None,
        max_connections: int | None = 100,
        max_keepalive: int = 20,
        keepalive_seconds: float = 60.0,
        pacer: ReadPacer | None = None,
    ) -> None:
        self._ssl_context = ssl_context
        self._dial = dial
        self._environ = os.environ if environ is None else environ
        self._limits = (max_connections, max_keepalive, keepalive_seconds)
        self._pacer = pacer or ReadPacer()
        self._pools: dict[Proxy | None, httpcore2.AsyncConnectionPool] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One request. Raises httpx.TransportError, and what `dial` raises."""
        url = request.url
        try:
            pool = self._pool(proxy_for(str(url), self._environ))
        except BadProxy as problem:
            raise httpx.UnsupportedProtocol(str(problem), request=request) from problem
        assert isinstance(request.stream, httpx.AsyncByteStream)
        sent = httpcore2.Request(
            request.method,
            httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        try:
            response = await pool.handle_async_request(sent)
        except tuple(_ERRORS) as exc:
            raise _translated(exc, request) from exc
        body = cast("AsyncIterator[bytes]", response.stream)
        return httpx.Response(
            response.status, headers=response.headers, stream=_Body(body, request), extensions=response.extensions
        )

    async def aclose(self) -> None:
        for pool in self._pools.values():
            await pool.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.aclose()

    def _pool(self, proxy: Proxy | None) -> httpcore2.AsyncConnectionPool:
        if proxy not in self._pools:
            most, keepalive, seconds = self._limits
            self._pools[proxy] = httpcore2.AsyncConnectionPool(
                ssl_context=self._ssl_context,
                proxy=None if proxy is None else self._httpcore_proxy(proxy),
                max_connections=most,
                max_keepalive_connections=keepalive,
                keepalive_expiry=seconds,
                # The guard of `dial` is for addresses that others name; a proxy is the operator's, and often private.
                network_backend=NetworkBackend(self._dial if proxy is None else dial, self._pacer),
            )
        return self._pools[proxy]

    def _httpcore_proxy(self, proxy: Proxy) -> httpcore2.Proxy:
        auth = (proxy.user, proxy.password) if proxy.user else None
        return httpcore2.Proxy(proxy.url, auth=auth, ssl_context=self._ssl_context if proxy.is_tls else None)


class _Body(httpx.AsyncByteStream):
    def __init__(self, stream: AsyncIterator[bytes], request: httpx.Request) -> None:
        self._stream = stream
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._stream:
                yield chunk
        except tuple(_ERRORS) as exc:
            raise _translated(exc, self._request) from exc

    async def aclose(self) -> None:
        if (close := getattr(self._stream, "aclose", None)) is not None:
            with suppress(*_ERRORS):
                await close()


def _translated(exc: Exception, request: httpx.Request) -> httpx.TransportError:
    for kind in type(exc).__mro__:
        if kind in _ERRORS:
            return _ERRORS[kind](str(exc), request=request)
    raise AssertionError(f"{type(exc).__name__} is not among them")
