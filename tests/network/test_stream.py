"""The pool's connections: paced reads."""

import contextlib
import itertools
import math
import random
import ssl
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import h11
import httpx
import pytest
import trio
import trio.testing
import trustme

from oc_trio.agent.failures import Endpoint
from oc_trio.agent.http_stream import Deadlines, open_http_stream
from oc_trio.agent.openai import OpenAIAgent, OpenAISettings
from oc_trio.agent.port import Message, Role, TurnRequest
from oc_trio.core.turn_events import TextDelta
from oc_trio.ids import AgentId, SessionKey
from oc_trio.network.http1 import ClientConnection
from oc_trio.network.pool import PooledTransport
from oc_trio.network.read_pacer import ReadPacer
from oc_trio.network.stream import PacedStream
from oc_trio.network.tls import start_tls
from tests.agent.model_server import Reply, serve_model, sse

TURN = TurnRequest(AgentId("a"), SessionKey("s"), "", (Message(Role.USER, "hello"),))


def connect(pacer: ReadPacer) -> tuple[PacedStream, trio.SocketStream]:
    """A connection of the pool, and the server's end of it."""
    ours, theirs = trio.socket.socketpair()
    return PacedStream(trio.SocketStream(ours), pacer), trio.SocketStream(theirs)


@contextlib.asynccontextmanager
async def tokens(stream: trio.SocketStream, every: float) -> AsyncIterator[None]:
    """A byte is sent each `every` seconds while the block runs."""

    async def send() -> None:
        while True:
            await stream.send_all(b"t")
            await trio.sleep(every)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        yield
        nursery.cancel_scope.cancel()


async def reads(stream: PacedStream, seconds: float) -> list[int]:
    """The sizes of what each read returns within that time."""
    sizes: list[int] = []
    with trio.move_on_after(seconds):
        while True:
            sizes.append(len(await stream.receive_some(65536)))
            # The clock may only jump once nothing can be read any more.
            await trio.testing.wait_all_tasks_blocked(0.001)
    return sizes


@pytest.mark.parametrize(("others", "most"), [(0, 60), (3, 60), (39, 11), (1000, 4)])
async def test_reads_are_rarer_the_more_streams_are_live(
    autojump_clock: trio.testing.MockClock, others: int, most: int
) -> None:
    """A read brings all that came meanwhile; up to four streams are read as their bytes come."""
    pacer = ReadPacer(live=others)
    stream, server = connect(pacer)
    async with tokens(server, 0.02):
        with stream.paced():
            sizes = await reads(stream, 1.0)
    assert sum(sizes) in range(29, 52)  # of fifty, those of the last pause may be unread
    assert len(sizes) in range(most // 2, most + 1)
    assert pacer.live == others
    await stream.aclose()
    await server.aclose()


async def test_only_a_few_streams_read_in_one_pass_of_the_loop(autojump_clock: trio.testing.MockClock) -> None:
    """Whatever else goes on gets its turn between them, and none waits for longer than the others need."""
    pacer = ReadPacer(live=1000)
    woken: list[int] = []
    counts: list[int] = []

    async def reader(number: int) -> None:
        await pacer.sleep_until(1.0)
        woken.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(reader, number)
        await trio.sleep(1.0)
        while len(woken) < 100:
            counts.append(len(woken))
            await trio.lowlevel.checkpoint()
    assert trio.current_time() == pytest.approx(1.0, abs=0.01)
    assert max(after - before for before, after in itertools.pairwise(counts)) <= 16
    assert len(counts) < 50


@pytest.mark.parametrize("at", [0.5, 1.0])
@pytest.mark.parametrize("cancelled", [range(1), range(20), range(19, 20), range(40)])
async def test_a_reader_that_is_cancelled_holds_up_no_other(
    autojump_clock: trio.testing.MockClock, cancelled: range, at: float
) -> None:
    """Whichever of them slept for all, and also while they are being woken."""
    pacer = ReadPacer(live=1000)
    times: dict[int, float] = {}

    async def reader(number: int) -> None:
        await pacer.sleep_until(1.0)
        times[number] = trio.current_time()

    with trio.fail_after(5):
        async with trio.open_nursery() as others, trio.open_nursery() as ended:
            for number in range(40):
                (ended if number in cancelled else others).start_soon(reader, number)
                await trio.testing.wait_all_tasks_blocked()
            await trio.sleep_until(at)
            ended.cancel_scope.cancel()
    assert set(times) >= set(range(40)) - set(cancelled)
    assert max(times.values(), default=1.0) == pytest.approx(1.0, abs=0.01)


async def test_outside_of_an_answer_nothing_waits(autojump_clock: trio.testing.MockClock) -> None:
    """Headers, handshakes and the first text of an answer come as fast as ever."""
    stream, server = connect(ReadPacer(live=1000))
    before = trio.current_time()
    for _ in range(20):
        await server.send_all(b"t")
        assert await stream.receive_some(1) == b"t"
    assert trio.current_time() == before
    await stream.aclose()
    await server.aclose()


async def test_an_answer_is_paced_from_its_first_text_to_its_end() -> None:
    """Before it people wait for a first word, after it for the last."""
    pacer = ReadPacer()
    role, text = ({"choices": [{"delta": delta}]} for delta in ({"role": "assistant"}, {"content": "Hi"}))
    # The server holds the rest back, so that the answer is still being read.
    reply = Reply(chunks=(sse(role, done=False), sse(text, done=False)), pause=True)
    transport = PooledTransport(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), pacer=pacer)
    async with serve_model(reply) as server, httpx.AsyncClient(transport=transport) as http:
        async with OpenAIAgent(OpenAISettings(server.base_url, "m"), http).run(TURN) as events:
            assert pacer.live == 0
            assert await anext(events) == TextDelta("Hi")
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert pacer.live == 1
        assert pacer.live == 0


