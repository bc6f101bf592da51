"""The HTTP client of one Mattermost server: connection pool, token header, size limits, translation of httpx's errors.

It decides about no retries. Only this module and `address_guard` import httpx here. Requests go to httpx's
transport and not through its client, whose redirects and cookies are not wanted: a redirect would carry the token to
another address, and accounts share the pool.
"""

import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import httpx
import msgspec
import trio
from attrs import field

from oc_trio import __version__
from oc_trio.classes import define, frozen
from oc_trio.core.describe_error import describe_error
from oc_trio.core.ratelimit import Lane
from oc_trio.errors import MattermostError, MattermostUnavailable, PayloadError
from oc_trio.ids import AccountId
from oc_trio.lease import Lease
from oc_trio.mattermost.budget import RateBudget
from oc_trio.mattermost.rest.responses import (
    LONGEST_PAUSE,
    error_from_response,
    read_json,
    requested_pause,
    retry_after,
)
from oc_trio.network.pool import BEFORE_WRITE, PooledTransport
from oc_trio.telemetry.log import get_logger
from oc_trio.wakeup import Wakeup

# For one request with its answer. A file has this long for each chunk instead.
REQUEST_SECONDS = 30.0
# A page of 200 posts with the longest messages and props stays below it.
JSON_LIMIT = 16 * 1024 * 1024
log = get_logger(part="transport")

# A proxy's error page may be large; its beginning is enough for the message.
_ERROR_LIMIT = 8192

# Errors from before the request was sent; after any other error a write may have been applied.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol, httpx.ProxyError)
_FOREIGN = (httpx.TransportError, OSError, trio.BrokenResourceError, trio.ClosedResourceError)
_READS = frozenset({"GET", "HEAD"})
# As bytes and with all that httpx would add: it looks through all headers for each one that it sets.
_HEADERS = (
    (b"User-Agent", f"oc-trio/{__version__}".encode()),
    (b"Accept", b"*/*"),
    (b"Accept-Encoding", b"gzip, deflate"),
    (b"Connection", b"keep-alive"),
)


