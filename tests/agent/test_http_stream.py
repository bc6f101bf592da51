"""One request is sent and read under deadlines, and nothing half-read is left behind."""

import gc
import gzip
import zlib
from functools import partial

import httpx
import pytest
import trio

from oc_trio.agent import http_stream
from oc_trio.agent.failures import BROKEN, GARBLED, TOO_BIG, Endpoint
from oc_trio.agent.http_stream import Deadlines, Events, open_http_stream
from oc_trio.agent.inflate import PIECE
from oc_trio.agent.sse import MAX_PENDING, EventLines, ServerSentEvent
from oc_trio.errors import AgentFailed, AgentUnavailable
from tests.agent.model_server import ModelServer, Reply, client, serve_model

HERE = Endpoint("m")


def one_by_one(events: Events) -> list[ServerSentEvent]:
    """Also those that came together."""
    return [each for one in events for each in (one.events() if isinstance(one, EventLines) else (one,))]


async def read(server: ModelServer, http: httpx.AsyncClient) -> list[ServerSentEvent]:
    found: list[ServerSentEvent] = []
    async with open_http_stream(http, HERE, server.base_url, {}, {}, Deadlines()) as answer:
        while (events := await answer.next_events()) is not None:
            found += one_by_one(events)
        assert await answer.next_events() is None
    return found


async def test_a_body_is_read_to_its_end() -> None:
    """The unfinished last event included, compressed or not."""
    body = b"data: a\n\ndata: b"
    packed = Reply(body=gzip.compress(body), headers=(("content-encoding", "gzip"),))
    async with serve_model(Reply(body=body), packed) as server, client() as http:
        for _ in range(2):
            assert await read(server, http) == [ServerSentEvent("a"), ServerSentEvent("b")]
    assert server.connections == 1


