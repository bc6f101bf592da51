"""One HTTP/1.1 connection: a request out, its response in. h11 has the heads, `http_body` the bodies of responses.

Errors are httpx's. A request leaves in one write as a rule, and all that one read brought of a body comes as one piece:
a model's tokens are chunks of their own, and handling each by itself would cost more than reading them.
"""

import math
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, nullcontext, suppress

import h11
import httpx
import trio
from attrs import field

from oc_trio.classes import define
from oc_trio.network.http_body import Body, body_of
from oc_trio.network.stream import QUIET_SECONDS, READ_BYTES, PacedStream

BROKEN = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)

# A streamed body is written when so much of it has come.
_WRITE_BYTES = 64 * 1024
_EMPTY_LINE = re.compile(rb"\n\r?\n")
# Bytes of a response's head: as many as httpx's own transport takes.
_HEAD_BYTES = 100 * 1024


def _new_http() -> h11.Connection:
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
    # Of one exchange: h11 gets the bytes of the response's head, and none of its body.
    _http: h11.Connection = field(init=False, factory=_new_http)
    _method: bytes = field(init=False, default=b"")
    _unread: bytes = field(init=False, default=b"")
    _body: Body | None = field(init=False, default=None)
    _failure: httpx.TransportError | None = field(init=False, default=None)  # a body is read again after it
    _is_kept: bool = field(init=False, default=False)  # both sides keep the connection for a next exchange

    async def send(self, request: h11.Request, body: bytes | AsyncGenerator[bytes], seconds: float | None) -> None:
        """Write a request; `seconds` are for each write. Raises httpx.WriteTimeout."""
        self._method = request.method
        # A server may refuse a request before it has read all of it: its response says why.
        with suppress(*BROKEN):
            await self._send(request, body, seconds)

    async def receive_head(self, seconds: float | None) -> h11.Response:
        """The head of the response; `seconds` are for each read. Raises httpx.ReadTimeout, ReadError and
        RemoteProtocolError.
        """
        unread, searched = b"", 0
        while True:
            while (end := _end_of_head(unread, searched)) < 0:
                searched = max(0, len(unread) - 2)  # the rest of an empty line may follow
                if len(unread) > _HEAD_BYTES:
                    raise httpx.RemoteProtocolError("the head of the answer is too long")
                data = await self._receive(seconds)
                if not data:
                    raise httpx.RemoteProtocolError("the server closed the connection without an answer")
                unread += data
            event = self._parsed(unread[:end])
            unread, searched = unread[end:], 0
            # 1xx come before the answer.
            if isinstance(event, h11.Response):
                self._unread = unread
                self._body = body_of(self._method, event.status_code, event.headers)
                # It is not where one side wants to close, nor where our request was not written as a whole.
                self._is_kept = self._http.our_state is h11.DONE
                return event

    async def next_piece(self, seconds: float | None) -> bytes | None:
        """What has come of the body, waiting for some of it; None at its end. Raises as `receive_head`.

        Several reads are one piece where the pacer wants it; one is held back for no longer than its `gathering`, only
        while more follows, and not at all where the caller would be cancelled meanwhile.
        """
        network = self.network
        piece = await self._read_piece(seconds)
        # What lies below TLS can only be gathered above it.
        if piece is None or self._is_gathered or not (gathering := network.gathering) or network.has_last_words(piece):
            return piece
        began = trio.current_time()
        until = began + gathering
        if trio.current_effective_deadline() <= until:
            return piece
        pieces, size = [piece], len(piece)
        # The deadline is for a stream that stalls. One that passes is expensive, so as a rule it is not come to.
        with trio.CancelScope() as scope, suppress(httpx.TransportError):
            while size < READ_BYTES and not network.has_last_words(piece):
                # Less, or none, where other answers have ended meanwhile.
                until = min(until, began + network.gathering)
                if (now := trio.current_time()) + network.pacer.pause >= until:
                    break
                scope.deadline = min(until, now + QUIET_SECONDS)
                if (piece := await self._read_piece(seconds)) is None:
                    break
                pieces.append(piece)
                size += len(piece)
        return b"".join(pieces)

    async def _read_piece(self, seconds: float | None) -> bytes | None:
        body = self._body
        assert body is not None, "the head comes first"
        if self._failure is not None:
            raise self._failure
        while not body.is_whole:
            try:
                if body.problem:
                    raise httpx.RemoteProtocolError(body.problem)
                data = self._unread or await self._receive(seconds, body.may_end)
            except httpx.TransportError as problem:
                self._failure = problem
                raise
            self._unread = b""
            if piece := body.feed(data):
                return piece
        return None

    def can_be_reused(self) -> bool:
        """Whether the last exchange is over on both sides; the connection is then ready for the next one."""
        body = self._body
        if not self._is_kept or body is None or not body.is_whole or body.has_rest or self._unread:
            return False
        self._http, self._body = _new_http(), None
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

    def _parsed(self, head: bytes) -> object:
        try:
            self._http.receive_data(head)
            return self._http.next_event()
        except h11.RemoteProtocolError as exc:
            raise httpx.RemoteProtocolError(str(exc)) from exc

    @property
    def _is_gathered(self) -> bool:
        """Whether the network itself makes several reads one piece."""
        return self.stream is self.network and self.network.can_gather

    async def _receive(self, seconds: float | None, may_end: Callable[[int, bytes], bool] | None = None) -> bytes:
        try:
            with nullcontext() if seconds is None else trio.fail_after(seconds):
                if may_end is not None and self._is_gathered:
                    return await self.network.gather(may_end)
                return bytes(await self.stream.receive_some(READ_BYTES))
        except trio.TooSlowError as exc:
            raise httpx.ReadTimeout(str(exc)) from exc
        except BROKEN as exc:
            raise httpx.ReadError(reason(exc)) from exc


def _end_of_head(data: bytes, searched: int) -> int:
    """Where the head ends that `data` begins with, its empty line included; -1 where it does not end yet.

    There is none in the first `searched` bytes: each byte is looked at once, however slowly they come.
    """
    match = _EMPTY_LINE.search(data, searched)
    return -1 if match is None else match.end()


def reason(exc: Exception) -> str:
    """Trio's own error has no text where a socket or TLS gave the reason."""
    return str(exc) or str(exc.__cause__ or "")
