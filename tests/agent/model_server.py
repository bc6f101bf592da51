"""A model's server on loopback: h11 over Trio, playing one prepared answer per request and recording what it saw."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import h11
import httpx
import trio
from attrs import define, field, frozen

from oc_trio.agent.http_client import open_model_client
from oc_trio.agent.port import Agent, ToolCall, ToolResult, ToolSpec, TurnRequest
from oc_trio.core.turn_events import AgentEvent, TextDelta

Write = Callable[[bytes], Awaitable[None]]


@frozen
class RecordedRequest:
    """One request as the server read it."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@frozen
class Reply:
    """A whole answer, or `chunks` written one by one; then `pause` waits for the reader to go, `cut` hangs up."""

    status: int = 200
    body: bytes = b""
    chunks: tuple[bytes, ...] = ()
    content_type: str = "text/event-stream"
    headers: tuple[tuple[str, str], ...] = ()
    pause: bool = False
    cut: bool = False


@define
class ModelServer:
    """`replies` are played in order; `gone` is set when a client closed during a pause."""

    base_url: str = ""
    replies: list[Reply] = field(factory=list)
    requests: list[RecordedRequest] = field(factory=list)
    connections: int = 0
    gone: trio.Event = field(factory=trio.Event)

    async def handle(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        conn = h11.Connection(h11.SERVER)
        async with stream:
            while await self._one(conn, stream):
                conn.start_next_cycle()

    async def _one(self, conn: h11.Connection, stream: trio.SocketStream) -> bool:
        request, body = None, bytearray()
        while True:
            event = conn.next_event()
            if event is h11.NEED_DATA:
                conn.receive_data(await stream.receive_some())
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                return False
        assert request is not None
        headers = {name.decode(): value.decode() for name, value in request.headers}
        self.requests.append(RecordedRequest(request.target.decode(), headers, json.loads(bytes(body))))
        reply = self.replies.pop(0)
        await self._play(reply, conn, stream)
        return not reply.cut and not reply.pause

    async def _play(self, reply: Reply, conn: h11.Connection, stream: trio.SocketStream) -> None:
        headers = [("content-type", reply.content_type), *reply.headers]
        headers.append(("transfer-encoding", "chunked"))
        await stream.send_all(conn.send(h11.Response(status_code=reply.status, headers=headers)) or b"")
        for chunk in (*reply.chunks, reply.body):
            if chunk:
                await stream.send_all(conn.send(h11.Data(data=chunk)) or b"")
        if reply.pause:
            if not await stream.receive_some():
                self.gone.set()
        elif not reply.cut:
            await stream.send_all(conn.send(h11.EndOfMessage()) or b"")


@asynccontextmanager
async def serve_model(*replies: Reply) -> AsyncIterator[ModelServer]:
    """Serve `replies` on a free port."""
    async with trio.open_nursery() as nursery:
        server = ModelServer(replies=list(replies))
        listeners = await nursery.start(trio.serve_tcp, _quiet(server), 0)
        port = listeners[0].socket.getsockname()[1]
        server.base_url = f"http://127.0.0.1:{port}"
        yield server
        nursery.cancel_scope.cancel()


def _quiet(server: ModelServer) -> Callable[[trio.SocketStream], Awaitable[None]]:
    async def handle(stream: trio.SocketStream) -> None:
        try:
            await server.handle(stream)
        except trio.BrokenResourceError:
            server.gone.set()

    return handle


def sse(*payloads: object, done: bool = True) -> bytes:
    """Chunks as a completions server writes them."""
    lines = [f"data: {json.dumps(payload)}\n\n" for payload in payloads]
    return "".join([*lines, "data: [DONE]\n\n"] if done else lines).encode()


async def collect(agent: Agent, request: TurnRequest) -> list[AgentEvent]:
    """The events of a turn; adjacent texts are joined, since it is a matter of time how many arrive together."""
    collected: list[AgentEvent] = []
    async with agent.run(request) as events:
        async for event in events:
            if isinstance(event, TextDelta) and collected and isinstance(last := collected[-1], TextDelta):
                collected[-1] = TextDelta(last.text + event.text)
            else:
                collected.append(event)
    return collected


class Tools:
    """Records the calls; answers with what it is told."""

    def __init__(self, *results: ToolResult) -> None:
        self.specs = (ToolSpec("look", "Looks something up.", {"type": "object", "properties": {}}),)
        self.results = list(results)
        self.calls: list[ToolCall] = []

    async def call(self, call: ToolCall) -> ToolResult:
        await trio.lowlevel.checkpoint()
        self.calls.append(call)
        return self.results.pop(0)


def client() -> httpx.AsyncClient:
    """The client of the gateway's models, which trusts no certificate; to loopback no proxy is used."""
    return open_model_client(None)
