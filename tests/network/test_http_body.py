"""Bodies of responses: whole however their bytes are cut, and with a reason where they are not."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.network.http_body import CUT_OFF, Body, ChunkedBody, EndlessBody, SizedBody, body_of

CHUNKS = b"3\r\none\r\nA;name=value\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n"


def read(body: Body, data: bytes, size: int) -> bytes:
    """Feed `data` in pieces of `size` bytes, and return what is read of it."""
    return b"".join(body.feed(data[at : at + size]) for at in range(0, len(data), size))


@pytest.mark.parametrize("size", range(1, len(CHUNKS) + 1))
def test_chunks_are_joined_however_they_are_cut(size: int) -> None:
    """Sizes, names and trailers are no part of the body."""
    body = ChunkedBody()
    assert read(body, CHUNKS, size) == b"one0123456789"
    assert (body.is_whole, body.has_rest, body.problem) == (True, False, "")


@given(st.lists(st.binary(min_size=1, max_size=40)), st.integers(1, 50))
def test_chunks_are_read_as_h11_writes_them(pieces: list[bytes], size: int) -> None:
    """What another implementation sends."""
    server = h11.Connection(h11.SERVER)
    server.receive_data(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    server.next_event()
    server.next_event()
    server.send(h11.Response(status_code=200, headers=[("Transfer-Encoding", "chunked")]))
    data = b"".join(server.send(h11.Data(data=piece)) or b"" for piece in pieces)
    data += server.send(h11.EndOfMessage()) or b""
    body = ChunkedBody()
    assert read(body, data, size) == b"".join(pieces)
    assert body.is_whole


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"3\r\none\r\nthree\r\n", "not in chunks"),
        (b"3\r\none\r\n-3\r\n", "not in chunks"),
        (b"3\r\none\r\n+3\r\n", "not in chunks"),
        (b"3\r\none\r\n0x3\r\n", "not in chunks"),
        (b"3\r\none\r\n" + b"3" * 17 + b"\r\n", "not in chunks"),
        (b"3\r\none\r\n3;a\x00b\r\n", "not in chunks"),
        (b"3\r\none and more\r\n", "longer than it says"),
        (b"3\r\none and more", "too long"),
        (b"3\r\none\r\n3;" + b"a" * 20_000, "too long"),
        (b"3\r\none\r\n0\r\n" + b"a: b\r\n" * 5_000, "too long"),
        (b"3\r\none\r\n", CUT_OFF),
    ],
)
def test_what_came_before_a_mistake_is_kept(data: bytes, words: str) -> None:
    """It says what is wrong, and quotes nothing."""
    body = ChunkedBody()
    assert body.feed(data) == b"one"
    if not body.problem:
        assert body.feed(b"") == b""
    assert words in body.problem
    assert not body.is_whole


def test_bytes_after_the_end_are_noticed() -> None:
    """The connection can't be used again: nobody asked for them."""
    chunked, sized = ChunkedBody(), SizedBody(3)
    assert chunked.feed(b"3\r\none\r\n0\r\n\r\nHTTP/1.1") == b"one"
    assert sized.feed(b"one and more") == b"one"
    assert [chunked.has_rest, sized.has_rest] == [True, True]


def test_a_size_is_kept_to() -> None:
    """And a body that ends before is cut off."""
    body = SizedBody(5)
    assert (body.feed(b"abc"), body.is_whole) == (b"abc", False)
    assert (body.feed(b"de"), body.is_whole) == (b"de", True)
    body = SizedBody(5)
    body.feed(b"abc")
    assert (body.feed(b""), body.problem) == (b"", CUT_OFF)


@pytest.mark.parametrize(
    ("method", "status", "headers", "expected"),
    [
        (b"GET", 200, [(b"content-length", b"3")], SizedBody),
        (b"GET", 200, [(b"transfer-encoding", b"chunked"), (b"content-length", b"3")], ChunkedBody),
        (b"GET", 200, [], EndlessBody),
    ],
)
def test_the_head_says_how_a_body_ends(
    method: bytes, status: int, headers: list[tuple[bytes, bytes]], expected: type[Body]
) -> None:
    """Chunks count more than a size."""
    assert isinstance(body_of(method, status, headers), expected)


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304)])
def test_some_answers_have_no_body(method: bytes, status: int) -> None:
    """Whatever their head says."""
    assert body_of(method, status, [(b"content-length", b"3")]).is_whole


def test_without_a_size_all_belongs_to_the_body() -> None:
    """Until the server closes the connection."""
    body = EndlessBody()
    assert (body.feed(b"abc"), body.is_whole) == (b"abc", False)
    assert (body.feed(b""), body.is_whole) == (b"", True)
