"""The admin API as a plain ASGI app: probes, metrics, status, and the status page.

GET  /livez /readyz     probes: 200, or 503 with the reason
GET  /metrics           Prometheus text
GET  /status.json       everything but what people and models write, for machines and for `oc-trio status`
GET  /logs.json         the newest lines of the log; over the unix socket only
GET  /page.json         the page's addresses and token, for `oc-trio status --page`; over the unix socket only
GET  /                  the status page: the status, and for those who have logged in what `OperatorPage` has
GET  /events            the same as server-sent events
POST /cron/changed      has the schedules read the jobs again; over the unix socket only
POST /round-trips.json  makes Mattermost call back, for `oc-trio doctor`; over the unix socket only
POST /login /logout     with the token; gives or ends a cookie
POST /actions/<name>    with the cookie and the page's own value, or with the token as bearer

What reads the status needs no login. All else does, on either listener: everybody on the machine reaches the port.
"""

import json
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import trio
from attrs import evolve, field

import oc_trio
from oc_trio.admin.feed import RETRY_MS, Feed, TooManyClients
from oc_trio.admin.operator_page import ActionRefused, OperatorPage
from oc_trio.admin.page_html import Viewer, render_page
from oc_trio.admin.page_logins import LOGIN_SECONDS, Login, PageLogins
from oc_trio.admin.requests import BadRequest, Receive, Request, Scope, Send
from oc_trio.admin.status_tables import status_view
from oc_trio.admin.tables import PageView
from oc_trio.classes import frozen
from oc_trio.errors import OcTrioError
from oc_trio.telemetry.health import Health
from oc_trio.telemetry.log import get_logger
from oc_trio.telemetry.log_tail import MAX_LINES, LogTail
from oc_trio.telemetry.metrics import Metrics

log = get_logger(part="admin")

Journal = Callable[[], Awaitable[Mapping[str, Any]]]
RoundTrips = Callable[[], Awaitable[list[dict[str, Any]]]]