async def test_the_end_of_a_body_behind_the_last_event_is_read_as_it_comes() -> None:
    """Nothing that is shown is still to come, so that no pause is worth it; the answer waits for this."""
    pacer = ReadPacer()
    reply = Reply(chunks=(sse({"choices": [{"delta": {"content": "Hi"}, "finish_reason": "stop"}]}),), pause=True)
    transport = PooledTransport(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), pacer=pacer)
    async with (
        serve_model(reply) as server,
        httpx.AsyncClient(transport=transport) as http,
        open_http_stream(http, Endpoint("m"), server.base_url, {}, {}, Deadlines(linger=0.05)) as stream,
        trio.open_nursery() as nursery,
    ):
        assert await stream.next_events()
        stream.pace()
        assert pacer.live == 1
        nursery.start_soon(stream.finish)
        await trio.testing.wait_all_tasks_blocked(0.001)
        assert pacer.live == 0


HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@contextlib.asynccontextmanager
async def answer(
    pacer: ReadPacer, head: bytes = HEAD, *, is_below: bool = False
) -> AsyncIterator[tuple[ClientConnection, trio.SocketStream]]:
    """A connection on which the head of a response has come and reads are paced, and the server's end of it.

    With `is_below` what is paced lies below what is read, as it does below TLS.
    """
    stream, server = connect(pacer)
    connection = ClientConnection(trio.StapledStream(stream, stream) if is_below else stream, stream)
    await connection.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]), b"", None)
    await server.send_all(head)
    await connection.receive_head(None)
    async with stream, server:
        with stream.paced((b"[DONE]",)):
            yield connection, server


async def test_with_many_answers_several_reads_are_one_piece(autojump_clock: trio.testing.MockClock) -> None:
    """Until the answer ends: then people wait for its last word."""
    sent: list[float] = []
    pieces: list[tuple[float, int]] = []

    async def send(server: trio.SocketStream) -> None:
        for _ in range(50):
            await server.send_all(b"1\r\nt\r\n")
            sent.append(trio.current_time())
            await trio.sleep(0.1)
        await server.send_all(b"0\r\n\r\n")

    async with answer(ReadPacer(live=1000)) as (connection, server), trio.open_nursery() as nursery:
        nursery.start_soon(send, server)
        while (piece := await connection.next_piece(None)) is not None:
            pieces.append((trio.current_time(), len(piece)))
            await trio.testing.wait_all_tasks_blocked(0.001)
    assert sum(size for _, size in pieces) == 50
    assert len(pieces) <= 4
    assert trio.current_time() - sent[-1] < 0.5
    assert connection.can_be_reused()


