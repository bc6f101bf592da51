"""The Quart-Trio app of the public port: the endpoints for slash commands, buttons and hooks, behind the request guard.

The app routes and decides nothing else; the registry has the handlers. Administration has a port of its own (`admin`).
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import assert_never

from attrs import evolve
from quart import Request, Response, request
from quart_trio import QuartTrio

from oc_trio.callbacks.commands import answer_command
from oc_trio.callbacks.endpoints import CLICK_PREFIX, EndpointRegistry
from oc_trio.callbacks.guard import RequestGuard
from oc_trio.callbacks.hooks import HookRequest, answer_hook
from oc_trio.callbacks.interactions import answer_click
from oc_trio.callbacks.reply import UNAVAILABLE, EndpointKind, Reply, not_found, refused
from oc_trio.callbacks.request_limiter import Limits
from oc_trio.core.sourceip import ProxyTrust
from oc_trio.errors import CallbackRefused, FenceRefused, LeaseLost, OcTrioError
from oc_trio.ids import AccountId
from oc_trio.telemetry.log import get_logger
from oc_trio.telemetry.metrics import Metrics

log = get_logger(part="callbacks")


def build_app(
    registry: EndpointRegistry, *, metrics: Metrics, trust: ProxyTrust | None = None, limits: Limits | None = None
) -> QuartTrio:
    """The app for `registry`, whose paths and accounts may change with each request."""
    app = QuartTrio(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = None  # the guard knows a limit for each route
    # Handlers have deadlines of their own, and shielded parts that this one would cut off.
    app.config["RESPONSE_TIMEOUT"] = None

    async def answer(kind: EndpointKind, work: Callable[[], Awaitable[Reply]]) -> Response:
        try:
            reply = await work()
        except (FenceRefused, LeaseLost) as problem:
            # No failure: as this process was stopped or cut off, another one has taken the account over.
            log.info("an account moved while a callback was handled", kind=kind.value, problem=str(problem))
            reply = refused(kind, CallbackRefused(503, UNAVAILABLE))
        except OcTrioError as problem:
            # The journal or the chat server failed: nothing was admitted, and the caller may retry.
            log.error("callback failed", kind=kind.value, problem=str(problem))
            reply = refused(kind, CallbackRefused(503, UNAVAILABLE))
        metrics.callbacks.labels(kind.value, str(reply.status)).inc()
        if reply.status >= 400 and kind is EndpointKind.HOOK:  # of the others the refusal log tells more
            log.info("callback refused", kind=kind.value, status=reply.status, remote=request.remote_addr or "")
        return _response(reply)

    async def serve(**_path: str) -> Response:
        route, body = guard.route(request.path), await _body()
        if route is None:  # a reload has taken the path away since the guard looked
            return _response(not_found())
        match route.kind:
            case EndpointKind.COMMAND:
                accounts, content_type = registry.commands_at(request.path), request.content_type or ""
                work = partial(answer_command, accounts, body, content_type, guard.refusals)
            case EndpointKind.CLICK:
                endpoint = registry.clicks_of(AccountId(request.path.removeprefix(CLICK_PREFIX)))
                work = partial(answer_click, endpoint, body, guard.refusals)
            case EndpointKind.HOOK:
                work = partial(_answer_hook, registry, request, body)
            case _:
                assert_never(route.kind)
        return await answer(route.kind, work)

    # Without automatic OPTIONS: POST is the only method, and the guard answers 405 to all others. The guard also knows
    # the paths, which a reload may change.
    app.add_url_rule("/<path:path>", "serve", serve, methods=["POST"], provide_automatic_options=False)
    guard = RequestGuard.around(app.asgi_app, registry, trust or ProxyTrust(), metrics, limits or Limits())
    app.asgi_app = guard  # type: ignore[method-assign,assignment]
    return app


async def _answer_hook(registry: EndpointRegistry, sent: Request, body: bytes) -> Reply:
    endpoint, kind = registry.hooks, registry.hook_kind(sent.path)
    assert endpoint is not None, "routed only where there are hooks"
    assert kind is not None, "routed by its kind"
    hook_request = HookRequest(
        body=body,
        authorization=sent.headers.get("Authorization", ""),
        token_header=sent.headers.get("X-OpenClaw-Token", ""),
        idempotency_key=sent.headers.get("Idempotency-Key", ""),
        query=sent.args,
    )
    return await answer_hook(endpoint, kind, hook_request)


async def _body() -> bytes:
    data = await request.get_data(cache=False)
    return data if isinstance(data, bytes) else data.encode()


def _response(reply: Reply) -> Response:
    response = Response(reply.body, status=reply.status)
    for name, value in evolve(reply, close=False).all_headers:
        response.headers[name] = value
    return response
