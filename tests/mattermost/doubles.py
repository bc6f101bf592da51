"""In-process stand-ins for a Mattermost server: an HTTP transport that records, and a websocket peer over memory."""

import json
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx
import trio
from attrs import define, field
from trio.testing import memory_stream_pair
from trio_websocket import WebSocketConnection, wrap_server_stream

from oc_trio.core.ratelimit import RatePolicy
from oc_trio.mattermost.budget import RateBudget
from oc_trio.mattermost.client import Api
from oc_trio.mattermost.transport import MattermostServer, Transport, open_server

Answer = Callable[[httpx.Request], "httpx.Response | Awaitable[httpx.Response]"]


@define(eq=False)
class FakeHttp(httpx.AsyncBaseTransport):
    """Answers `METHOD /path` (below /api/v4) by its routes; a list is used up from the front, the last stays."""

    routes: dict[str, Any] = field(factory=dict)
    log: list[str] = field(factory=list)
    requests: list[httpx.Request] = field(factory=list)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await trio.lowlevel.checkpoint()
        body = b"".join([chunk async for chunk in request.stream])  # type: ignore[union-attr]
        request = httpx.Request(request.method, request.url, headers=request.headers, content=body)
        self.requests.append(request)
        key = f"{request.method} {request.url.path.partition('/api/v4')[2]}"
        self.log.append(key)
        answer = self.routes.get(key)
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if callable(answer):
            answer = answer(request)
            if not isinstance(answer, httpx.Response):
                answer = await cast("Awaitable[object]", answer)
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            return error(404, "api.context.404.app_error")
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)

    def bodies(self, key: str) -> list[Any]:
        """The JSON bodies of the requests to `key`, in order."""
        return [json.loads(request.content) for request, name in zip(self.requests, self.log) if name == key]


def error(status: int, code: str, **headers: str) -> httpx.Response:
    """An answer in the form of Mattermost's errors."""
    return httpx.Response(status, headers=headers, json={"id": code, "message": "no", "status_code": status})


@asynccontextmanager
async def open_api(http: FakeHttp, *, policy: RatePolicy | None = None) -> AsyncGenerator[Api, None]:
    """The verbs over a fake server."""
    budget = RateBudget(policy or RatePolicy(rate=1000.0, burst=1000.0))
    async with open_server("http://mm.test", None, budget=budget, http_transport=http) as server:
        yield api_of(server)


def api_of(server: MattermostServer, token: str = "secret-token") -> Api:
    return Api(Transport(server, lambda: token))


@define(eq=False)
class FakeSockets:
    """Hands out memory streams; each dial is served by the next of `scripts`, the last one again and again."""

    nursery: trio.Nursery
    scripts: list[Callable[["Peer"], Awaitable[None]]]
    dials: list[str] = field(factory=list)
    tokens: list[str] = field(factory=list)
    refusals: list[tuple[int, bytes]] = field(factory=list)
    down: int = 0

    async def open_stream(self, host: str, port: int, tls: ssl.SSLContext | None) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        if self.down:
            self.down -= 1
            self.dials.append("refused")
            raise OSError("connection refused")
        ours, theirs = memory_stream_pair()
        self.nursery.start_soon(self._serve, theirs)
        return ours

    async def _serve(self, stream: trio.abc.Stream) -> None:
        async with trio.open_nursery() as nursery:
            request = await wrap_server_stream(nursery, stream)
            self.dials.append(request.path)
            self.tokens.append(dict(request.headers)[b"authorization"].decode())
            if self.refusals:
                status, body = self.refusals.pop(0)
                await request.reject(status, body=body)
            else:
                script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
                await script(Peer(await request.accept(), stream))
            nursery.cancel_scope.cancel()
        await trio.aclose_forcefully(stream)


@define(eq=False)
class Peer:
    """The server's end of one websocket."""

    connection: WebSocketConnection
    stream: trio.abc.Stream

    async def hello(self, connection_id: str = "conn1") -> None:
        await self.event(0, "hello", {"connection_id": connection_id, "server_version": "11.2.0"})

    async def event(self, seq: int, name: str, data: Any, **broadcast: str) -> None:
        await self.send({"event": name, "data": data, "broadcast": broadcast, "seq": seq})

    async def posted(self, seq: int, post_id: str) -> None:
        post = {"id": post_id, "channel_id": "chan", "user_id": "alice", "message": "hi", "create_at": 1}
        await self.event(seq, "posted", {"post": json.dumps(post), "channel_type": "O"}, channel_id="chan")

    async def send(self, value: Any) -> None:
        await self.connection.send_message(json.dumps(value))

    async def action(self) -> dict[str, Any]:
        found = json.loads(await self.connection.get_message())
        assert isinstance(found, dict)
        return found

    async def answer_pings(self) -> None:
        """Answer actions until the other side closes."""
        while not self.connection.closed:
            try:
                action = await self.action()
                await self.send({"status": "OK", "data": {"text": "pong"}, "seq_reply": action["seq"]})
            except Exception:  # noqa: BLE001 - whatever ends the connection ends the script
                return
