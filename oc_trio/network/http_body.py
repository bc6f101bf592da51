"""Decodes the body of an HTTP/1.1 response: of a known size, in chunks, or up to the end of the connection. Pure.

RFC 9112, sections 6 and 7; the head, which says how the body ends, has been checked by h11.
"""

import re
from collections.abc import Iterable
from typing import Protocol

CUT_OFF = "the server closed the connection in the middle of its answer"

# Bytes of a chunk's first line, and of all trailers; both are ignored but for the size.
_LINE_BYTES = 16 * 1024
_CHUNK = re.compile(rb"([0-9a-fA-F]{1,16})[ \t]*(?:;[^\x00-\x08\x0a-\x1f]*)?")
# The first lines of nearly all chunks of a streamed answer, each of which holds a token.
_SIZES = {line: size for size in range(1, 1024) for line in (b"%x" % size, b"%X" % size)}


class Body(Protocol):
    """`is_whole` says that its end has come, `problem` why it never will; `has_rest` that more came than the body."""

    is_whole: bool
    has_rest: bool
    problem: str

    def feed(self, data: bytes) -> bytes:
        """What the next bytes of the connection, b"" for its end, hold of the body."""
        ...

    def may_end(self, size: int, tail: bytes) -> bool:
        """Whether the body may end with the next `size` bytes of the connection, of which `tail` are the last."""
        ...


def body_of(method: bytes, status: int, headers: Iterable[tuple[bytes, bytes]]) -> Body:
    """The decoder for a response to `method` with these headers, whose names are in lower case."""
    named = dict(headers)
    if method == b"HEAD" or status in (204, 304):
        return SizedBody(0)
    if b"transfer-encoding" in named:
        return ChunkedBody()
    if (size := named.get(b"content-length")) is not None:
        return SizedBody(int(size))
    return EndlessBody()


class SizedBody:
    """As many bytes as the head says."""

    def __init__(self, size: int) -> None:
        self._left = size
        self.is_whole = not size
        self.has_rest = False
        self.problem = ""

    def feed(self, data: bytes) -> bytes:
        if not data:
            self.problem = CUT_OFF
        self.has_rest = len(data) > self._left
        piece = data[: self._left]
        self._left -= len(piece)
        self.is_whole = not self._left
        return piece

    def may_end(self, size: int, tail: bytes) -> bool:
        return size >= self._left


class EndlessBody:
    """All that comes until the connection ends."""

    def __init__(self) -> None:
        self.is_whole = self.has_rest = False
        self.problem = ""

    def feed(self, data: bytes) -> bytes:
        self.is_whole = not data
        return data

    def may_end(self, size: int, tail: bytes) -> bool:
        return False


class ChunkedBody:
    """Chunks, each behind a line with its size; trailers are dropped."""

    def __init__(self) -> None:
        self.is_whole = self.has_rest = False
        self.problem = ""
        self._buffer = b""  # a line that is not complete
        self._left = 0  # of the chunk
        self._is_line_due = False  # the one that ends a chunk
        self._trailer_bytes = -1  # not reached yet

    def feed(self, data: bytes) -> bytes:
        if not data:
            self.problem = CUT_OFF
            return b""
        data = self._buffer + data
        pieces: list[bytes] = []
        at = 0
        if not self._left and not self._is_line_due and self._trailer_bytes < 0 and not self.problem:
            at = _take_whole_chunks(data, pieces)
        while not self.is_whole and not self.problem:
            if self._left:
                piece = data[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                self._is_line_due = not self._left
            if (end := -1 if self._left else data.find(b"\r\n", at)) < 0:
                break
            self._take_line(data[at:end])
            at = end + 2
        self.has_rest = self.is_whole and at < len(data)
        self._buffer = data[at:]
        # A chunk ends with its line: anything else there is no line of ours, however long it is.
        if len(self._buffer) > (2 if self._is_line_due else _LINE_BYTES):
            self.problem = self.problem or "a line of its answer is too long"
        return b"".join(pieces)

    def may_end(self, size: int, tail: bytes) -> bool:
        return tail.endswith(b"0\r\n\r\n")

    def _take_line(self, line: bytes) -> None:
        if self._is_line_due:
            self._is_line_due = False
            self.problem = "a chunk of its answer is longer than it says" if line else ""
        elif self._trailer_bytes >= 0:
            self.is_whole = not line
            self._trailer_bytes += len(line)
            self.problem = "the trailers of its answer are too long" if self._trailer_bytes > _LINE_BYTES else ""
        elif (match := _CHUNK.fullmatch(line)) is None:
            self.problem = "its answer is not in chunks as its head says"
        else:
            self._left = int(match[1], 16)
            self._trailer_bytes = -1 if self._left else 0


def _take_whole_chunks(data: bytes, pieces: list[bytes]) -> int:
    """Append what the small chunks hold that `data` begins with; returns where they end."""
    at = 0
    while (end := data.find(b"\r\n", at)) > 0 and (size := _SIZES.get(data[at:end])):
        begin = end + 2
        stop = begin + size
        if not data.startswith(b"\r\n", stop):
            break
        pieces.append(data[begin:stop])
        at = stop + 2
    return at