@pytest.mark.parametrize(
    ("head", "token", "last"),
    [
        (HEAD, b"1\r\nt\r\n", b"0\r\n\r\n"),
        (HEAD, b"1\r\nt\r\n", b"6\r\n[DONE]\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n", b"t", b"t"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"t", b"[DONE]"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"t", b""),
    ],
    ids=["chunks", "done", "size", "done without size", "end of the connection"],
)
async def test_the_end_of_an_answer_is_not_held_back(
    autojump_clock: trio.testing.MockClock, head: bytes, token: bytes, last: bytes
) -> None:
    """However it is marked; a server may also keep the body open behind its last word."""
    ended: list[float] = []

    async def send(server: trio.SocketStream) -> None:
        for _ in range(20):
            await server.send_all(token)
            await trio.sleep(0.03)
        ended.append(trio.current_time())
        await (server.send_all(last) if last else server.send_eof())

    async with answer(ReadPacer(live=1000), head) as (connection, server), trio.open_nursery() as nursery:
        nursery.start_soon(send, server)
        text = b""
        while len(text) < 20 + len(last.strip(b"0\r\n").removeprefix(b"6\r\n")) and (
            piece := await connection.next_piece(None)
        ):
            text += piece
    assert text.startswith(b"t" * 20)
    # A read that brings the last word does not say that the connection has ended.
    assert trio.current_time() - ended[0] < (0.5 if last else 0.9)


async def test_an_answer_may_hold_what_looks_like_its_end(autojump_clock: trio.testing.MockClock) -> None:
    """Then a piece comes early, and the next one behind it."""
    words = [b"a[DONE]", b"0\r\n\r\n", b"b", b"\r\n0\r\n\r\n0", b"[DONE]c"]

    async def send(server: trio.SocketStream) -> None:
        for word in words:
            await server.send_all(b"%x\r\n" % len(word) + word)
            await trio.sleep(0.5)
            await server.send_all(b"\r\n")
        await server.send_all(b"0\r\n\r\n")

    async with answer(ReadPacer(live=1000)) as (connection, server), trio.open_nursery() as nursery:
        nursery.start_soon(send, server)
        text = b""
        while (piece := await connection.next_piece(None)) is not None:
            text += piece
    assert text == b"".join(words)
    assert connection.can_be_reused()


@pytest.mark.parametrize("others", [1000, 1])
async def test_what_came_before_a_reset_is_read_first(autojump_clock: trio.testing.MockClock, others: int) -> None:
    """Also where it comes while a piece is held back; then the answer has failed, also once few are left."""
    pacer = ReadPacer(live=1000)
    async with answer(pacer, b"HTTP/1.1 200 OK\r\n\r\n") as (connection, server):

        async def reset() -> None:
            await server.send_all(b"t")
            await trio.sleep(0.3)
            await connection.stream.send_all(b"unread")
            await server.aclose()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(reset)
            assert await connection.next_piece(None) == b"t"
        pacer.live += others - 1000
        for _ in range(2):
            with pytest.raises(httpx.ReadError):
                await connection.next_piece(None)
        assert trio.current_time() < 1


@pytest.mark.parametrize("seed", range(3))
async def test_answers_that_are_left_cost_others_no_word(autojump_clock: trio.testing.MockClock, seed: int) -> None:
    """One task reads for all: whichever it is, it may be cancelled at any moment."""
    chance = random.Random(seed)
    pacer = ReadPacer(live=1000)
    texts: dict[int, bytes] = {}
    late: list[float] = []

    async def one(number: int) -> None:
        words = [b"%d," % word for word in range(chance.randrange(1, 60))]
        ended: list[float] = []

        async def send(server: trio.SocketStream) -> None:
            for word in words:
                await server.send_all(b"%x\r\n%s\r\n" % (len(word), word))
                await trio.sleep(chance.random() / 10)
            await server.send_all(b"0\r\n\r\n")
            ended.append(trio.current_time())

        async with answer(pacer) as (connection, server), trio.open_nursery() as nursery:
            nursery.start_soon(send, server)
            text = b""
            with trio.move_on_after(chance.choice([math.inf, math.inf, 1 + 3 * chance.random()])) as leaving:
                while (piece := await connection.next_piece(None)) is not None:
                    text += piece
            nursery.cancel_scope.cancel()
        if not leaving.cancelled_caught:
            assert text == b"".join(words)
            late.append(trio.current_time() - ended[0])
            texts[number] = text

    async with trio.open_nursery() as nursery:
        for number in range(30):
            nursery.start_soon(one, number)
            await trio.sleep(chance.random() / 10)
    assert len(texts) > 10
    assert max(late) < 0.5
    assert pacer.live == 1000