@define(eq=False)
class MattermostServer:
    """One server: its connection pool and rate budget, shared by all accounts that use it."""

    base_url: str
    budget: RateBudget
    http: httpx.AsyncBaseTransport

    @property
    def websocket_url(self) -> str:
        """The address of the event stream, `ws` or `wss`."""
        return "ws" + self.base_url.removeprefix("http") + "/api/v4/websocket"

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        content: bytes | AsyncIterator[bytes] | None = None,
        params: Mapping[str, str | int] | None = None,
        extensions: Mapping[str, Any] = MappingProxyType({}),
    ) -> httpx.Request:
        """A request for `/api/v4` + `path`. Raises httpx.InvalidURL."""
        url = _url(f"{self.base_url}/api/v4{path}")
        raw = [(b"Host", url.netloc), *_HEADERS]
        raw += [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
        extra = dict(extensions)
        if not isinstance(content, bytes):
            return httpx.Request(method, url, content=content, params=params, headers=raw, extensions=extra)
        raw.append((b"Content-Length", b"%d" % len(content)))
        body = httpx.ByteStream(content)
        request = httpx.Request(method, url, stream=body, params=params, headers=raw, extensions=extra)
        request.read()
        return request


# Posts are made at one address, again and again.
_url = lru_cache(maxsize=64)(httpx.URL)


@asynccontextmanager
async def open_server(
    base_url: str,
    ssl_context: ssl.SSLContext | None,
    *,
    budget: RateBudget | None = None,
    http_transport: httpx.AsyncBaseTransport | None = None,
) -> AsyncGenerator[MattermostServer, None]:
    """The pool for `base_url` (no trailing slash needed). Share one `ssl_context`: building it blocks for 0.2 s."""
    # For http:// addresses: a context without certificates is built fast and trusts nobody.
    http = http_transport or PooledTransport(ssl_context or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    async with http:
        yield MattermostServer(base_url.rstrip("/"), budget or RateBudget(), http)


@frozen(eq=False)
class Transport:
    """Requests of one account. `token` is called for each request, so that a token file can be replaced.

    `unauthorized` is set when a request is answered with 401, for the listener: an open websocket outlives the token
    that it was opened with. Nothing is sent unless the account's `lease` is sure to outlast it.
    """

    server: MattermostServer
    token: Callable[[], str]
    unauthorized: Wakeup = field(factory=Wakeup)
    lease: Lease = field(factory=lambda: Lease.unlimited(AccountId("")))

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Mapping[str, str | int] | None = None,
        lane: Lane = Lane.READ,
        limit: int = JSON_LIMIT,
    ) -> Any:
        """The decoded JSON answer of `/api/v4` + `path`; None if it is empty.

        Raises MattermostUnavailable, MattermostRejected or PayloadError.
        """
        content = None if json is None else msgspec.json.encode(json)
        headers = {} if content is None else {"Content-Type": "application/json"}
        body = await self._send(method, path, content=content, headers=headers, params=params, lane=lane, limit=limit)
        return read_json(body, f"{method} {path}")

    async def upload(
        self,
        path: str,
        content: AsyncIterator[bytes],
        *,
        headers: Mapping[str, str],
        params: Mapping[str, str | int] | None = None,
    ) -> Any:
        """POST a streamed body; the deadline is REQUEST_SECONDS without progress, not for the whole."""
        sent = await self._send("POST", path, content=content, headers=headers, params=params, lane=Lane.CREATE)
        return read_json(sent, f"POST {path}")

    async def download(self, path: str, *, limit: int) -> bytes:
        """The raw body, at most `limit` bytes; the deadline as with uploads. Raises PayloadError beyond the limit."""
        return await self._send(
            "GET", path, content=None, headers={}, params=None, lane=Lane.READ, limit=limit, while_progress=True
        )

    async def _send(
        self,
        method: str,
        path: str,
        *,
        content: bytes | AsyncIterator[bytes] | None,
        headers: Mapping[str, str],
        params: Mapping[str, str | int] | None,
        lane: Lane,
        limit: int = JSON_LIMIT,
        while_progress: bool = False,
    ) -> bytes:
        what = f"{method} {path}"
        # Outside of the deadline: the wait for our own budget has a bound of its own and says nothing about the server.
        await self.server.budget.acquire(lane)
        # The wait for the budget may have outlasted the lease.
        await self.lease.check()
        try:
            with self.lease.guard(writes=method not in _READS), trio.fail_after(REQUEST_SECONDS) as scope:
                body = (
                    content
                    if content is None or isinstance(content, bytes)
                    else _extending_deadline(content, scope, self.lease)
                )
                request = self.server.request(
                    method,
                    path,
                    content=body,
                    params=params,
                    headers={**headers, **self._authorization()},
                    # A connection may have taken long, or the process been stopped.
                    extensions={} if self.lease.is_unlimited else {BEFORE_WRITE: self.lease.check},
                )
                return await self._send_request(request, what, limit, scope if while_progress else None)
        except trio.TooSlowError:
            problem = f"{what}: no answer within {REQUEST_SECONDS:g} s"
            raise MattermostUnavailable(problem, ambiguous=method not in _READS) from None
        except MattermostError:
            raise
        except _FOREIGN as exc:
            ambiguous = method not in _READS and not isinstance(exc, _NOT_SENT)
            raise MattermostUnavailable(f"{what}: {describe_error(exc)}", ambiguous=ambiguous) from exc
        except (httpx.DecodingError, httpx.InvalidURL) as exc:
            raise PayloadError(f"{what}: {describe_error(exc)}") from exc

    async def _send_request(
        self, request: httpx.Request, what: str, limit: int, scope: trio.CancelScope | None
    ) -> bytes:
        response = await self.server.http.handle_async_request(request)
        try:
            # Made once: httpx goes through all headers for each that it is asked for, and most are not there.
            headers = dict(response.headers.items())
            wait = retry_after(headers, time.time())
            requested = requested_pause(headers, time.time()) or 0.0
            if requested > LONGEST_PAUSE and not response.is_success:
                log.warning(
                    "Mattermost asks for a longer pause than is kept", call=what, asked_s=requested, kept_s=wait
                )
            self.server.budget.observe(headers, limited=response.status_code == 429, retry_after=wait)
            if response.is_success:
                return await _read(response, headers, limit, what, scope)
            body = await _read_prefix(response)
        finally:
            # Also when cancelled: otherwise the pool would count the connection as in use.
            with trio.move_on_after(2.0, shield=True):
                await response.aclose()
        writes = request.method not in _READS
        if response.status_code == 401:
            self.unauthorized.set()
        raise error_from_response(response.status_code, headers, body, what, writes=writes, now=time.time())

    def _authorization(self) -> dict[str, str]:
        token = self.token()
        return {"Authorization": f"Bearer {token}"} if token else {}


async def _extending_deadline(
    content: AsyncIterator[bytes], scope: trio.CancelScope, lease: Lease
) -> AsyncIterator[bytes]:
    async for chunk in content:
        await lease.check()
        yield chunk
        # The chunk was taken, so the connection makes progress.
        scope.deadline = trio.current_time() + REQUEST_SECONDS


async def _read(
    response: httpx.Response, headers: Mapping[str, str], limit: int, what: str, scope: trio.CancelScope | None
) -> bytes:
    announced = headers.get("content-length", "")
    body = bytearray()
    too_large = announced.isdigit() and int(announced) > limit
    if not too_large:
        too_large = await _read_into(body, response, limit, scope)
    if too_large:
        raise PayloadError(f"{what}: the answer is larger than {limit} bytes")
    return bytes(body)


async def _read_prefix(response: httpx.Response) -> bytes:
    body = bytearray()
    # The status is known already: a page that comes byte by byte must not hold it up.
    with trio.move_on_after(10.0):
        await _read_into(body, response, _ERROR_LIMIT, None)
    return bytes(body[:_ERROR_LIMIT])


async def _read_into(body: bytearray, response: httpx.Response, limit: int, scope: trio.CancelScope | None) -> bool:
    """Collect up to `limit` bytes; True if there is more.

    Reading is cancelled, not left: httpx's nested async generators would otherwise be closed by the garbage collector.
    """
    with trio.CancelScope() as reading:
        assert isinstance(response.stream, httpx.AsyncByteStream)
        # httpx's own iterators only where something is to be decompressed.
        async for chunk in response.aiter_bytes() if "content-encoding" in response.headers else response.stream:
            if scope is not None:
                scope.deadline = trio.current_time() + REQUEST_SECONDS
            if len(body) <= limit:
                body += chunk
            if len(body) > limit:
                reading.cancel()
    return len(body) > limit
