"""Connections below httpx: what is written and read, which are used again, and errors in httpx's words."""

import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import httpx
import pytest
import trio
import trio.testing
from attrs import define, field

from oc_trio.network.pool import PooledTransport

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
URL = "http://mm.test/"


@define
class Server:
    """Answers each read with the next of its answers; `None` closes the connection. `reads` is what came, in order;
    `ended` are the numbers of the connections that the client has closed.
    """

    answers: Sequence[bytes | None] = (OK,)
    reads: list[bytes] = field(factory=list)
    streams: list[trio.SocketStream] = field(factory=list)
    ended: list[int] = field(factory=list)
    _nursery: trio.Nursery | None = None

    async def dial(self, host: str, port: int) -> trio.SocketStream:
        ours, theirs = trio.socket.socketpair()
        stream = trio.SocketStream(theirs)
        self.streams.append(stream)
        assert self._nursery is not None
        self._nursery.start_soon(self._serve, stream)
        return trio.SocketStream(ours)

    async def _serve(self, stream: trio.SocketStream) -> None:
        with contextlib.suppress(trio.ClosedResourceError, trio.BrokenResourceError):
            async with stream:
                for answer in (*self.answers, b""):
                    data = bytes(await stream.receive_some())
                    if not data:
                        self.ended.append(self.streams.index(stream))
                        break
                    self.reads.append(data)
                    if answer is None:
                        break
                    await stream.send_all(answer)

    @contextlib.asynccontextmanager
    async def client(self, **limits: int) -> AsyncIterator[httpx.AsyncClient]:
        async with trio.open_nursery() as self._nursery:
            transport = PooledTransport(
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
                dial=self.dial,
                environ={},
                max_connections=limits.get("most", 100),
                max_idle=limits.get("idle", 100),
            )
            async with httpx.AsyncClient(transport=transport, timeout=30) as http:
                yield http
            self._nursery.cancel_scope.cancel()


async def test_a_request_leaves_in_one_write() -> None:
    """The server wakes once for it."""
    server = Server()
    async with server.client() as http:
        assert (await http.post(URL, content=b"hello")).text == "ok"
    assert len(server.reads) == 1
    assert server.reads[0].endswith(b"\r\n\r\nhello")


async def test_a_streamed_body_is_written_as_it_comes() -> None:
    """In pieces that are worth a write."""

    async def body() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * 40_000

    server = Server()
    async with server.client() as http:
        headers = {"Content-Length": "120000"}
        assert (await http.post(URL, content=body(), headers=headers)).text == "ok"
    assert len(server.reads[0]) < 120_000  # it could read before all was there


async def test_what_arrived_together_is_one_piece() -> None:
    """A model's tokens are chunks of their own."""
    answer = CHUNKED + b"3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n"
    async with Server((answer,)).client() as http, http.stream("GET", URL) as response:
        assert [piece async for piece in response.aiter_raw()] == [b"onetwothree"]


