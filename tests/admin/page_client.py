"""Calls the admin app as a browser or a program would, without a socket."""

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import trio
from attrs import define, field, frozen

from oc_trio.admin.app import AdminApp

HOST = "localhost:9790"
FORM = "application/x-www-form-urlencoded"


@frozen
class Reply:
    """What was answered."""

    status: int
    text: str
    headers: Mapping[str, str]


@define(eq=False)
class Browser:
    """Keeps its cookie, and sends the headers that browsers send with what a page of the app does."""

    app: AdminApp
    cookie: str = ""

    async def get(self, path: str, **more: Any) -> Reply:
        return await self.send("GET", path, {}, b"", **more)

    async def post(self, path: str, headers: Mapping[str, str] | None = None, **fields: str) -> Reply:
        """A form of the page; `headers` replace or add to those of a browser."""
        sent = {"origin": f"http://{HOST}", "content-type": FORM, "sec-fetch-site": "same-origin", **(headers or {})}
        return await self.send("POST", path, sent, urlencode(fields).encode())

    async def log_in(self) -> None:
        reply = await self.post("/login", token=self.app.logins.token)
        assert (reply.status, reply.headers["location"]) == (303, "/")
        self.cookie = reply.headers["set-cookie"].partition(";")[0]

    async def csrf(self) -> str:
        """The value that the page puts into its forms."""
        return (await self.get("/")).text.partition('data-csrf="')[2].partition('"')[0]

    async def send(self, method: str, path: str, headers: Mapping[str, str], body: bytes, **more: Any) -> Reply:
        sent: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        async def receive() -> dict[str, Any]:
            await trio.lowlevel.checkpoint()
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(self.scope(method, path, headers, **more), receive, send)
        answered = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Reply(sent[0]["status"], sent[1]["body"].decode(), answered)

    def scope(self, method: str, path: str, headers: Mapping[str, str], **more: Any) -> dict[str, Any]:
        given = {"host": HOST, **({"cookie": self.cookie} if self.cookie else {}), **headers}
        pairs = [(name.encode(), value.encode()) for name, value in given.items() if value]
        return {"type": "http", "method": method, "path": path, "headers": pairs, "server": ("127.0.0.1", 9790), **more}


@define(eq=False)
class Stream:
    """One open `/events`: reads while `reads` is true. `events` are (name, data); heartbeats are "heartbeat"."""

    events: list[tuple[str, Any]] = field(factory=list)
    status: int = 0
    is_over: bool = False
    raw: bytes = b""
    _reads: trio.Event = field(factory=trio.Event)
    _left: trio.Event = field(factory=trio.Event)

    def pause(self) -> None:
        """Read nothing more, as a browser that sleeps."""
        self._reads = trio.Event()

    def go_on(self) -> None:
        self._reads.set()

    def leave(self) -> None:
        self._left.set()

    def names(self) -> list[str]:
        return [name for name, _ in self.events]

    async def until(self, true: Callable[[], object], within: float = 60.0) -> None:
        with trio.fail_after(within):
            while not true():  # noqa: ASYNC110 - a test looks at what came in
                await trio.sleep(0.01)

    async def run(self, browser: Browser) -> None:
        async def send(message: dict[str, Any]) -> None:
            await self._reads.wait()
            if message["type"] == "http.response.start":
                self.status = message["status"]
            else:
                self.raw += message["body"]
                self._take(message["body"].decode())

        async def receive() -> dict[str, Any]:
            await self._left.wait()
            return {"type": "http.disconnect"}

        await browser.app(browser.scope("GET", "/events", {}), receive, send)
        self.is_over = True

    def _take(self, text: str) -> None:
        lines = dict(line.split(": ", 1) for line in text.strip().splitlines() if ": " in line)
        if "event" in lines:
            self.events.append((lines["event"], json.loads(lines["data"])))
        elif text.startswith(":"):
            self.events.append(("heartbeat", None))


def open_stream(nursery: trio.Nursery, browser: Browser) -> Stream:
    """A stream that reads from the start, in a task of `nursery`."""
    stream = Stream()
    stream.go_on()
    nursery.start_soon(stream.run, browser)
    return stream
