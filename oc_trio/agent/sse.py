"""Decodes server-sent events incrementally: bytes in, complete events out. Pure; it reads no socket.

Rules: WHATWG HTML, section 9.2.6 (LF, CR and CRLF end a line; one leading space of a value is dropped; a BOM at the
start is skipped; comments and unknown fields are ignored; an event without data is dropped). One rule is ours: a line
that begins as a JSON object is an event of its own, since servers write errors into a stream without its framing.
"""

import re

from oc_trio.classes import frozen

# A model's event is a few hundred bytes; images generated inline reach megabytes. More is a runaway server.
MAX_PENDING = 8 * 1024 * 1024
# Bytes of the largest events that are decoded together: larger ones may be parsed in a thread.
_MOST_TOGETHER = 64 * 1024
# What comes before the JSON object that the first of them holds.
_BEGINNING = re.compile(rb"(?:event: ?([\w.-]{1,64})\n)?data: ?(?=\{)")


class SseOverflow(ValueError):
    """A single event grew past `MAX_PENDING` bytes."""


@frozen
class ServerSentEvent:
    """One event; `event` is empty where the server named no type (which the standard reads as `message`)."""

    data: str
    event: str = ""


@frozen
class EventLines:
    """Events of one type that are a line of data each, one or more, as nearly all events of an answer are."""

    event: str
    lines: list[bytes]

    def events(self, start: int = 0) -> tuple[ServerSentEvent, ...]:
        """The events one by one, from the one at `start` on."""
        return tuple(ServerSentEvent(line.decode("utf-8", "replace"), self.event) for line in self.lines[start:])


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

    def take_lines(self, chunk: bytes) -> tuple[EventLines | None, bytes]:
        """The events that `chunk` completes at its beginning, where they are all alike, and the rest, which is to be
        fed. What `feed` makes of the whole chunk is the same.
        """
        if self._data or self._event or self._after_cr or self._at_start:
            return None, chunk
        if len(self._line) + len(chunk) > _MOST_TOGETHER:
            return None, chunk
        text = self._line + chunk if self._line else chunk
        if b"\r" in text:
            text = text.replace(b"\r\n", b"\n")
        if (beginning := _BEGINNING.match(text)) is None or b"\r" in text or (end := text.rfind(b"\n\n")) < 0:
            return None, chunk
        separator = b"\n\n" + beginning[0]
        lines = bytes(text[beginning.end() : end]).split(separator)
        # There are more line ends where one of the events has other fields. A space may be one that is dropped.
        if text.count(b"\n", beginning.end(), end) != (len(lines) - 1) * separator.count(b"\n"):
            return None, chunk
        if separator + b" " in text:
            return None, chunk
        self._line.clear()
        self._size = 0
        return EventLines((beginning[1] or b"").decode(), lines), bytes(text[end + 2 :])

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
