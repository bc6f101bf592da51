"""ASGI middleware in front of the public port's app: refuses whatever can be refused before a body is parsed.

Order: rate limits, path, method, source address, size and speed of the body. A request takes no more memory than the
limit for its body, and the app gets complete bodies only. Their content is checked by the endpoints.
"""

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

import trio
from attrs import field

from oc_trio.callbacks.endpoints import CLICK_PREFIX, EndpointRegistry
from oc_trio.callbacks.expected import RequestOrigin
from oc_trio.callbacks.refusals import ORIGIN, RefusalLog
from oc_trio.callbacks.reply import EndpointKind, Reply, body_refused, method_not_allowed, not_found, refused, too_many
from oc_trio.callbacks.request_limiter import Limits, RequestLimiter, Standing, source_key
from oc_trio.classes import define, frozen
from oc_trio.core import hooks, interactions
from oc_trio.core.sourceip import Address, Network, ProxyTrust, client_address, may_call
from oc_trio.errors import CallbackRefused
from oc_trio.ids import AccountId
from oc_trio.telemetry.log import get_logger
from oc_trio.telemetry.metrics import Metrics

log = get_logger(part="callbacks")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]

# Mattermost sends a form of some kilobytes, all of it at once.
COMMAND_BYTES, COMMAND_SECONDS = 65_536, 5.0
# A hook's body may be four times that, from a program anywhere.
HOOK_SECONDS = 10.0
_LOG_EVERY = 5.0  # seconds between two log lines about refusals; the others are counted


@frozen
class EndpointRoute:
    """The endpoint at a path with its limits for a body; `sources` None means that any address may call."""

    kind: EndpointKind
    max_body: int
    seconds: float
    sources: tuple[Network, ...] | None = None


@define(eq=False)
class RequestGuard:
    """The middleware; `app` is the ASGI app behind it."""

    app: App
    registry: EndpointRegistry
    trust: ProxyTrust
    metrics: Metrics
    limiter: RequestLimiter = field(factory=RequestLimiter)
    refusals: RefusalLog = field(factory=RefusalLog)
    _quiet_until: float = field(init=False, default=0.0)
    _unlogged: int = field(init=False, default=0)

    @classmethod
    def around(
        cls, app: App, registry: EndpointRegistry, trust: ProxyTrust, metrics: Metrics, limits: Limits
    ) -> "RequestGuard":
        return cls(app, registry, trust, metrics, RequestLimiter(limits))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        send = _ignoring_disconnect(send, may_close=scope.get("http_version", "1.1") < "2")
        route = self.route(scope["path"])
        address = self._address(scope)
        # Counted before anything else, unknown paths too.
        key, standing = self._caller(scope, route, address)
        permit = self.limiter.enter(key, trio.current_time(), standing)
        if permit is None:
            await self._refuse(send, route, too_many(), "flood", key)
            return
        try:
            await self._handle(scope, receive, self._with_vouching(send, route, address), route, address)
        finally:
            self.limiter.leave(permit)

    def route(self, path: str) -> EndpointRoute | None:
        """The endpoint at a path, which has to match exactly."""
        registry = self.registry
        if path in registry.command_paths:
            return EndpointRoute(EndpointKind.COMMAND, COMMAND_BYTES, COMMAND_SECONDS)
        if path.startswith(CLICK_PREFIX):
            sources = registry.click_sources.get(AccountId(path.removeprefix(CLICK_PREFIX)))
            if sources is not None:
                return EndpointRoute(
                    EndpointKind.CLICK, interactions.MAX_BODY_BYTES, interactions.BODY_SECONDS, sources
                )
        if registry.hook_kind(path) is not None:
            return EndpointRoute(EndpointKind.HOOK, hooks.MAX_BODY_BYTES, HOOK_SECONDS)
        return None

    async def _handle(
        self, scope: Scope, receive: Receive, send: Send, route: EndpointRoute | None, address: Address | None
    ) -> None:
        expected = self.registry.expected
        if route is None:
            expected.note_unknown(scope["path"])
            await self._refuse(send, None, not_found(), "unknown_path", "")
            return
        if scope["method"] != "POST":
            await self._refuse(send, route, method_not_allowed(route.kind), "method", "")
            return
        if route.sources is not None and not may_call(address, route.sources):
            origin = _origin(scope, address)
            expected.note_refused(route.kind, scope["path"], "source", origin)
            reply = refused(route.kind, CallbackRefused(403, ORIGIN))
            self.refusals.origin(source_key(address) if address else "", origin.peer, origin.forwarded)
            endpoint = self.registry.clicks_of(AccountId(scope["path"].removeprefix(CLICK_PREFIX)))
            if endpoint is not None:
                caller = source_key(address) if address else f"(the proxy {origin.peer} names no client)"
                endpoint.on_refused(f"click: {ORIGIN} {caller}")
            await self._refuse(send, route, reply, "source", source_key(address))
            return
        # Refused before a byte of the body is read; one that declares no length, or a wrong one, is stopped by
        # `read_body`.
        if _declared_length(scope) > route.max_body:
            await self._refuse(send, route, body_refused(route.kind, 413), "too_large", source_key(address))
            return
        try:
            body = await read_body(receive, route.max_body, route.seconds)
        except CallbackRefused as problem:
            reply = body_refused(route.kind, problem.status_hint)
            await self._refuse(send, route, reply, problem.reason, source_key(address))
            return
        if body is None:
            return
        content_type = next(iter(_values(scope, b"content-type")), "")
        answer = await expected.answer(route.kind, body, content_type, _origin(scope, address))
        if answer is not None:
            self.metrics.callbacks.labels(route.kind.value, "check").inc()
            await send_reply(send, answer)
            return
        # The app gets what was read here as its one body event, and after it the client's disconnect.
        await self.app(scope, _replay(body, receive), send)

    async def _refuse(self, send: Send, route: EndpointRoute | None, reply: Reply, result: str, source: str) -> None:
        kind = route.kind.value if route else "none"
        self.metrics.callbacks.labels(kind, result).inc()
        now = trio.current_time()
        if now >= self._quiet_until:
            self._quiet_until = now + _LOG_EVERY
            log.info("request refused", kind=kind, why=result, source=source, unlogged=self._unlogged)
            self._unlogged = 0
        else:
            self._unlogged += 1
        await send_reply(send, reply)

    def _address(self, scope: Scope) -> Address | None:
        client = scope.get("client")
        forwarded = tuple(_values(scope, b"x-forwarded-for"))
        real = tuple(_values(scope, b"x-real-ip"))
        return client_address(str(client[0]) if client else "", forwarded, real, self.trust)

    def _caller(self, scope: Scope, route: EndpointRoute | None, address: Address | None) -> tuple[str, Standing]:
        """The key under which a request is counted, and what is known of its caller before a body is read."""
        authorization = next(iter(_values(scope, b"authorization")), "")
        if route is not None and authorization and self._has_our_secret(route, authorization):
            digest = hashlib.sha256(authorization.encode("utf-8", "surrogatepass")).hexdigest()
            # Hashed, since keys appear in the log.
            return f"known:{digest}", Standing.KNOWN
        is_listed = route is not None and route.sources is not None and may_call(address, route.sources)
        return source_key(address), Standing.LISTED if is_listed else Standing.STRANGER

    def _with_vouching(self, send: Send, route: EndpointRoute | None, address: Address | None) -> Send:
        """A `send` that remembers the address of a genuine caller: only a valid token or signature gets a 200 or 202.

        Clicks carry no Authorization header, so the chat server's address is known from its earlier calls.
        """

        async def vouching(event: MutableMapping[str, Any]) -> None:
            if event.get("status") in (200, 202) and route is not None and address is not None:
                self.limiter.vouch(source_key(address), trio.current_time())
            await send(event)

        return vouching

    def _has_our_secret(self, route: EndpointRoute, authorization: str) -> bool:
        """Whether the Authorization header has a secret of ours; each is compared in constant time."""
        secret_sent = authorization.partition(" ")[2].strip().encode("utf-8", "surrogatepass")
        if route.kind is EndpointKind.HOOK and self.registry.hooks is not None:
            secret = self.registry.hooks.token().encode()
            return bool(secret) and hmac.compare_digest(secret_sent, secret)
        if route.kind is not EndpointKind.COMMAND:
            return False
        tokens = [
            command.token.encode()
            for path in self.registry.command_paths
            for endpoint in self.registry.commands_at(path).values()
            for command in endpoint.registered() or ()
        ]
        # A list, not a generator: all are compared, so that the time does not show which one matched.
        return any([bool(token) and hmac.compare_digest(secret_sent, token) for token in tokens])  # noqa: C419


