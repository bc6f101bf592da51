"""An httpx transport that calls the sandbox in process: no socket, and any clock."""

import httpx
import trio

from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from oc_trio.sandbox.router import Router
from oc_trio.sandbox.world import World


class SandboxTransport(httpx.AsyncBaseTransport):
    """Calls the route table; `world.faults` is asked before and after each request and may raise httpx errors."""

    def __init__(self, world: World, *, remote: str = "127.0.0.1") -> None:
        self._world = world
        self._router = Router(world)
        self._remote = remote

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        sandbox_request = SandboxRequest(
            method=request.method,
            path=request.url.path,
            query=request.url.query.decode("ascii"),
            headers=tuple((key.lower(), value) for key, value in request.headers.items()),
            body=await request.aread(),
            remote=self._remote,
        )
        return _response(await self._exchange(sandbox_request))

    async def _exchange(self, request: SandboxRequest) -> SandboxResponse:
        # two checkpoints, so that other tasks run before and after the write as they would over a network
        await trio.lowlevel.checkpoint()
        response = await self._world.faults.before(request)
        # A fault that answers by itself keeps the request from the server, as a proxy in front of it would.
        if response is None:
            response = await self._router.handle(request)
        # The write has taken place: a fault may still lose the response, which is what deduplication is for.
        response = await self._world.faults.after(request, response)
        await trio.lowlevel.checkpoint()
        return response


def _response(answer: SandboxResponse) -> httpx.Response:
    return httpx.Response(answer.status, headers=list(answer.headers), content=answer.body)
