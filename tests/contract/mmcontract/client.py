"""Who calls the server (`Actor`), what it calls back (`Hook`), and one websocket (`Socket`)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import websockets

from tests.contract.mmcontract.values import as_json

if TYPE_CHECKING:
    from tests.contract.mmcontract.runner import Kit
    from tests.contract.mmcontract.scenario import Run

WS_TIMEOUT = 8.0  # seconds to wait for one websocket event


@dataclass
class Actor:
    """Somebody who calls the API: an admin, a user, a bot, or nobody (no token)."""

    kit: Kit
    label: str
    id: str = ""
    name: str = ""
    token: str = ""

    async def req(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: dict[str, Any] | None = None,
        headers: dict[str, Any] | None = None,
        **kw: Any,
    ) -> httpx.Response:
        h = {"Authorization": "Bearer " + self.token} if self.token else {}
        h.update(headers or {})
        if body is not None:
            kw["json"] = body
        url = path if path.startswith("http") else self.kit.base + "/api/v4" + path
        r = await self.kit.http.request(method, url, params=params, headers=h, **kw)
        self.kit.on_wire(self, method, path, params, body, r)
        return r

    async def get(self, path: str, **kw: Any) -> httpx.Response:
        return await self.req("GET", path, **kw)

    async def post(self, path: str, body: Any = None, **kw: Any) -> httpx.Response:
        return await self.req("POST", path, body, **kw)

    async def put(self, path: str, body: Any = None, **kw: Any) -> httpx.Response:
        return await self.req("PUT", path, body, **kw)

    async def delete(self, path: str, **kw: Any) -> httpx.Response:
        return await self.req("DELETE", path, **kw)

    async def ok(self, method: str, path: str, body: Any = None, **kw: Any) -> Any:
        """A call that must succeed for the scenario to make sense."""
        r = await self.req(method, path, body, **kw)
        if r.status_code >= 300:
            raise SetupError(f"{self.label} {method} {path} -> {r.status_code} {r.text[:300]}")
        try:
            return r.json()
        except ValueError:
            return r.text

    async def say(self, channel_id: str, message: str, **more: Any) -> dict[str, Any]:
        post: dict[str, Any] = await self.ok("POST", "/posts", {"channel_id": channel_id, "message": message, **more})
        return post


class SetupError(Exception):
    pass


class Hook:
    """A callback listener: what an integration (button, slash command, dialog) receives."""

    def __init__(self, host: str):
        self.host = host
        self.calls: list[dict[str, Any]] = []
        self.answers: dict[str, Any] = {}
        self.server: asyncio.Server | None = None
        self.url = ""
        self.n = 0
        self.on_call: Callable[[dict[str, Any]], None] = lambda call: None

    async def start(self) -> None:
        self.server = await asyncio.start_server(self._serve, self.host, 0)
        port = self.server.sockets[0].getsockname()[1]
        self.url = f"http://{self.host}:{port}"

    async def stop(self) -> None:
        if self.server:
            self.server.close()

    def path(self, answer: Any) -> str:
        """A fresh URL that gives this answer: (status, content type, text[, delay seconds])."""
        self.n += 1
        p = f"/hook{self.n}"
        self.answers[p] = answer
        return self.url + p

    def json(self, value: Any, status: int = 200, delay: float = 0) -> str:
        return self.path((status, "application/json", json.dumps(value), delay))

    def got(self, url: str) -> list[dict[str, Any]]:
        p = urlsplit(url).path
        return [c for c in self.calls if c["path"] == p]

    async def _serve(self, rd: asyncio.StreamReader, wr: asyncio.StreamWriter) -> None:
        try:
            head = (await rd.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *rest = head.rstrip().split("\r\n")
            method, target, _ = first.split(" ", 2)
            headers = {k.strip().lower(): v.strip() for k, v in (x.split(":", 1) for x in rest)}
            body = b""
            if "content-length" in headers:
                body = await rd.readexactly(int(headers["content-length"]))
            elif headers.get("transfer-encoding", "") == "chunked":
                while True:
                    size = int((await rd.readline()).split(b";")[0], 16)
                    chunk = await rd.readexactly(size + 2)
                    if size == 0:
                        break
                    body += chunk[:-2]
            u = urlsplit(target)
            call = {
                "method": method,
                "path": u.path,
                "query": u.query,
                "headers": headers,
                "body": body.decode("utf-8", "replace"),
            }
            self.calls.append(call)
            self.on_call(call)
            status, ctype, text, *delay = self.answers.get(u.path, (404, "text/plain", "no such hook"))
            if callable(text):
                text = text(call)
            if delay and delay[0]:
                await asyncio.sleep(delay[0])
            data = str(text).encode()
            fields = f"Content-Type: {ctype}\r\nContent-Length: {len(data)}\r\nConnection: close"
            wr.write(f"HTTP/1.1 {status} X\r\n{fields}\r\n\r\n".encode() + data)
            await wr.drain()
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError, ValueError):
            pass
        finally:
            with contextlib.suppress(Exception):
                wr.close()


class Socket:
    """One websocket connection, with everything it received."""

    def __init__(self, t: Run, actor: Actor, conn: Any):
        self.t, self.actor, self.conn = t, actor, conn
        self.log: list[dict[str, Any]] = []  # every message, in order
        self.used: set[int] = set()  # indexes that expect() gave out
        self.seq = 0
        self.close_code: int | None = None
        self.news = asyncio.Event()
        self.task = asyncio.create_task(self._pump())

    async def _pump(self) -> None:
        try:
            async for frame in self.conn:
                self.log.append(json.loads(frame))
                self.t.kit.on_ws(self.actor, self.log[-1])
                self.news.set()
        except websockets.ConnectionClosed:
            pass
        self.close_code = self.conn.close_code
        self.news.set()

    async def _until(self, test: Callable[[], Any], timeout: float, what: str) -> Any:
        end = time.monotonic() + timeout
        while True:
            self.news.clear()
            v = test()
            if v is not None:
                return v
            left = end - time.monotonic()
            if left <= 0 or self.task.done():
                last = [m.get("event") or m for m in self.log][-12:]
                raise SetupError(f"{self.actor.label}'s websocket: no {what} in {timeout:g} s; got {last}")
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.news.wait(), left)

    async def expect(
        self, event: str, where: Callable[[dict[str, Any]], Any] | None = None, timeout: float = WS_TIMEOUT
    ) -> dict[str, Any]:
        """The next not yet seen event of that name (that satisfies `where`)."""

        def find() -> dict[str, Any] | None:
            for i, m in enumerate(self.log):
                if i not in self.used and m.get("event") == event and (where is None or where(m)):
                    self.used.add(i)
                    return m
            return None

        found: dict[str, Any] = await self._until(find, timeout, event)
        return found

    async def posted(self, post_id_or_text: str, timeout: float = WS_TIMEOUT) -> dict[str, Any]:
        def hit(m: dict[str, Any]) -> bool:
            p = as_json(m["data"].get("post", "null"))
            return isinstance(p, dict) and post_id_or_text in (p.get("id"), p.get("message"))

        return await self.expect("posted", hit, timeout)

    async def act(self, action: str, data: dict[str, Any] | None = None, seq: int | None = None) -> dict[str, Any]:
        """Sends an action, returns the reply to it."""
        self.seq = seq if seq is not None else self.seq + 1
        msg: dict[str, Any] = {"seq": self.seq, "action": action}
        if data is not None:
            msg["data"] = data
        await self.conn.send(json.dumps(msg))
        return await self.reply(self.seq)

    async def reply(self, seq: int, timeout: float = WS_TIMEOUT) -> dict[str, Any]:
        def find() -> dict[str, Any] | None:
            for i, m in enumerate(self.log):
                if i not in self.used and m.get("seq_reply", 0) == seq and "status" in m:
                    self.used.add(i)
                    return m
            return None

        found: dict[str, Any] = await self._until(find, timeout, f"reply to {seq}")
        return found

    async def closed(self, timeout: float = 10) -> int | None:
        """Waits for the server to close; the close code, or None when it does not."""
        try:
            await asyncio.wait_for(asyncio.shield(self.task), timeout)
        except TimeoutError:
            return None
        return self.close_code

    async def drop(self) -> None:
        """Loses the connection the hard way: no close frame."""
        self.conn.transport.abort()
        with contextlib.suppress(Exception):
            await asyncio.wait_for(asyncio.shield(self.task), 5)
        await asyncio.sleep(0.4)  # let the server notice

    async def close(self) -> None:
        with contextlib.suppress(Exception):
            await self.conn.close()
        self.task.cancel()

    def events(self, *names: str) -> list[dict[str, Any]]:
        return [m for m in self.log if m.get("event") in names]

    def first_event(self) -> dict[str, Any]:
        return next((m for m in self.log if "event" in m), {})
