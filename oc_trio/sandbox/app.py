"""The Quart-Trio app of a sandbox: passes HTTP requests to the router and websockets to the protocol.

A server that can drop a TCP connection without a close frame offers `ABORT` in the extensions of the websocket scope.
"""

from pathlib import Path
from typing import Any

from quart import Response, request, send_from_directory, websocket
from quart_trio import QuartTrio

from oc_trio.sandbox.protocol import is_foreign_origin, read_opening, serve_connection
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from oc_trio.sandbox.router import Router
from oc_trio.sandbox.world import World

ABORT = "oc_trio.abort"
# A larger one costs its connection: to read it to the end would take longer than a new connection does.
DRAINED = 4_194_304  # bytes of a refused body that are read and discarded
PAGE = Path(__file__).parent / "page"  # the chat page, served at /


class _QuartPeer:
    """A Quart websocket as a `Peer`. Never raises PeerGone: Quart cancels the handler when the websocket ends."""

    def __init__(self, extensions: dict[str, Any]) -> None:
        self._extensions = extensions

    async def receive(self) -> str | bytes:
        frame: str | bytes = await websocket.receive()
        return frame

    async def send(self, frame: str) -> None:
        await websocket.send(frame)

    async def abort(self) -> None:
        if ABORT in self._extensions:
            await self._extensions[ABORT]()
        else:
            # Another server than `serve` has no way to drop the connection: 1011 (internal error) comes nearest.
            await websocket.close(1011)


def _http_response(answer: SandboxResponse) -> Response:
    response = Response(answer.body, status=answer.status)
    for name, value in answer.headers:
        response.headers[name] = value
    return response


async def _refuse_unread(answer: SandboxResponse) -> Response:
    """Responds before reading the body; then reads it or closes the connection, or the next request would hang."""
    response = _http_response(answer)
    if (request.content_length or 0) > DRAINED:
        response.headers["Connection"] = "close"
    else:
        await request.get_data(cache=False)
    return response


def create_app(world: World) -> QuartTrio:
    """The ASGI app of one world."""
    app = QuartTrio(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = None  # the router has a limit per route
    router = Router(world)

    async def api(path: str) -> Response:  # noqa: ARG001  the router reads it from the request
        too_large = router.refuse_size(request.method, request.path, request.content_length or 0)
        if too_large is not None:
            return await _refuse_unread(too_large)
        sandbox_request = SandboxRequest(
            method=request.method,
            path=request.path,
            query=request.query_string.decode("latin-1"),
            headers=tuple((name.lower(), value) for name, value in request.headers.items()),
            body=await request.get_data(cache=False, as_text=False, parse_form_data=False),
            remote=request.remote_addr or "",
        )
        answer = await world.faults.before(sandbox_request)
        return _http_response(answer if answer is not None else await router.handle(sandbox_request))

    async def index() -> Response:
        return await send_from_directory(PAGE, "index.html")

    async def page(path: str) -> Response:
        return await send_from_directory(PAGE, path)

    async def stats() -> dict[str, object]:
        """The number of calls by user, for benchmarks; Mattermost has no such route."""
        return {"calls": dict(world.requests.calls)}

    async def websocket_endpoint() -> tuple[str, int] | None:
        if is_foreign_origin(websocket.headers.get("Origin", ""), websocket.headers.get("Host", "")):
            return "", 403
        await websocket.accept()
        opening = read_opening(websocket.query_string.decode("latin-1"), websocket.headers.get("Authorization", ""))
        await serve_connection(world, _QuartPeer(dict(websocket.scope.get("extensions") or {})), opening)
        return None

    # All methods for all paths: of an unknown pair the 404 has to be Mattermost's, not Quart's 405.
    methods = ["GET", "POST", "PUT", "DELETE", "PATCH"]
    for prefix in ("/api", "/hooks"):
        app.add_url_rule(f"{prefix}/<path:path>", f"api{prefix}", api, methods=methods, provide_automatic_options=False)
    app.add_url_rule("/sandbox/stats", "stats", stats)
    # The page comes last: its rule takes every path that no other rule has.
    app.add_url_rule("/", "index", index)
    app.add_url_rule("/<path:path>", "page", page)
    app.add_websocket("/api/v4/websocket", "websocket", websocket_endpoint)
    return app
