"""A small seeded world under the run's own clock, and ways to talk to it without a socket."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, cast

import httpx
import pytest
import trio
from attrs import frozen
from trio.testing import memory_stream_pair
from trio_websocket import WebSocketConnection, wrap_client_stream

from oc_trio.sandbox.demo import Demo, seed
from oc_trio.sandbox.http_transport import SandboxTransport
from oc_trio.sandbox.outgoing import IntegrationRequest, IntegrationResponse
from oc_trio.sandbox.websocket_stream import serve_websocket_stream
from oc_trio.sandbox.world import World

BASE = 1_800_000_000_000


def trio_clock() -> int:
    """Milliseconds of the run's clock; before the run starts, its beginning."""
    try:
        return BASE + int(trio.current_time() * 1000)
    except RuntimeError:
        return BASE


class Integration:
    """Records the calls to integrations; answers with what `script` says, an empty JSON object otherwise."""

    def __init__(self) -> None:
        self.calls: list[IntegrationRequest] = []
        self.script: dict[str, Callable[[], Awaitable[IntegrationResponse]]] = {}

    async def __call__(self, call: IntegrationRequest) -> IntegrationResponse:
        self.calls.append(call)
        answer = self.script.get(call.url)
        return IntegrationResponse(200, "application/json", b"{}") if answer is None else await answer()


@frozen
class SandboxClients:
    """One world with its demo people, its integrations, and clients by token."""

    world: World
    demo: Demo
    integration: Integration

    def client(self, token: str = "") -> httpx.AsyncClient:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        transport = SandboxTransport(self.world)
        return httpx.AsyncClient(transport=transport, base_url="http://sandbox/api/v4", headers=headers)

    def bot(self) -> httpx.AsyncClient:
        return self.client(self.demo.bot.token)

    def alice(self) -> httpx.AsyncClient:
        return self.client(self.world.users.login("alice", "Passw0rd!x").token)


@pytest.fixture
def sandbox() -> SandboxClients:
    integration = Integration()
    world = World(trio_clock, random.Random(7), post_out=integration)
    return SandboxClients(world, seed(world), integration)


Dial = Callable[..., AbstractAsyncContextManager[WebSocketConnection]]


@pytest.fixture
def dial(sandbox: SandboxClients, nursery: trio.Nursery) -> Dial:
    """Connect to the world's websocket over a stream in memory; `async with dial() as socket`."""

    @asynccontextmanager
    async def connect(
        query: str = "", token: str | None = None, extra: tuple[tuple[bytes, bytes], ...] = ()
    ) -> AsyncIterator[WebSocketConnection]:
        client, server = memory_stream_pair()
        nursery.start_soon(serve_websocket_stream, sandbox.world, server)
        bearer = sandbox.demo.bot.token if token is None else token
        headers = [*extra, *([(b"authorization", f"Bearer {bearer}".encode())] if bearer else [])]
        path = "/api/v4/websocket" + (f"?{query}" if query else "")
        async with trio.open_nursery() as inner:
            socket = await wrap_client_stream(
                inner, cast("Any", client), "sandbox", path, message_queue_size=1000, extra_headers=headers
            )
            yield socket
            await trio.aclose_forcefully(client)
            inner.cancel_scope.cancel()

    return connect


Frame = dict[str, Any]