_PAGE = Path(__file__).parent / "page"
_FILES = {
    "/status.css": ("status.css", "text/css"),
    "/status.js": ("status.js", "text/javascript"),
    "/uplot.css": ("vendor/uplot/uPlot.min.css", "text/css"),
    "/uplot.js": ("vendor/uplot/uPlot.iife.min.js", "text/javascript"),
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = [
    (b"cache-control", b"no-store"),
    (b"content-security-policy", _POLICY.encode()),
    (b"cross-origin-resource-policy", b"same-origin"),
    # Not no-referrer, with which browsers keep the origin of a form to themselves.
    (b"referrer-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
]
# The status is wanted most where the journal hangs, and says so then.
_JOURNAL_SECONDS = 2.0
# Counting the journal's rows reads all of them: a page that is watched does it so often.
_COUNT_EVERY_MS = 10_000
# Whoever tries tokens must not fill the log.
_LOGIN_WARNING_MS = 10_000
_HTML = "text/html; charset=utf-8"


@frozen
class AdminResponse:
    """The response to one request."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[bytes, bytes], ...] = ()


@frozen(eq=False)
class AdminApp:
    """Get it from `build_admin_app`. `run_feeds` has to run for the page to be live."""

    health: Health
    metrics: Metrics
    metrics_path: str
    journal: Journal | None
    now_ms: Callable[[], int]
    tail: LogTail | None
    page: OperatorPage | None
    logins: PageLogins
    round_trips: RoundTrips | None = None
    jobs_changed: Callable[[], None] | None = None
    # Where it is served, once that is known.
    addresses: list[str] = field(init=False, factory=list)
    public_feed: Feed = field(init=False)
    operator_feed: Feed = field(init=False)
    # When the journal was counted last, and the result; when the last warning was logged. Each is empty before.
    _counts: list[tuple[int, dict[str, Any]]] = field(init=False, factory=list)
    _warned: list[int] = field(init=False, factory=list)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "public_feed", Feed(self._public_view, self.now_ms))
        object.__setattr__(self, "operator_feed", Feed(self._operator_view, self.now_ms))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            # Policy violation; before the websocket is accepted, the server makes a 403 of it.
            await send({"type": "websocket.close", "code": 1008})
            return
        request = Request.of(scope)
        if request.path == "/events" and request.is_local and request.method == "GET":
            await self._stream(request, receive, send)
            return
        try:
            answer = await self.answer(request, receive)
        except BadRequest as refusal:
            answer = AdminResponse(refusal.status, f"{refusal}\n".encode())
        await _send_start(send, answer.status, answer.content_type, answer.headers)
        await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else answer.body})

    async def answer(self, request: Request, receive: Receive) -> AdminResponse:
        """The response to everything but `/events`. Raises BadRequest."""
        await trio.lowlevel.checkpoint()
        if not request.is_local:
            return AdminResponse(403, b"this address is for this machine only\n")
        if request.method == "POST":
            return await self._post(request, receive)
        if request.method not in ("GET", "HEAD"):
            return AdminResponse(405, b"only GET and POST are answered here\n")
        match request.path:
            case "/":
                return await self._page(request)
            case "/livez":
                return _probe(f"stuck: {', '.join(self.health.stuck_parts())}" if self.health.stuck_parts() else "")
            case "/readyz":
                return _probe("" if self.health.snapshot()["ready"] else self.health.status_line())
            case "/status.json":
                return _json(await self.status(), indent=2)
            case "/logs.json" if request.is_own and self.tail is not None:
                return _json(self._log_lines(self.tail, request.query))
            case "/page.json" if request.is_own:
                return _json({"addresses": self.addresses, "token": self.logins.token})
            case self.metrics_path:
                # The version of Prometheus's text format, without which a scraper may refuse the page.
                return AdminResponse(200, self.metrics.render(), "text/plain; version=0.0.4; charset=utf-8")
        if request.path not in _FILES:
            return AdminResponse(404, b"there is nothing here\n")
        name, content_type = _FILES[request.path]
        return AdminResponse(200, await trio.Path(_PAGE / name).read_bytes(), content_type)

    # the status

    async def status(self) -> dict[str, Any]:
        """Everything known, as plain JSON values; times in milliseconds since the epoch."""
        return {**self._known(), "journal": await self._journal()}

    def _known(self) -> dict[str, Any]:
        snapshot, stuck = self.health.snapshot(), list(self.health.stuck_parts())
        return {
            "version": oc_trio.__version__,
            "pid": os.getpid(),
            "now": self.now_ms(),
            **snapshot,
            "stuck": stuck,
        }

    def _log_lines(self, tail: LogTail, query: str) -> dict[str, Any]:
        """The lines after number `after`, at most `limit`, with the process that they are of."""
        wanted = {name: int(value) for name, value in parse_qsl(query) if value.isascii() and value.isdecimal()}
        lines = tail.after(wanted.get("after", 0), min(wanted.get("limit", MAX_LINES), MAX_LINES))
        return {
            "pid": os.getpid(),
            "startedAt": self.health.snapshot()["startedAt"],
            "lines": [{"number": line.number, "event": line.event} for line in lines],
        }

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

    # the page

    async def _public_view(self) -> PageView:
        now = self.now_ms()
        if not self._counts or now - self._counts[0][0] >= _COUNT_EVERY_MS:
            self._counts[:] = [(now, await self._journal())]
        return status_view({**self._known(), "journal": self._counts[0][1]})

    async def _operator_view(self) -> PageView:
        public = await self._public_view()
        if self.page is None:
            return public
        tables, charts = await self.page.read()
        return evolve(public, tables=(*tables, *public.tables), charts=charts)

    async def _page(self, request: Request) -> AdminResponse:
        login = self.logins.find(request.cookie(self.logins.cookie_name))
        if login is None:
            return self._html(await self._public_view(), Viewer())
        viewer = Viewer(login.csrf, login.notice, login.tone)
        login.notice = login.tone = ""
        return self._html(await self._operator_view(), viewer)

    def _html(self, view: PageView, viewer: Viewer, status: int = 200) -> AdminResponse:
        body = render_page(view, viewer, self.now_ms()).encode("utf-8", "replace")
        return AdminResponse(status, body, _HTML)

    async def _stream(self, request: Request, receive: Receive, send: Send) -> None:
        """Server-sent events until the client leaves, logs out, or the server stops."""
        cookie = request.cookie(self.logins.cookie_name)
        is_operator = self.logins.find(cookie) is not None
        feed = self.operator_feed if is_operator else self.public_feed
        try:
            with feed.open() as client:
                await _send_start(send, 200, "text/event-stream; charset=utf-8")
                await _send_piece(send, f"retry: {RETRY_MS}\n\n".encode())
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_cancel_on_disconnect, receive, nursery.cancel_scope)
                    while not is_operator or self.logins.find(cookie) is not None:
                        await _send_piece(send, await feed.next(client))
                    nursery.cancel_scope.cancel()
            # Also where the feed has failed, which cancels the client's scope: browsers connect again when a response
            # ends.
            await send({"type": "http.response.body", "body": b""})
        except TooManyClients:
            await _send_start(send, 503, "text/plain; charset=utf-8", ((b"retry-after", b"10"),))
            await send({"type": "http.response.body", "body": b"as many watch this page as may\n"})

    # what changes something

    async def _post(self, request: Request, receive: Receive) -> AdminResponse:
        if request.is_own and (done := await self._for_command(request)) is not None:
            return done
        name = request.path.removeprefix("/actions/")
        is_action = name != request.path
        actions = self.page.actions if self.page is not None else {}
        if request.path not in ("/login", "/logout") and name not in actions:
            return AdminResponse(404 if is_action else 405, b"nothing can be changed here\n")
        request.require_same_origin()
        fields = await request.form(receive)
        if request.path == "/login":
            return await self._log_in(fields.get("token", ""))
        login = self._authorised(request, fields)
        if not is_action:
            self.logins.log_out(request.cookie(self.logins.cookie_name))
            # 303, so that the browser follows with a GET, and reloading the page repeats nothing.
            return AdminResponse(303, b"", headers=((b"location", b"/"),))
        try:
            text, status = await actions[name](fields), 200
        except ActionRefused as refusal:
            text, status = str(refusal), 409
            log.warning("an operator's action was refused", action=name, by="local", reason=text)
        # After a refusal, too: what was to be acted on is not there any more.
        if self.page is not None:
            self.page.forget()
        self.operator_feed.refresh()
        if login is None or request.wants_json:
            return evolve(_json({"ok": status == 200, "text": text}), status=status)
        login.notice, login.tone = text, "good" if status == 200 else "bad"
        return AdminResponse(303, b"", headers=((b"location", b"/"),))

    async def _for_command(self, request: Request) -> AdminResponse | None:
        """What commands of this machine ask for over the unix socket; None for anything else. Raises BadRequest."""
        match request.path:
            case "/round-trips.json" if self.round_trips is not None:
                request.require_same_origin()
                return _json({"trips": await self.round_trips()})
            case "/cron/changed" if self.jobs_changed is not None:
                request.require_same_origin()
                self.jobs_changed()
                return _json({})
        return None

    def _authorised(self, request: Request, fields: Mapping[str, str]) -> Login | None:
        """The login that acts; None where the request has the token itself. Raises BadRequest for all others."""
        if request.bearer_token:
            if self.logins.is_token(request.bearer_token):
                return None
            self._warn_of_token()
            raise BadRequest(403, "that is not the token; `oc-trio status --page` prints it")
        login = self.logins.find(request.cookie(self.logins.cookie_name))
        if login is None:
            raise BadRequest(403, "log in first, with the token that `oc-trio status --page` prints")
        if not login.is_csrf(fields.get("csrf", "")):
            raise BadRequest(403, "this was not sent by the status page; load it again")
        return login

    async def _log_in(self, token: str) -> AdminResponse:
        cookie = self.logins.log_in(token.strip())
        if not cookie:
            self._warn_of_token()
            notice = "That is not the token of the gateway that runs now; `oc-trio status --page` prints it."
            return self._html(await self._public_view(), Viewer(notice=notice, tone="bad"), 403)
        log.info("an operator logged in to the status page", by="local")
        settings = f"HttpOnly; SameSite=Strict; Path=/; Max-Age={LOGIN_SECONDS}"
        set_cookie = f"{self.logins.cookie_name}={cookie}; {settings}".encode()
        return AdminResponse(303, b"", headers=((b"location", b"/"), (b"set-cookie", set_cookie)))

    def _warn_of_token(self) -> None:
        now = self.now_ms()
        if not self._warned or now - self._warned[0] >= _LOGIN_WARNING_MS:
            self._warned[:] = [now]
            log.warning("a wrong token was sent to the status page", by="local")


def build_admin_app(
    health: Health,
    metrics: Metrics,
    *,
    now_ms: Callable[[], int],
    metrics_path: str = "/metrics",
    journal: Journal | None = None,
    tail: LogTail | None = None,
    page: OperatorPage | None = None,
    round_trips: RoundTrips | None = None,
    jobs_changed: Callable[[], None] | None = None,
) -> AdminApp:
    """The app; an empty `metrics_path` serves none. `journal` returns the row counts, `tail` keeps the log, `page` has
    what only operators see, and `jobs_changed` is called when a command has changed the scheduled jobs.
    """
    logins = PageLogins(now_ms)
    return AdminApp(health, metrics, metrics_path, journal, now_ms, tail, page, logins, round_trips, jobs_changed)


async def _send_start(
    send: Send, status: int, content_type: str, headers: tuple[tuple[bytes, bytes], ...] = ()
) -> None:
    named = [(b"content-type", content_type.encode()), *_HEADERS, *headers]
    await send({"type": "http.response.start", "status": status, "headers": named})


async def _send_piece(send: Send, piece: bytes) -> None:
    await send({"type": "http.response.body", "body": piece, "more_body": True})


async def _cancel_on_disconnect(receive: Receive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


def _json(value: Any, *, indent: int | None = None) -> AdminResponse:
    text = json.dumps(value, indent=indent, ensure_ascii=False, default=str)
    return AdminResponse(200, text.encode("utf-8", "backslashreplace"), "application/json")


def _probe(problem: str) -> AdminResponse:
    return AdminResponse(503, f"{problem}\n".encode("utf-8", "replace")) if problem else AdminResponse(200, b"ok\n")
