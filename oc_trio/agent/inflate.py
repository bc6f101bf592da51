"""Decompresses a response body in small pieces, so that a decompression bomb can't fill the memory. Pure."""

import zlib
from collections.abc import Iterator

# Bytes of one piece; other tasks run between two of them.
PIECE = 64 * 1024


class BadCompression(ValueError):
    """The body is not compressed as its header says."""


class Inflater:
    """`encoding` is the value of `Content-Encoding`: none, gzip or deflate; we ask for no other."""

    def __init__(self, encoding: str) -> None:
        self._is_plain = encoding.strip().lower() in ("", "identity")
        if not self._is_plain and encoding.strip().lower() not in ("gzip", "x-gzip", "deflate"):
            raise BadCompression(f"compressed as {encoding.strip()[:40]!r}, which was not asked for")
        self._zlib = zlib.decompressobj(zlib.MAX_WBITS | 32)  # gzip or zlib, by its first bytes
        self._has_begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The pieces of at most `PIECE` bytes that `data` holds. Raises BadCompression."""
        if self._is_plain:
            yield from (data[at : at + PIECE] for at in range(0, len(data), PIECE))
            return
        while data:
            piece = self._inflated(data)
            self._has_begun = True
            # A gzip stream may have several members; bytes after a zlib stream are ignored.
            data = self._zlib.unconsumed_tail
            if self._zlib.eof and (rest := self._zlib.unused_data):
                self._zlib, data = zlib.decompressobj(zlib.MAX_WBITS | 32), rest.lstrip(b"\0")
            if piece:
                yield piece

    def _inflated(self, data: bytes) -> bytes:
        try:
            return self._zlib.decompress(data, PIECE)
        except zlib.error:
            if self._has_begun:
                raise BadCompression("its compression is broken") from None
        self._has_begun = True
        self._zlib = zlib.decompressobj(-zlib.MAX_WBITS)  # deflate without its header, as some servers have it
        try:
            return self._zlib.decompress(data, PIECE)
        except zlib.error:
            raise BadCompression("not compressed as its header says") from None