@pytest.mark.slow
async def test_an_event_without_end_is_refused() -> None:
    """Memory is bounded."""
    piece = b"x" * (MAX_PENDING // 16 + 1)
    async with serve_model(Reply(chunks=(b"data: ", *(piece,) * 16), pause=True)) as server, client() as http:
        with pytest.raises(AgentFailed, match="an event of more than"):
            await read(server, http)
        with trio.fail_after(30):
            await server.gone.wait()
    gc.collect()


async def test_a_whole_answer_without_end_is_refused() -> None:
    """The same for a server that doesn't stream."""
    piece = b"[" * (MAX_PENDING // 16 + 1)
    async with serve_model(Reply(chunks=(piece,) * 16, pause=True)) as server, client() as http:
        with pytest.raises(AgentFailed, match="in one piece") as caught:
            await read(server, http)
    assert caught.value.for_user == TOO_BIG
    gc.collect()


@pytest.mark.slow
async def test_a_compressed_body_is_bounded_by_what_it_holds() -> None:
    """A few kilobytes that would fill the memory; meanwhile others get their turn."""
    event = b"data: {}" + b" " * 1000 + b"\n\n"
    bomb = zlib.compress(event * (2 * http_stream.MAX_BODY // len(event)), 9)
    turns, is_over = 0, False

    async def others() -> None:
        nonlocal turns
        while not is_over:
            turns += 1
            await trio.lowlevel.checkpoint()

    packed = Reply(body=bomb, headers=(("content-encoding", "deflate"),))
    async with serve_model(packed) as server, client() as http, trio.open_nursery() as nursery:
        nursery.start_soon(others)
        with pytest.raises(AgentFailed, match="an answer of more than") as caught:
            await read(server, http)
        is_over = True
    assert caught.value.for_user == TOO_BIG
    assert turns > http_stream.MAX_BODY // PIECE
    gc.collect()


@pytest.mark.parametrize(
    ("body", "events"),
    [
        (b'{"a": 1}', ['{"a": 1}']),
        (b'\xef\xbb\xbf\n {"a":\n 1}\n', ['{"a":\n 1}']),
        (b'{"a": 1}\n{"a": 2}\n', ['{"a": 1}', '{"a": 2}']),
        (b"\xef\xbb\xbfdata: a\n\n", ["a"]),
        (b'data: a\n\n{"error": "b"}\n', ["a", '{"error": "b"}']),
        (b": ping\n\n", []),
        (b"", []),
    ],
)
async def test_what_came_is_seen_by_its_first_bytes(body: bytes, events: list[str]) -> None:
    """The kind of a body is recognised by its first bytes, whatever its type and pieces are."""
    whole = Reply(body=body, content_type="application/json")
    cut = Reply(chunks=tuple(body[at : at + 1] for at in range(len(body))), content_type="text/plain")
    async with serve_model(whole, cut) as server, client() as http:
        for _ in range(2):
            assert [event.data for event in await read(server, http)] == events


@pytest.mark.parametrize(
    "reply",
    [
        Reply(body=b"<html><title>Sign in sk-secret-key-12</title>", content_type="text/html"),
        Reply(body=b"Internal trouble sk-secret-key-12\n" + b"x" * 9_000, content_type="text/html"),
    ],
    ids=["page", "text"],
)
async def test_what_is_no_answer_is_named(reply: Reply) -> None:
    """Status, type and the first 200 characters, without keys."""
    async with serve_model(reply) as server, client() as http:
        with pytest.raises(AgentFailed, match="HTTP 200, text/html: not an answer: ") as caught:
            await read(server, http)
    assert "sk-secret" not in str(caught.value)
    assert len(str(caught.value)) < 300
    assert caught.value.for_user == GARBLED


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate"])
async def test_a_body_that_is_not_compressed_as_it_says_is_a_failure(encoding: str) -> None:
    """A body that is not compressed as its header says is a failure with a sentence."""
    reply = Reply(body=b"data: a\n\n", headers=(("content-encoding", encoding),))
    async with serve_model(reply) as server, client() as http:
        with pytest.raises(AgentFailed) as caught:
            await read(server, http)
    assert caught.value.for_user == GARBLED


async def test_one_value_that_is_no_answer_has_not_broken_off() -> None:
    """What can't be read is garbled where it is the first event, and broken off where an event came before it."""
    reply = Reply(body=b"data: a\n\ndata: b\n\n")
    async with (
        serve_model(reply) as server,
        client() as http,
        open_http_stream(http, HERE, server.base_url, {}, {}, Deadlines()) as answer,
    ):
        words = [answer.unreadable(event.data) for event in one_by_one(await answer.next_events() or ())]
        await answer.finish()
    assert [one.for_user for one in words if isinstance(one, AgentFailed)] == [GARBLED, BROKEN]


async def test_a_body_that_goes_on_after_the_last_event_is_not_waited_for() -> None:
    """The linger is short, and then the connection is closed."""
    async with serve_model(Reply(chunks=(b"data: a\n\n",), pause=True)) as server, client() as http:
        async with open_http_stream(http, HERE, server.base_url, {}, {}, Deadlines(linger=0.05)) as answer:
            await answer.next_events()
            with trio.fail_after(30):
                await answer.finish()
        with trio.fail_after(30):
            await server.gone.wait()


async def test_a_server_that_does_not_even_answer_is_given_up() -> None:
    """A connection that is accepted and then ignored."""
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, _ignore, 0)
        url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        async with client() as http:
            with pytest.raises(AgentUnavailable, match=r"no answer in 0\.1 s"):
                async with open_http_stream(http, HERE, url, {}, {}, Deadlines(first_token=0.1)):
                    pass
        nursery.cancel_scope.cancel()


async def _ignore(stream: trio.SocketStream) -> None:
    await trio.sleep_forever()


async def test_what_comes_behind_an_error_does_not_hide_it() -> None:
    """Bytes behind the event that ended the reading may break the protocol: it is that event that counts."""

    async def answer_badly(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            event = b"data: a\n\n"
            head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            await stream.send_all(head + b"%x\r\n%s\r\n" % (len(event), event) + b"no length\r\n")
            await stream.receive_some()

    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, answer_badly, 0, host="127.0.0.1")
        (listener,) = await nursery.start(serve)
        url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"

        async def read_one(http: httpx.AsyncClient) -> None:
            async with open_http_stream(http, HERE, url, {}, {}, Deadlines()) as answer:
                assert await answer.next_events()
                raise AgentFailed("an error event", for_user="no")

        async with client() as http:
            with pytest.raises(AgentFailed, match="an error event"):
                await read_one(http)
        nursery.cancel_scope.cancel()