async def test_what_came_before_an_error_is_read_first() -> None:
    """The words of an answer that breaks off are shown."""
    answer = CHUNKED + b"3\r\none\r\nno chunk\r\n"
    async with Server((answer,)).client() as http, http.stream("GET", URL) as response:
        pieces = response.aiter_raw()
        assert await anext(pieces) == b"one"
        with pytest.raises(httpx.RemoteProtocolError):
            await anext(pieces)


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok"])
async def test_an_answer_that_breaks_off_is_a_protocol_error(answer: bytes) -> None:
    """Nothing, no HTTP, and half of a body."""

    async def handle(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(answer)
        await stream.aclose()

    async with served(handle) as http:
        with pytest.raises(httpx.RemoteProtocolError):
            await http.get(URL)


async def test_a_refusal_before_the_whole_body_is_read() -> None:
    """A server that takes no such large file says so and closes."""

    class Endless(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                yield b"x" * 100_000
                await trio.lowlevel.checkpoint()

    async def handle(stream: trio.SocketStream) -> None:
        await stream.receive_some(1000)
        await stream.send_all(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 5\r\n\r\nlarge")
        await stream.aclose()

    async with served(handle) as http:
        response = await http.send(
            httpx.Request("POST", URL, stream=Endless(), headers={"Host": "mm.test", "Transfer-Encoding": "chunked"})
        )
        assert (response.status_code, response.text) == (413, "large")


async def test_interim_answers_are_skipped() -> None:
    """100 and 103 come before the answer."""
    async with Server((b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK,)).client() as http:
        assert (await http.get(URL)).text == "ok"


@pytest.mark.parametrize(
    ("answer", "connections"),
    [
        (OK, 1),
        (CHUNKED + b"2\r\nok\r\n0\r\n\r\n", 1),
        (OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), 2),
        (OK.replace(b"1.1", b"1.0"), 2),
    ],
)
async def test_which_connections_are_used_again(answer: bytes, connections: int) -> None:
    """Those that the server keeps."""
    server = Server((answer, answer))
    async with server.client() as http:
        for _ in range(2):
            assert (await http.get(URL)).text == "ok"
    assert len(server.streams) == connections


async def test_a_connection_that_the_server_closed_is_not_used_again() -> None:
    """It may close an idle one at any time."""
    server = Server()
    async with server.client() as http:
        await http.get(URL)
        await server.streams[0].aclose()
        assert (await http.get(URL)).text == "ok"
    assert len(server.streams) == 2


async def test_an_idle_connection_is_closed_after_a_while(autojump_clock: trio.testing.MockClock) -> None:
    """Before the server or something in between has forgotten it."""
    server = Server((OK, OK))
    async with server.client() as http:
        await http.get(URL)
        await trio.sleep(61)
        await http.get(URL)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert server.ended == [0]
    assert len(server.streams) == 2


async def test_a_half_read_answer_ends_its_connection() -> None:
    """Its rest would be read as the next answer."""
    server = Server((b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok", OK))
    async with server.client() as http:
        async with http.stream("GET", URL) as response:
            assert response.status_code == 200
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert server.ended == [0]


async def test_connections_are_bounded(autojump_clock: trio.testing.MockClock) -> None:
    """Whoever waits too long for one is told; each that ends makes room, one that failed too."""
    server = Server((OK, None))
    async with server.client(most=1) as http:
        async with http.stream("GET", URL):
            with pytest.raises(httpx.PoolTimeout):
                await http.get(URL)
        assert (await http.get(URL)).text == "ok"
        with pytest.raises(httpx.RemoteProtocolError):
            await http.get(URL)
        assert (await http.get(URL)).text == "ok"


async def test_idle_connections_are_bounded() -> None:
    """The oldest one is closed."""
    server = Server()
    async with server.client(idle=1) as http:
        async with http.stream("GET", URL) as first, http.stream("GET", URL) as second:
            await first.aread()
            await second.aread()
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert server.ended == [0]


async def test_a_cancelled_request_closes_its_connection(autojump_clock: trio.testing.MockClock) -> None:
    """Its answer would be taken for the next one's."""
    server = Server((b"",))
    async with server.client() as http:
        with trio.move_on_after(1):
            await http.get(URL)
        with pytest.raises(httpx.ReadTimeout):
            await http.get(URL)
    assert len(server.streams) == 2


async def test_a_connection_that_cannot_be_made(autojump_clock: trio.testing.MockClock) -> None:
    """Refused, and without an answer."""

    async def refuse(host: str, port: int) -> trio.SocketStream:
        raise ConnectionRefusedError(f"{host}:{port} refused")

    async def never(host: str, port: int) -> trio.SocketStream:
        await trio.sleep_forever()
        raise AssertionError

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    async with httpx.AsyncClient(transport=PooledTransport(context, dial=refuse, environ={})) as http:
        with pytest.raises(httpx.ConnectError, match=r"mm\.test:80 refused"):
            await http.get(URL)
    async with httpx.AsyncClient(transport=PooledTransport(context, dial=never, environ={}), timeout=30) as http:
        with pytest.raises(httpx.ConnectTimeout):
            await http.get("https://mm.test/")


async def test_a_header_that_http_does_not_allow() -> None:
    """Nothing is sent."""
    server = Server()
    async with server.client() as http:
        with pytest.raises(httpx.LocalProtocolError):
            await http.get(URL, headers={"X-Bad": "a\nb"})
        assert (await http.get(URL)).text == "ok"
    assert len(server.reads) == 1


@contextlib.asynccontextmanager
async def served(handle: Callable[[trio.SocketStream], Awaitable[None]]) -> AsyncIterator[httpx.AsyncClient]:
    """A client whose connections are handled by `handle`."""

    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            await handle(stream)

    async with trio.open_nursery() as nursery:

        async def dial(host: str, port: int) -> trio.SocketStream:
            ours, theirs = trio.socket.socketpair()
            nursery.start_soon(serve, trio.SocketStream(theirs))
            return trio.SocketStream(ours)

        transport = PooledTransport(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), dial=dial, environ={})
        async with httpx.AsyncClient(transport=transport, timeout=30) as http:
            yield http
        nursery.cancel_scope.cancel()


async def test_a_head_is_read_however_it_is_cut(autojump_clock: trio.testing.MockClock) -> None:
    """Byte by byte, an interim answer before it."""

    async def handle(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        for byte in b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK:
            await stream.send_all(bytes([byte]))
            await trio.sleep(0.01)

    async with served(handle) as http:
        assert (await http.get(URL)).text == "ok"
