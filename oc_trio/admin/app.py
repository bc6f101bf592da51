"""The admin API as a plain ASGI app: probes, metrics, status. Without authentication; it reads, but for two requests.

GET /livez /readyz     probes: 200, or 503 with the reason
GET /metrics           Prometheus text
GET /status.json       everything, for machines and for `oc-trio status`
GET /logs.json         the newest lines of the log; over the unix socket only
GET /                  the same as a page that refreshes itself
POST /cron/changed     has the schedules read the jobs again; over the unix socket only
POST /round-trips.json makes Mattermost call back, for `oc-trio doctor`; over the unix socket only
"""

import json
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import trio
from attrs import frozen

import oc_trio
from oc_trio.errors import OcTrioError
from oc_trio.telemetry.health import Health
from oc_trio.telemetry.log_tail import MAX_LINES, LogTail
from oc_trio.telemetry.metrics import Metrics

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Journal = Callable[[], Awaitable[Mapping[str, Any]]]
RoundTrips = Callable[[], Awaitable[list[dict[str, Any]]]]

_PAGE = Path(__file__).parent / "page"
_FILES = {
    "/": ("status.html", "text/html; charset=utf-8"),
    "/status.css": ("status.css", "text/css"),
    "/status.js": ("status.js", "text/javascript"),
}
_HEADERS = [
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'self'; img-src data:; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
]
_JOURNAL_SECONDS = 2.0
# Against DNS rebinding: a web page may use a name that resolves to 127.0.0.1; its requests have that name as host.
_LOCAL_HOSTS = {"", "localhost", "127.0.0.1", "[::1]"}


@frozen
class AdminResponse:
    """The response to one request."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


@frozen(eq=False)
class AdminApp:
    """Get it from `build_admin_app`."""

    health: Health
    metrics: Metrics
    metrics_path: str
    journal: Journal | None
    now_ms: Callable[[], int]
    tail: LogTail | None = None
    round_trips: RoundTrips | None = None
    jobs_changed: Callable[[], None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for phase in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{phase}.complete"})
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        # Only connections of the unix socket, which is for our own user, have no address of ours.
        own = "server" in scope and scope["server"] is None
        query = scope.get("query_string", b"").decode("latin-1") if own else None
        answer = await self.answer(scope["method"], scope["path"], _host(scope), query)
        headers = [(b"content-type", answer.content_type.encode()), *_HEADERS]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        body = b"" if scope["method"] == "HEAD" else answer.body
        await send({"type": "http.response.body", "body": body})

    async def answer(self, method: str, path: str, host: str, query: str | None = None) -> AdminResponse:
        """`query` is None on the loopback port, where the log is not to be read and nothing is to be made."""
        await trio.lowlevel.checkpoint()
        # Before anything else, the probes too: nothing here has a password.
        if host not in _LOCAL_HOSTS:
            return AdminResponse(403, b"this address is for this machine only\n")
        if (method, path) == ("POST", "/round-trips.json") and query is not None and self.round_trips is not None:
            trips = json.dumps({"trips": await self.round_trips()}, ensure_ascii=False)
            return AdminResponse(200, trips.encode("utf-8", "backslashreplace"), "application/json")
        if method == "POST" and path == "/cron/changed" and query is not None and self.jobs_changed is not None:
            self.jobs_changed()
            return AdminResponse(200, b"{}", "application/json")
        if method not in ("GET", "HEAD"):
            return AdminResponse(405, b"only GET is answered here\n")
        match path:
            case "/livez":
                return _probe(f"stuck: {', '.join(self.health.stuck_parts())}" if self.health.stuck_parts() else "")
            case "/readyz":
                return _probe("" if self.health.snapshot()["ready"] else self.health.status_line())
            case "/status.json":
                status = json.dumps(await self.status(), indent=2, ensure_ascii=False)
                return AdminResponse(200, status.encode("utf-8", "backslashreplace"), "application/json")
            case "/logs.json" if query is not None and self.tail is not None:
                return AdminResponse(200, self._log_lines(self.tail, query), "application/json")
            case self.metrics_path:
                return AdminResponse(200, self.metrics.render(), "text/plain; version=0.0.4; charset=utf-8")
        if path not in _FILES:
            return AdminResponse(404, b"there is nothing here\n")
        name, content_type = _FILES[path]
        return AdminResponse(200, (_PAGE / name).read_bytes(), content_type)

    async def status(self) -> dict[str, Any]:
        """Everything known, as plain JSON values; times in milliseconds since the epoch."""
        now = self.now_ms()
        return {
            "version": oc_trio.__version__,
            "pid": os.getpid(),
            "now": now,
            **self.health.snapshot(),
            "stuck": list(self.health.stuck_parts()),
            "journal": await self._journal(),
        }

    def _log_lines(self, tail: LogTail, query: str) -> bytes:
        """The lines after number `after`, at most `limit`, with the process that they are of."""
        parameters = {name: int(value) for name, value in parse_qsl(query) if value.isascii() and value.isdecimal()}
        lines = tail.after(parameters.get("after", 0), min(parameters.get("limit", MAX_LINES), MAX_LINES))
        answer = {
            "pid": os.getpid(),
            "startedAt": self.health.snapshot()["startedAt"],
            "lines": [{"number": line.number, "event": line.event} for line in lines],
        }
        return json.dumps(answer, ensure_ascii=False, default=str).encode("utf-8", "backslashreplace")

    async def _journal(self) -> dict[str, Any]:
        """Row counts; a journal that fails or is slow becomes part of the status, and does not fail it."""
        await trio.lowlevel.checkpoint()
        if self.journal is None:
            return {}
        with trio.move_on_after(_JOURNAL_SECONDS):
            try:
                return dict(await self.journal())
            except OcTrioError as problem:
                return {"error": str(problem)}
        return {"error": f"no answer within {_JOURNAL_SECONDS:g} s"}


def build_admin_app(
    health: Health,
    metrics: Metrics,
    *,
    now_ms: Callable[[], int],
    metrics_path: str = "/metrics",
    journal: Journal | None = None,
    tail: LogTail | None = None,
    round_trips: RoundTrips | None = None,
    jobs_changed: Callable[[], None] | None = None,
) -> AdminApp:
    """The app; an empty `metrics_path` serves none. `journal` returns the row counts, `tail` keeps the log, and
    `jobs_changed` is called when a command has changed the scheduled jobs.
    """
    return AdminApp(health, metrics, metrics_path, journal, now_ms, tail, round_trips, jobs_changed)


def _probe(problem: str) -> AdminResponse:
    return AdminResponse(503, f"{problem}\n".encode("utf-8", "replace")) if problem else AdminResponse(200, b"ok\n")


def _host(scope: Scope) -> str:
    """The Host header without its port."""
    value = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
    host, colon, port = value.rpartition(":")
    return host.lower() if colon and port.isdigit() else value.lower()
