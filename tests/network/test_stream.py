"""The pool's connections: paced reads."""

import contextlib
import ssl
from collections.abc import AsyncIterator

import httpx
import pytest
import trio
import trio.testing

from oc_trio.agent.openai import OpenAIAgent, OpenAISettings
from oc_trio.agent.port import Message, Role, TurnRequest
from oc_trio.core.turn_events import TextDelta
from oc_trio.ids import AgentId, SessionKey
from oc_trio.network.pool import PooledTransport
from oc_trio.network.stream import PacedStream, ReadPacer
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


@pytest.mark.parametrize(("others", "most"), [(0, 60), (3, 60), (39, 11), (1000, 3)])
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
