"""One request is sent and read under deadlines, and nothing half-read is left behind."""

import gc
import gzip

import httpx
import pytest
import trio

from oc_trio.agent import exchange
from oc_trio.agent.exchange import Deadlines, open_exchange
from oc_trio.agent.failures import Endpoint
from oc_trio.agent.sse import ServerSentEvent
from oc_trio.errors import AgentFailed, AgentUnavailable
from tests.agent.model_server import ModelServer, Reply, client, serve_model

HERE = Endpoint("m")


async def read(server: ModelServer, http: httpx.AsyncClient) -> list[ServerSentEvent]:
    found: list[ServerSentEvent] = []
    async with open_exchange(http, HERE, server.base_url, {}, {}, Deadlines()) as answer:
        while (events := await answer.next_events()) is not None:
            found += events
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


async def test_an_event_without_end_is_refused() -> None:
    """Memory is bounded."""
    piece = b"x" * (exchange._WHOLE_BODY // 16 + 1)
    async with serve_model(Reply(chunks=(piece,) * 16, pause=True)) as server, client() as http:
        with pytest.raises(AgentFailed, match="an event of more than"):
            await read(server, http)
        with trio.fail_after(2):
            await server.gone.wait()
    gc.collect()


async def test_a_whole_answer_without_end_is_refused() -> None:
    """The same for a server that doesn't stream."""
    piece = b"x" * (exchange._WHOLE_BODY // 16 + 1)

    async with (
        serve_model(Reply(chunks=(piece,) * 16, pause=True)) as server,
        client() as http,
        open_exchange(http, HERE, server.base_url, {}, {}, Deadlines()) as answer,
    ):
        with pytest.raises(AgentFailed, match="too big"):
            await answer.read_whole()
    gc.collect()


async def test_a_body_that_goes_on_after_the_last_event_is_not_waited_for() -> None:
    """The linger is short, and then the connection is closed."""
    async with serve_model(Reply(chunks=(b"data: a\n\n",), pause=True)) as server, client() as http:
        async with open_exchange(http, HERE, server.base_url, {}, {}, Deadlines(linger=0.05)) as answer:
            await answer.next_events()
            with trio.fail_after(2):
                await answer.finish()
        with trio.fail_after(2):
            await server.gone.wait()


async def test_a_server_that_does_not_even_answer_is_given_up() -> None:
    """A connection that is accepted and then ignored."""
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, _ignore, 0)
        url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        async with client() as http:
            with pytest.raises(AgentUnavailable, match=r"no answer in 0\.1 s"):
                async with open_exchange(http, HERE, url, {}, {}, Deadlines(first_token=0.1)):
                    pass
        nursery.cancel_scope.cancel()


async def _ignore(stream: trio.SocketStream) -> None:
    await trio.sleep_forever()
