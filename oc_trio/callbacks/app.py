"""The Quart-Trio app of the public port: the endpoints for slash commands, buttons and hooks, behind the request guard.

The app routes and decides nothing else; the registry has the handlers. Administration has a port of its own (`admin`).
"""

from collections.abc import Awaitable, Callable

from attrs import evolve
from quart import Response, request
from quart_trio import QuartTrio

from oc_trio.callbacks.commands import answer_command
from oc_trio.callbacks.endpoints import CLICK_PREFIX, EndpointRegistry
from oc_trio.callbacks.guard import RequestGuard
from oc_trio.callbacks.hooks import HookRequest, answer_hook
from oc_trio.callbacks.interactions import answer_click
from oc_trio.callbacks.reply import Kind, Reply, refused
from oc_trio.callbacks.request_limiter import Limits
from oc_trio.core.hooks import HookKind
from oc_trio.core.sourceip import ProxyTrust
from oc_trio.errors import CallbackRefused, OcTrioError
from oc_trio.ids import AccountId
from oc_trio.telemetry.log import get_logger
from oc_trio.telemetry.metrics import Metrics

log = get_logger(part="callbacks")

UNAVAILABLE = "Temporarily unavailable. Please try again."


def build_app(
    registry: EndpointRegistry, *, metrics: Metrics, trust: ProxyTrust | None = None, limits: Limits | None = None
) -> QuartTrio:
    """The app for `registry`. Its paths are fixed here; accounts may come and go with each request."""
    app = QuartTrio(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = None  # the guard knows a limit for each route
    app.config["RESPONSE_TIMEOUT"] = None

    async def answer(kind: Kind, work: Callable[[], Awaitable[Reply]]) -> Response:
        try:
            reply = await work()
        except OcTrioError as problem:
            # The journal or the chat server failed: nothing was admitted, and the caller may retry.
            log.error("callback failed", kind=kind.value, problem=str(problem))
            reply = refused(kind, CallbackRefused(503, UNAVAILABLE))
        metrics.callbacks.labels(kind.value, str(reply.status)).inc()
        if reply.status >= 400:
            log.info("callback refused", kind=kind.value, status=reply.status, remote=request.remote_addr or "")
        return _response(reply)

    async def command() -> Response:
        body, accounts = await _body(), registry.commands_at(request.path)
        return await answer(Kind.COMMAND, lambda: answer_command(accounts, body, request.content_type or ""))

    async def click(account: str) -> Response:
        body = await _body()
        return await answer(Kind.CLICK, lambda: answer_click(registry.clicks_of(AccountId(account)), body))

    async def hook(kind: str) -> Response:
        endpoint = registry.hooks
        assert endpoint is not None, "routed only where there are hooks"
        hook_request = HookRequest(
            body=await _body(),
            authorization=request.headers.get("Authorization", ""),
            token_header=request.headers.get("X-OpenClaw-Token", ""),
            idempotency_key=request.headers.get("Idempotency-Key", ""),
            query=request.args,
        )
        return await answer(Kind.HOOK, lambda: answer_hook(endpoint, HookKind(kind), hook_request))

    # Without automatic OPTIONS: POST is the only method, and the guard answers 405 to all others.
    for number, path in enumerate(registry.command_paths):
        app.add_url_rule(path, f"command{number}", command, methods=["POST"], provide_automatic_options=False)
    app.add_url_rule(f"{CLICK_PREFIX}<account>", "click", click, methods=["POST"], provide_automatic_options=False)
    if registry.hooks is not None:
        base = registry.hooks.path.rstrip("/")
        app.add_url_rule(f"{base}/<kind>", "hook", hook, methods=["POST"], provide_automatic_options=False)
    guard = RequestGuard.around(app.asgi_app, registry, trust or ProxyTrust(), metrics, limits or Limits())
    app.asgi_app = guard  # type: ignore[method-assign,assignment]
    return app


async def _body() -> bytes:
    data = await request.get_data(cache=False)
    return data if isinstance(data, bytes) else data.encode()


def _response(reply: Reply) -> Response:
    response = Response(reply.body, status=reply.status)
    for name, value in evolve(reply, close=False).all_headers:
        response.headers[name] = value
    return response
