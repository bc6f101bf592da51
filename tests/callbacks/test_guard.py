"""The guard under hostile callers: bodies that are too large or too slow, floods, and callers that go away."""

from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlencode

import pytest
import trio
from trio.testing import MockClock

from oc_trio.callbacks.guard import read_body
from oc_trio.callbacks.request_limiter import Limits
from oc_trio.core.sourceip import ProxyTrust, parse_networks
from oc_trio.errors import CallbackRefused
from tests.callbacks.callers import CLICK_PATH, COMMAND_PATH, FORM, HOOK_TOKEN, Port, open_port

FORM_TYPE = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("path", "size", "answer"),
    [
        pytest.param(COMMAND_PATH, 65_537, b"Payload Too Large", id="command"),
        pytest.param(CLICK_PATH, 65_537, b'{"error":"Payload too large"}', id="click"),
        pytest.param("/hooks/wake", 262_145, b'{"ok":false,"error":"Payload too large"}', id="hook"),
    ],
)
async def test_a_body_beyond_the_limit_is_413(path: str, size: int, answer: bytes) -> None:
    """Each endpoint says so in its own form and closes the connection."""
    status, body, headers = await open_port().post(path, b"x" * size)
    assert (status, body, headers["connection"]) == (413, answer, "close")


async def test_a_body_of_the_limit_is_read() -> None:
    """The limit itself still passes the guard."""
    status, _, _ = await open_port().post(CLICK_PATH, b"x" * 65_536)
    assert status == 400


async def test_a_slow_body_is_408(autojump_clock: MockClock) -> None:
    """A body that does not arrive within five seconds is given up."""

    async def stall() -> MutableMapping[str, Any]:
        await trio.sleep(2)
        return {"type": "http.request", "body": b"x", "more_body": True}

    with pytest.raises(CallbackRefused) as refusal:
        await read_body(stall, 1000, 5.0)
    assert refusal.value.status_hint == 408
    assert trio.current_time() == pytest.approx(5.0)


async def test_a_body_is_not_collected_beyond_the_limit() -> None:
    """Reading stops with the chunk that exceeds the limit, whatever length was declared."""
    chunks = iter([b"x" * 600] * 100)
    taken = []

    async def receive() -> MutableMapping[str, Any]:
        await trio.lowlevel.checkpoint()
        taken.append(chunk := next(chunks))
        return {"type": "http.request", "body": chunk, "more_body": True}

    with pytest.raises(CallbackRefused) as refusal:
        await read_body(receive, 1000, 5.0)
    assert (refusal.value.status_hint, len(taken)) == (413, 2)


async def test_a_caller_that_goes_away_is_not_answered() -> None:
    """A disconnect in the middle of a body ends the request."""

    async def receive() -> MutableMapping[str, Any]:
        await trio.lowlevel.checkpoint()
        return {"type": "http.disconnect"}

    assert await read_body(receive, 1000, 5.0) is None


async def test_a_flood_is_429_and_closes_the_connection(autojump_clock: MockClock) -> None:
    """Beyond its burst a source is refused before anything is read, on every path."""
    port = open_port(limits=Limits(rate=1.0, burst=3.0))
    statuses = [(await port.post(path))[0] for path in ("/a", "/b", "/c", "/d", COMMAND_PATH)]
    assert statuses == [404, 404, 404, 429, 429]
    _, body, headers = await port.post(CLICK_PATH)
    assert (body, headers["connection"], headers["retry-after"]) == (b"Too Many Requests", "close", "1")
    assert (await port.post("/a", peer="10.0.0.2"))[0] == 404
    await trio.sleep(2)
    assert (await port.post("/a"))[0] == 404


@pytest.mark.parametrize(
    ("path", "header"),
    [
        pytest.param(COMMAND_PATH, "Token tok-status", id="the chat server's commands"),
        pytest.param("/hooks/wake", f"Bearer {HOOK_TOKEN}", id="hooks"),
    ],
)
async def test_a_caller_with_our_secret_is_not_shut_out_by_a_flood(path: str, header: str) -> None:
    """A known token has an allowance of its own, even from the address of the flood; a guessed one has not."""
    port = open_port(limits=Limits(rate=0.001, burst=2.0))
    for _ in range(5):
        await port.post("/flood")
    assert (await port.post(path, b"{}", headers={"Authorization": "Token guessed"}))[0] == 429
    assert (await port.post(path, b"{}", headers={"Authorization": header}))[0] == 400


async def test_behind_a_proxy_each_client_is_counted() -> None:
    """The address that a trusted proxy names is the source, not the proxy."""
    trust = ProxyTrust(parse_networks(["10.0.0.1"]))
    port = open_port(trust=trust, limits=Limits(rate=0.001, burst=1.0))
    one, other = {"X-Forwarded-For": "192.0.2.1"}, {"X-Forwarded-For": "192.0.2.2"}
    assert (await port.post("/a", headers=one, peer="10.0.0.1"))[0] == 404
    assert (await port.post("/a", headers=one, peer="10.0.0.1"))[0] == 429
    assert (await port.post("/a", headers=other, peer="10.0.0.1"))[0] == 404


async def test_a_websocket_is_closed_at_once() -> None:
    """There is nothing to upgrade to on the public port."""
    port, sent = open_port(), []

    async def receive() -> MutableMapping[str, Any]:
        await trio.lowlevel.checkpoint()
        return {"type": "websocket.connect"}

    async def send(event: MutableMapping[str, Any]) -> None:
        await trio.lowlevel.checkpoint()
        sent.append(event)

    await port.app.asgi_app({"type": "websocket", "path": COMMAND_PATH, "headers": []}, receive, send)  # type: ignore[arg-type]
    assert sent == [{"type": "websocket.close", "code": 1008}]