@pytest.mark.parametrize("breaks", [False, True])
async def test_what_has_come_is_held_back_for_no_longer_than_people_notice(
    autojump_clock: trio.testing.MockClock, breaks: bool
) -> None:
    """From a model that stalls, and from a connection that breaks: then the error is next."""
    async with answer(ReadPacer(live=1000)) as (connection, server):
        began = trio.current_time()
        await server.send_all(b"1\r\nt\r\n")
        if breaks:
            await server.send_eof()
        assert await connection.next_piece(None) == b"t"
        assert trio.current_time() - began < 1
        with pytest.raises(httpx.RemoteProtocolError if breaks else trio.TooSlowError), trio.fail_after(60):
            await connection.next_piece(None)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_through_a_proxy_over_tls_a_paced_read_brings_all_that_came(
    scheme: str, autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """Each token comes in a record of its own there, and a pause before each would let the answer lag ever further."""
    authority, ours, theirs = trustme.CA(), ssl.create_default_context(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.configure_trust(ours)
    authority.issue_cert("localhost", "mm.test").configure_cert(theirs)

    async def handle(stream: trio.abc.Stream) -> None:
        if (await stream.receive_some()).startswith(b"CONNECT"):
            await stream.send_all(b"HTTP/1.1 200 Connected\r\n\r\n")
            stream = trio.SSLStream(stream, theirs, server_side=True)
            await stream.receive_some()
        await stream.send_all(HEAD)
        for _ in range(30):
            await stream.send_all(b"1\r\nt\r\n")
        await stream.send_all(b"0\r\n\r\n")

    listeners = await nursery.start(partial(trio.serve_ssl_over_tcp, handle, 0, theirs, host="localhost"))
    proxy = f"https://localhost:{listeners[0].transport_listener.socket.getsockname()[1]}"
    environ = {f"{scheme.upper()}_PROXY": proxy}
    transport = PooledTransport(ours, environ=environ, pacer=ReadPacer(live=100))
    async with (
        httpx.AsyncClient(transport=transport, timeout=None) as http,
        http.stream("GET", f"{scheme}://mm.test/") as response,
    ):
        with response.extensions["network_stream"].paced():
            began = trio.current_time()
            assert await response.aread() == b"t" * 30
    assert trio.current_time() - began < 3
    nursery.cancel_scope.cancel()


@contextlib.asynccontextmanager
async def tls_pair() -> AsyncIterator[tuple[trio.abc.Stream, trio.SSLStream[trio.StapledStream[Any, Any]], Any]]:
    """Our end of a connection over TLS, the server's, and what lies below that one."""
    authority, ours, theirs = trustme.CA(), ssl.create_default_context(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.configure_trust(ours)
    authority.issue_cert("mm.test").configure_cert(theirs)
    near, far = trio.testing.memory_stream_pair()
    server = trio.SSLStream(far, theirs, server_side=True)
    secure: list[trio.abc.Stream] = []

    async def connect() -> None:
        secure.append(await start_tls(near, ours, "mm.test"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(connect)
        nursery.start_soon(server.do_handshake)
    yield secure[0], server, far


async def test_what_came_in_many_records_is_read_at_once() -> None:
    """A model's tokens come in records of their own, as much of them as is asked for; the end is behind them."""
    async with tls_pair() as (stream, server, _):
        for number in range(30):
            await server.send_all(b"%02d" % number)
        await server.aclose()
        read = [bytes(await stream.receive_some(size)) for size in (1, 10, 65536, 65536)]
    text = b"".join(b"%02d" % number for number in range(30))
    assert read == [text[:1], text[1:11], text[11:], b""]


async def test_what_came_before_a_broken_record_is_read_first() -> None:
    """Then TLS has failed, however often it is read again."""
    async with tls_pair() as (stream, server, below):
        await server.send_all(b"one")
        await server.send_all(b"two")
        await below.send_all(b"no record")
        assert await stream.receive_some(65536) == b"onetwo"
        for _ in range(2):
            with pytest.raises(trio.BrokenResourceError):
                await stream.receive_some(65536)


async def test_no_stream_waits_for_all_others_while_the_process_is_behind(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Each gets its turn where reading takes longer than the pause between two reads."""
    pacer = ReadPacer(live=1000)
    counts = [0] * 200

    async def reader(number: int) -> None:
        while True:
            await pacer.sleep_until(trio.current_time() + pacer.pause)
            counts[number] += 1
            autojump_clock.jump(0.005)

    with trio.move_on_after(20):
        async with trio.open_nursery() as nursery:
            for number in range(len(counts)):
                nursery.start_soon(reader, number)
    assert max(counts) - min(counts) <= 3


async def test_a_connection_that_is_reset_is_no_end_of_an_answer(autojump_clock: trio.testing.MockClock) -> None:
    """The kernel says it once, and then that the connection has ended."""
    stream, server = connect(ReadPacer(live=1000))
    with stream.paced():
        await server.send_all(b"t")
        assert await stream.receive_some() == b"t"
        await stream.send_all(b"unread")
        await server.aclose()
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
    await stream.aclose()


async def test_a_connection_that_is_closed_in_a_pause_is_not_read(autojump_clock: trio.testing.MockClock) -> None:
    """Its descriptor may be another connection's by then."""
    stream, server = connect(ReadPacer(live=1000))
    caught: list[Exception] = []

    async def read() -> None:
        try:
            await stream.receive_some()
        except trio.ClosedResourceError as closed:
            caught.append(closed)

    with stream.paced():
        await server.send_all(b"t")
        assert await stream.receive_some() == b"t"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await trio.sleep(0.1)
            descriptor = stream.socket.fileno()
            await stream.aclose()
            other, far = connect(ReadPacer())
            assert descriptor in (other.socket.fileno(), far.socket.fileno())
            await far.send_all(b"of another")
    assert len(caught) == 1
    assert await other.receive_some() == b"of another"
    for each in (other, far, server):
        await each.aclose()


@pytest.mark.parametrize("is_below", [False, True])
@pytest.mark.parametrize("kept", [48 * 1024, 128 * 1024])
async def test_an_answer_that_is_faster_than_the_pauses_is_not_held_up(
    autojump_clock: trio.testing.MockClock, kept: int, is_below: bool
) -> None:
    """Where a read has brought much there is more, and people wait for it; pieces keep their size.

    The kernel keeps no more than `kept` bytes of it, or somewhat more.
    """
    size = 2**21
    sizes: list[int] = []

    async def send(server: trio.SocketStream) -> None:
        await server.send_all(b"%x\r\n%s\r\n0\r\n\r\n" % (size, b"t" * size))

    async with (
        answer(ReadPacer(live=1000), is_below=is_below) as (connection, server),
        trio.open_nursery() as nursery,
    ):
        server.socket.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_SNDBUF, kept)
        began = trio.current_time()
        nursery.start_soon(send, server)
        while (piece := await connection.next_piece(None)) is not None:
            sizes.append(len(piece))
    assert sum(sizes) == size
    assert max(sizes) <= 2**17
    assert trio.current_time() - began < 5


async def test_what_came_shortly_before_a_deadline_is_not_lost(autojump_clock: trio.testing.MockClock) -> None:
    """Gathering does not outlast what its caller waits for: a piece that came in time has come."""
    async with answer(ReadPacer(live=1000)) as (connection, server):
        await trio.sleep(0.5)
        await server.send_all(b"1\r\nt\r\n")
        with trio.fail_after(1):
            assert await connection.next_piece(None) == b"t"


async def test_a_piece_is_over_in_time_also_where_nothing_more_comes(autojump_clock: trio.testing.MockClock) -> None:
    """Its caller may be cancelled just after the time for which it may be held back."""
    async with answer(ReadPacer(live=1000), b"HTTP/1.1 200 OK\r\n\r\n") as (connection, server):

        async def send() -> None:
            async with tokens(server, 0.1):
                await trio.sleep(1.45)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            with trio.fail_after(2.1):
                assert await connection.next_piece(None) == b"t" * 15


@pytest.mark.parametrize("is_below", [False, True])
async def test_a_piece_is_over_once_few_answers_are_left(
    autojump_clock: trio.testing.MockClock, is_below: bool
) -> None:
    """The next ones are read as their bytes come."""
    pacer, head = ReadPacer(live=1000), b"HTTP/1.1 200 OK\r\n\r\n"
    async with answer(pacer, head, is_below=is_below) as (connection, server), tokens(server, 0.1):

        async def end_others() -> None:
            await trio.sleep(0.6)
            pacer.live -= 1000

        async with trio.open_nursery() as nursery:
            nursery.start_soon(end_others)
            assert await connection.next_piece(None)
        assert trio.current_time() < 0.9
        assert await connection.next_piece(None)
        assert trio.current_time() < 1.1
