"""One streaming HTTP request to a model's server: yields server-sent events, with a deadline for every wait.

It knows no provider's vocabulary. httpx's response iterators are nested async generators, and Python warns when they
are left half-read, so a response is always ended, by reading to the end or by cancelling the read.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import Any, Protocol

import httpx
import trio

from oc_trio.agent.failures import BROKEN, GARBLED, TOO_BIG, TOO_SLOW, Endpoint, from_status, from_transport
from oc_trio.agent.inflate import PIECE, BadCompression, Inflater
from oc_trio.agent.sse import MAX_PENDING, EventLines, ServerSentEvent, SseDecoder, SseOverflow
from oc_trio.classes import frozen
from oc_trio.core.json_body import BadJson, read_keeping_surrogates
from oc_trio.errors import AgentError, AgentFailed, AgentUnavailable
from oc_trio.network.stream import PacedStream

# Bytes of one response after decompression: a stream has some 300 of them per token.
MAX_BODY = 64 * 1024 * 1024
# Bytes of an error's body, whose message is at the beginning; of any body's beginning, and characters of that in the
# log.
_ERROR_BODY = 64 * 1024
_HEAD = 4 * 1024
_SHOWN = 200
# Characters of an event that takes milliseconds to parse.
_LARGE = 256 * 1024
_MAX_AT_ONCE = 64  # pieces between two checkpoints; a piece of a token takes some 50 µs
_LAST_WORDS = (b"[DONE]", b"message_stop")  # of a stream, in the words of either API
_BOM = b"\xef\xbb\xbf"


@frozen
class Deadlines:
    """Seconds: to connect, from the request to the first event, and between two chunks after that.

    Local models read a long prompt for minutes before their first token; hosted ones send keep-alive comments.
    """

    connect: float = 10.0
    first_token: float = 300.0
    idle: float = 120.0
    # After the last event, for the end of the body, so that the connection can be reused: far more than a server takes
    # that sends one, and people wait for as long where it does not.
    linger: float = 0.5


# In order; those that are all alike come together.
Events = tuple[ServerSentEvent | EventLines, ...]


class HttpStream(Protocol):
    """A response that is being read."""

    async def next_events(self) -> Events | None: ...

    async def finish(self) -> None: ...

    def pace(self) -> None: ...

    def unreadable(self, text: str) -> AgentError: ...


class _Reader:
    def __init__(
        self,
        response: httpx.Response,
        endpoint: Endpoint,
        deadlines: Deadlines,
        first_by: float,
        pacing: ExitStack,
    ) -> None:
        self._response = response
        # Raw: httpx would decompress a chunk as a whole, and a decompression bomb would fill the memory.
        self._chunks = response.aiter_raw()
        self._pieces: Iterator[bytes] = iter(())
        self._inflater: Inflater | None = None
        self._decoder = SseDecoder()
        self._head = bytearray()  # of the body, for the log and to see what it is
        self._whole: bytearray | None = None
        self._size = 0
        self._pieces_at_once = 0
        self._is_paced = False
        self._pacing = pacing
        self._endpoint = endpoint
        self._deadlines = deadlines
        self._first_by = first_by
        self._is_known = False  # whether it is one value or a stream
        self._started = False
        self._opening: str | None = None  # the first event
        self._ended = False  # nothing of the body is left to read
        self._closed = False  # nor events

    async def next_events(self) -> Events | None:
        """The events of the next piece of the body that completes any; None at its end.

        A body of one JSON value counts as one event, JSON lines as one each, whatever the content type is.
        """
        while not self._closed:
            piece = await self._next_piece()
            self._closed = piece is None
            if events := self._events_at_end() if piece is None else self._events_in(piece):
                if not self._started:
                    first = events[0].events()[0] if isinstance(events[0], EventLines) else events[0]
                    self._started, self._opening = True, first.data
                return events
        return None

    def pace(self) -> None:
        """From now on read no faster than an answer is shown: people have its first text. May be called repeatedly."""
        network_stream = self._response.extensions.get("network_stream")
        if not self._is_paced and isinstance(network_stream, PacedStream):
            self._is_paced = True
            self._pacing.enter_context(network_stream.paced(_LAST_WORDS))

    async def finish(self) -> None:
        """Read to the end of the body after the last event, within `linger`, so that the connection can be reused."""
        # At once: of what is still to come nothing is shown.
        self._pacing.close()
        with trio.move_on_after(self._deadlines.linger), suppress(AgentError):
            while await self._next_piece() is not None:
                pass

    async def abandon(self) -> None:
        """End a half-read body: the deadline is now, so the read inside is cancelled and its generators unwind.

        Errors in the rest of the body are suppressed: they must not replace the error that ended the reading.
        """
        if not self._ended:
            with trio.move_on_after(0, shield=True), suppress(httpx.HTTPError):
                async for _ in self._chunks:
                    pass

    async def error_body(self) -> bytes:
        """The start of the body of an error response, as far as it can be read."""
        body = bytearray()
        with suppress(AgentFailed):
            while len(body) < _ERROR_BODY and (piece := await self._next_piece()) is not None:
                body += piece
        return bytes(body)

    def unreadable(self, text: str) -> AgentError:
        """The error for an event or a body that is neither answer nor error. Parts of an answer are not quoted."""
        kind = str(self._response.headers.get("content-type", "no type"))
        is_piece = self._started and not text.lstrip().startswith("<")
        excerpt = f"{len(text)} characters that are no JSON" if is_piece else self._endpoint.clean(text)[:_SHOWN]
        line = self._endpoint.clean(f"{self._endpoint.name}: HTTP {self._response.status_code}, {kind[:80]}")
        is_first = not self._started or text == self._opening
        return AgentFailed(f"{line}: not an answer: {excerpt}", for_user=GARBLED if is_first else BROKEN)

    def _events_in(self, piece: bytes) -> Events:
        if self._whole is None and not self._is_known:
            self._head += piece
            start = bytes(self._head).removeprefix(_BOM).lstrip()
            if not start or _BOM.startswith(start):
                if len(self._head) > MAX_PENDING:
                    raise self._too_big(f"more than {MAX_PENDING} bytes of white space")
                return ()
            piece, self._is_known = bytes(self._head), True
            # No line of a stream of events begins like that: it is one JSON value, JSON lines, or a page of HTML.
            if start[:1] in (b"{", b"[", b'"', b"<"):
                self._whole = bytearray()
            del self._head[_HEAD:]
        if self._whole is None:
            return self._decoded_lines(piece)
        self._whole += piece
        if len(self._whole) > MAX_PENDING:
            raise self._too_big(f"an answer of more than {MAX_PENDING} bytes in one piece")
        return ()

    def _events_at_end(self) -> tuple[ServerSentEvent, ...]:
        """The remaining events when the body has ended."""
        if self._whole is None:
            events = self._decoded(None)
            start = bytes(self._head).removeprefix(_BOM).lstrip()
            if not events and not self._started and start and not start.startswith(b":"):
                raise self.unreadable(start.decode("utf-8", "replace"))
            return events
        text = bytes(self._whole).removeprefix(_BOM).decode("utf-8", "replace").strip()
        if text.startswith("<"):
            raise self.unreadable(text)
        if "\n" in text and not _is_json(text):
            decoder = SseDecoder()
            return (*decoder.feed(text.encode()), *decoder.end())
        return (ServerSentEvent(text),)

    def _decoded(self, piece: bytes | None) -> tuple[ServerSentEvent, ...]:
        try:
            return self._decoder.end() if piece is None else self._decoder.feed(piece)
        except SseOverflow as exc:
            raise self._too_big(str(exc)) from exc

    def _decoded_lines(self, piece: bytes) -> Events:
        lines, rest = self._decoder.take_lines(piece)
        events = self._decoded(rest)
        return events if lines is None else (lines, *events)

    def _too_big(self, why: str) -> AgentFailed:
        return AgentFailed(f"{self._endpoint.name}: {why}", for_user=TOO_BIG)

    async def _next_piece(self) -> bytes | None:
        """The next bytes of the decompressed body, in small pieces; None at its end.

        Raises AgentFailed where the body is larger than `MAX_BODY` or its compression is broken.
        """
        try:
            while (piece := next(self._pieces, None)) is None:
                if (chunk := await self._next_chunk()) is None:
                    return None
                if self._inflater is None:
                    self._inflater = Inflater(self._response.headers.get("content-encoding", ""))
                self._pieces = self._inflater.feed(chunk)
        except BadCompression as exc:
            self._pieces = iter(())
            raise AgentFailed(f"{self._endpoint.name}: the answer is {exc}", for_user=GARBLED) from exc
        self._size += len(piece)
        if self._size > MAX_BODY:
            raise self._too_big(f"an answer of more than {MAX_BODY} bytes")
        # One read from the network may hold many chunks, and a chunk decompress to many pieces: without a checkpoint
        # among them a fast server would keep other tasks waiting.
        self._pieces_at_once += 1
        if self._pieces_at_once >= _MAX_AT_ONCE or len(piece) >= PIECE:
            self._pieces_at_once = 0
            await trio.lowlevel.checkpoint()
        return piece

    async def _next_chunk(self) -> bytes | None:
        if self._ended:
            return None
        # Before the first event the deadline stands still: comments that keep the connection alive don't move it.
        by = trio.current_time() + self._deadlines.idle if self._started else self._first_by
        chunk: bytes | None = None
        try:
            # Not `trio.fail_at`, which costs as much again.
            with trio.CancelScope(deadline=by) as scope:
                chunk = await anext(self._chunks, None)
        except httpx.HTTPError as exc:
            self._ended = True
            raise from_transport(self._endpoint, exc, started=self._started) from exc
        if scope.cancelled_caught:
            self._ended = True
            wait = self._deadlines.idle if self._started else self._deadlines.first_token
            raise AgentUnavailable(f"{self._endpoint.name}: nothing for {wait:g} s", for_user=TOO_SLOW)
        self._ended = chunk is None
        return chunk


async def read_event(text: str) -> Any:
    """The JSON value of an event; a large one is parsed in a thread. Lone surrogates are kept. Raises BadJson."""
    if len(text) < _LARGE:
        return read_keeping_surrogates(text)
    return await trio.to_thread.run_sync(read_keeping_surrogates, text)


def _is_json(text: str) -> bool:
    try:
        read_keeping_surrogates(text)
    except BadJson:
        return False
    return True


@asynccontextmanager
async def open_http_stream(
    http: httpx.AsyncClient,
    endpoint: Endpoint,
    url: str,
    body: Mapping[str, Any],
    headers: Mapping[str, str],
    deadlines: Deadlines,
) -> AsyncIterator[HttpStream]:
    """POST `body` as JSON and yield the response once its status is 2xx. Raises `AgentError` for anything else."""
    first_by = trio.current_time() + deadlines.first_token
    response = await _send(http, endpoint, url, body, headers, deadlines)
    pacing = ExitStack()
    reader = _Reader(response, endpoint, deadlines, first_by, pacing)
    try:
        if not response.is_success:
            raise from_status(endpoint, response.status_code, await reader.error_body(), response.headers)
        with pacing:
            yield reader
    finally:
        # Shielded: a cancelled turn too must give its connection back, or the pool would run out of them.
        with trio.move_on_after(deadlines.linger, shield=True):
            await reader.abandon()
            await response.aclose()


async def _send(
    http: httpx.AsyncClient,
    endpoint: Endpoint,
    url: str,
    body: Mapping[str, Any],
    headers: Mapping[str, str],
    deadlines: Deadlines,
) -> httpx.Response:
    try:
        with trio.fail_after(deadlines.first_token):
            # Only the connect phase can't be seen from outside; every other wait has a cancel scope here.
            request = http.build_request(
                "POST",
                url,
                json=body,
                # Asked not to compress; what comes compressed all the same is bounded by `Inflater`.
                headers={"Accept-Encoding": "identity", **headers},
                timeout=httpx.Timeout(None, connect=deadlines.connect),
            )
            # A redirect would send the key to another host.
            return await http.send(request, stream=True, follow_redirects=False)
    except trio.TooSlowError as exc:
        raise AgentUnavailable(f"{endpoint.name}: no answer in {deadlines.first_token:g} s", for_user=TOO_SLOW) from exc
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        raise from_transport(endpoint, exc) from exc