@pytest.mark.parametrize(("version", "closes"), [("1.1", True), ("2", False)])
async def test_http_2_is_answered_without_a_connection_header(version: str, closes: bool) -> None:
    """The header closes a connection of HTTP/1; in HTTP/2 it would be a fault of ours."""
    port, sent = open_port(limits=Limits(burst=0.0)), []

    async def receive() -> MutableMapping[str, Any]:
        await trio.lowlevel.checkpoint()
        return {"type": "http.disconnect"}

    async def send(event: MutableMapping[str, Any]) -> None:
        await trio.lowlevel.checkpoint()
        sent.append(event)

    scope: dict[str, Any] = {
        "type": "http",
        "http_version": version,
        "method": "POST",
        "path": "/",
        "headers": [],
        "client": None,
    }
    await port.app.asgi_app(scope, receive, send)  # type: ignore[arg-type]
    assert sent[0]["status"] == 429
    assert ((b"connection", b"close") in sent[0]["headers"]) is closes


async def test_a_caller_who_hangs_up_while_answered_leaves_no_trace() -> None:
    """The server closes the stream under the answer: that is nobody's error."""
    port = open_port()

    async def receive() -> MutableMapping[str, Any]:
        await trio.lowlevel.checkpoint()
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(event: MutableMapping[str, Any]) -> None:
        await trio.lowlevel.checkpoint()
        raise trio.BusyResourceError

    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/nowhere", "headers": [], "client": None}
    await port.app.asgi_app(scope, receive, send)  # type: ignore[arg-type]


class SlowCallers:
    """Requests whose bodies never come, straight at the app: 16 from each address."""

    def __init__(self, port: Port, nursery: trio.Nursery) -> None:
        self.port, self.nursery, self.statuses = port, nursery, list[int]()

    async def come(self, *addresses: str) -> None:
        for address in addresses:
            for _ in range(16):
                self.nursery.start_soon(self._call, address)
        await trio.testing.wait_all_tasks_blocked()

    async def _call(self, address: str) -> None:
        async def receive() -> MutableMapping[str, Any]:
            await trio.sleep(1)
            return {"type": "http.request", "body": b"x", "more_body": True}

        async def send(event: MutableMapping[str, Any]) -> None:
            await trio.lowlevel.checkpoint()
            if "status" in event:
                self.statuses.append(event["status"])

        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "POST",
            "path": COMMAND_PATH,
            "headers": [],
            "client": (address, 4000),
        }
        await self.port.app.asgi_app(scope, receive, send)  # type: ignore[arg-type]


FLOOD = [f"203.0.113.{number}" for number in range(8)]


async def test_slow_bodies_of_strangers_do_not_shut_out_the_chat_server(autojump_clock: MockClock) -> None:
    """Its commands show a token, its clicks come from the address of its commands; other strangers have to wait."""
    port, body = open_port(), urlencode(FORM).encode()
    async with trio.open_nursery() as nursery:
        assert (await port.post(COMMAND_PATH, body, headers=FORM_TYPE, peer="192.0.2.1"))[0] == 200
        callers = SlowCallers(port, nursery)
        await callers.come(*FLOOD)
        shown = {**FORM_TYPE, "Authorization": "Token tok-status"}
        assert (await port.post(COMMAND_PATH, body, headers=shown, peer="192.0.2.9"))[0] == 200
        assert (await port.post(COMMAND_PATH, body, headers=FORM_TYPE, peer="192.0.2.1"))[0] == 200
        # A click without a valid signature is read, and refused for what is in it: from this machine, as listed.
        assert (await port.post(CLICK_PATH, b"{}", peer="127.0.0.1"))[0] == 400
        assert (await port.post(COMMAND_PATH, body, headers=FORM_TYPE, peer="198.51.100.1"))[0] == 429
        await trio.sleep(6)
        assert callers.statuses == [408] * 128, "each is ended after five seconds"
        assert (await port.post(COMMAND_PATH, body, headers=FORM_TYPE, peer="198.51.100.1"))[0] == 200


async def test_slow_bodies_from_its_own_address_leave_a_shown_token_alone(autojump_clock: MockClock) -> None:
    """Behind a proxy that names nobody all callers have one address."""
    port, body = open_port(), urlencode(FORM).encode()
    async with trio.open_nursery() as nursery:
        await SlowCallers(port, nursery).come("192.0.2.1")
        shown = {**FORM_TYPE, "Authorization": "Token tok-status"}
        assert (await port.post(COMMAND_PATH, body, headers=FORM_TYPE, peer="192.0.2.1"))[0] == 429
        assert (await port.post(COMMAND_PATH, body, headers=shown, peer="192.0.2.1"))[0] == 200


async def test_a_refused_call_makes_nobody_known(autojump_clock: MockClock) -> None:
    """A guessed token is no reason to keep a place free."""
    port = open_port()
    body = urlencode({**FORM, "token": "guessed", "team_id": "elsewhere"}).encode()
    async with trio.open_nursery() as nursery:
        assert (await port.post(COMMAND_PATH, body, headers=FORM_TYPE, peer="192.0.2.1"))[0] == 401
        await SlowCallers(port, nursery).come(*FLOOD)
        assert (await port.post(COMMAND_PATH, body, headers=FORM_TYPE, peer="192.0.2.1"))[0] == 429
