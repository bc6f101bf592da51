"""Decodes server-sent events incrementally: bytes in, complete events out. Pure; it reads no socket.

Rules: WHATWG HTML, section 9.2.6 (LF, CR and CRLF end a line; one leading space of a value is dropped; a BOM at the
start is skipped; comments and unknown fields are ignored; an event without data is dropped). One rule is ours: a line
that begins as a JSON object is an event of its own, since servers write errors into a stream without its framing.
"""

from attrs import frozen

# A model's event is a few hundred bytes; images generated inline reach megabytes. More is a runaway server.
MAX_PENDING = 8 * 1024 * 1024


class SseOverflow(ValueError):
    """A single event grew past `MAX_PENDING` bytes."""


@frozen
class ServerSentEvent:
    """One event; `event` is empty where the server named no type (which the standard reads as `message`)."""

    data: str
    event: str = ""


class SseDecoder:
    """Feed it chunks split anywhere, even inside a character or between CR and LF."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._data: list[str] = []
        self._size = 0
        self._event = ""
        self._after_cr = False
        self._at_start = True

    def feed(self, chunk: bytes) -> tuple[ServerSentEvent, ...]:
        """The events that `chunk` completes, in order. Raises `SseOverflow`."""
        events: list[ServerSentEvent] = []
        if not chunk:
            return ()
        # A CRLF may be split between two chunks.
        if self._after_cr:
            self._after_cr = False
            chunk = chunk.removeprefix(b"\n")
        lines = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._after_cr = chunk.endswith(b"\r")
        last = lines.pop()
        for piece in lines:
            line = piece
            if self._line:
                line = bytes(self._line + piece)
                self._line.clear()
            self._count(piece)
            if (event := self._take(line)) is not None:
                events.append(event)
        self._line += last
        self._count(last)
        return tuple(events)

    def end(self) -> tuple[ServerSentEvent, ...]:
        """The event left over at the end of the stream: the standard drops it, some model servers mean it."""
        line = bytes(self._line)
        self._line.clear()
        last = self._take(line) if line else None
        return tuple(event for event in (last, self._dispatch()) if event is not None)

    def _count(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > MAX_PENDING:
            raise SseOverflow(f"an event of more than {MAX_PENDING} bytes")

    def _take(self, line: bytes) -> ServerSentEvent | None:
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            return self._dispatch()
        if line.startswith(b"{") and not self._data:
            return ServerSentEvent(line.decode("utf-8", "replace"), self._event)
        name, _, value = line.partition(b":")
        text = value.removeprefix(b" ").decode("utf-8", "replace")
        if name == b"data":
            self._data.append(text)
        elif name == b"event":
            self._event = text
        elif name == b"error":  # llama.cpp gives errors a field of their own
            self._event = "error"
            self._data.append(text)
        return None

    def _dispatch(self) -> ServerSentEvent | None:
        event = ServerSentEvent("\n".join(self._data), self._event) if self._data else None
        self._data = []
        self._event = ""
        self._size = 0
        return event
