"""One HTTP/1.1 connection: a request out, its response in, one after the other. h11 has the protocol.

Errors are httpx's. A request leaves in one write as a rule, and all that one read brought of a body comes as one piece:
a model's tokens are chunks of their own, and handling each by itself would cost more than reading them.
"""

import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress

import h11
import httpx
import trio
from attrs import define, field

from oc_trio.network.stream import PacedStream

BROKEN = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)

_READ_BYTES = 64 * 1024
# A streamed body is written when so much of it has come.
_WRITE_BYTES = 64 * 1024
# Bytes of a response's head, or of one line of a chunked body.
_HEAD_BYTES = 100 * 1024


def _http() -> h11.Connection:
    return h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_BYTES)


@define(eq=False)
class ClientConnection:
    """`stream` is `network`, or TLS over it. Use it for one request at a time; `expires_at` is the pool's,
    `before_write` is awaited before each write of the next request.

    What its methods raise (httpx.TransportError) leaves the connection in a state that only `close` can follow.
    """

    stream: trio.abc.Stream
    network: PacedStream
    expires_at: float = math.inf
    before_write: Callable[[], Awaitable[None]] | None = None
    _http: h11.Connection = field(init=False, factory=_http)
    _is_whole: bool = field(init=False, default=False)  # the body has come to its end
    _problem: h11.RemoteProtocolError | None = field(init=False, default=None)

    async def send(self, request: h11.Request, body: bytes | AsyncGenerator[bytes], seconds: float | None) -> None:
        """Write a request; `seconds` are for each write. Raises httpx.WriteTimeout."""
        self._is_whole = False
        # A server may refuse a request before it has read all of it: its response says why.
        with suppress(*BROKEN):
            await self._send(request, body, seconds)

    async def receive_head(self, seconds: float | None) -> h11.Response:
        """The head of the response; `seconds` are for each read. Raises httpx.ReadTimeout, ReadError and
        RemoteProtocolError.
        """
        while True:
            event = self._next_event()
            if event is h11.NEED_DATA:
                await self._receive(seconds)
            elif isinstance(event, h11.Response):
                return event

    async def next_piece(self, seconds: float | None) -> bytes | None:
        """What has come of the body, waiting for some of it; None at its end. Raises as `receive_head`."""
        pieces: list[bytes | bytearray] = []
        while not self._is_whole:
            if self._problem is not None:
                raise httpx.RemoteProtocolError(str(self._problem)) from self._problem
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as exc:
                # After what came before it.
                self._problem = exc
                if pieces:
                    break
                continue
            if event is h11.NEED_DATA:
                if pieces:
                    break
                await self._receive(seconds)
            elif isinstance(event, h11.Data):
                pieces.append(event.data)
            else:
                self._is_whole = True
        return b"".join(pieces) if pieces else None

    def can_be_reused(self) -> bool:
        """Whether the last exchange is over on both sides; the connection is then ready for the next one."""
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True

    def is_usable(self, now: float) -> bool:
        """Whether an idle connection is still good. What can be read from it is its end, or nothing we asked for."""
        return now < self.expires_at and not self.network.socket.is_readable()

    def close(self) -> None:
        """At once, and without TLS's goodbye, which HTTP does not need."""
        self.network.socket.close()

    async def _send(self, request: h11.Request, body: bytes | AsyncGenerator[bytes], seconds: float | None) -> None:
        unsent = self._bytes(request)
        if isinstance(body, bytes):
            unsent += self._bytes(h11.Data(data=body)) if body else b""
        else:
            async with aclosing(body):  # it may be left half-way
                async for chunk in body:
                    unsent += self._bytes(h11.Data(data=chunk))
                    if len(unsent) >= _WRITE_BYTES:
                        await self._write(unsent, seconds)
                        unsent = b""
        unsent += self._bytes(h11.EndOfMessage())
        if unsent:
            await self._write(unsent, seconds)

    def _bytes(self, event: h11.Event) -> bytes:
        try:
            return self._http.send(event) or b""
        except h11.LocalProtocolError as exc:
            raise httpx.LocalProtocolError(str(exc)) from exc

    async def _write(self, data: bytes, seconds: float | None) -> None:
        if self.before_write is not None:
            await self.before_write()
        if seconds is None:
            await self.stream.send_all(data)
            return
        try:
            with trio.fail_after(seconds):
                await self.stream.send_all(data)
        except trio.TooSlowError as exc:
            raise httpx.WriteTimeout(str(exc)) from exc

    def _next_event(self) -> object:
        try:
            return self._http.next_event()
        except h11.RemoteProtocolError as exc:
            raise httpx.RemoteProtocolError(str(exc)) from exc

    async def _receive(self, seconds: float | None) -> None:
        try:
            if seconds is None:
                data = bytes(await self.stream.receive_some(_READ_BYTES))
            else:
                with trio.fail_after(seconds):
                    data = bytes(await self.stream.receive_some(_READ_BYTES))
        except trio.TooSlowError as exc:
            raise httpx.ReadTimeout(str(exc)) from exc
        except BROKEN as exc:
            raise httpx.ReadError(reason(exc)) from exc
        if not data and self._http.their_state is h11.SEND_RESPONSE:
            raise httpx.RemoteProtocolError("the server closed the connection without an answer")
        try:
            self._http.receive_data(data)
        except h11.RemoteProtocolError as exc:
            raise httpx.RemoteProtocolError(str(exc)) from exc


def reason(exc: Exception) -> str:
    """Trio's own error has no text where a socket or TLS gave the reason."""
    return str(exc) or str(exc.__cause__ or "")