async def read_body(receive: Receive, limit: int, seconds: float) -> bytes | None:
    """The whole body, None if the caller went away. Raises CallbackRefused: 413 above `limit`, 408 after `seconds`."""
    body = bytearray()
    with trio.move_on_after(seconds):
        while True:
            event = await receive()
            if event["type"] == "http.disconnect":
                return None
            body += event.get("body", b"")
            if len(body) > limit:
                raise CallbackRefused(413, "too_large")
            if not event.get("more_body", False):
                return bytes(body)
    raise CallbackRefused(408, "too_slow")


async def send_reply(send: Send, reply: Reply) -> None:
    """Send a reply as ASGI events."""
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.all_headers]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body, "more_body": False})


def _origin(scope: Scope, address: Address | None) -> RequestOrigin:
    client = scope.get("client")
    forwarded = ", ".join(_values(scope, b"x-forwarded-for"))
    return RequestOrigin(str(address or ""), str(client[0]) if client else "", forwarded[:200])


def _ignoring_disconnect(send: Send, *, may_close: bool) -> Send:
    """A `send` that ignores a disconnected client: Hypercorn closes the connection while an answer is being written.

    HTTP/2 has no `connection` header and refuses an answer that carries one.
    """

    gone: list[Exception] = []

    async def send_unless_gone(event: MutableMapping[str, Any]) -> None:
        if gone:
            return
        if not may_close and "headers" in event:
            event = {**event, "headers": [pair for pair in event["headers"] if pair[0] != b"connection"]}
        try:
            await send(event)
        except (trio.BusyResourceError, trio.BrokenResourceError, trio.ClosedResourceError) as problem:
            gone.append(problem)

    return send_unless_gone


def _replay(body: bytes, receive: Receive) -> Receive:
    pending = [body]

    async def replay() -> MutableMapping[str, Any]:
        if pending:
            return {"type": "http.request", "body": pending.pop(), "more_body": False}
        return await receive()

    return replay


def _declared_length(scope: Scope) -> int:
    text = next(iter(_values(scope, b"content-length")), "")
    # Cut, because int() raises for thousands of digits; what 12 of them say is too large already.
    return int(text[:12]) if text.isascii() and text.isdigit() else 0


def _values(scope: Scope, name: bytes) -> Iterable[str]:
    return (value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name)
