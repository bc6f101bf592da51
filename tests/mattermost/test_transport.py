"""Requests carry the current token, errors are translated, sizes are bounded."""

import ssl
from collections.abc import Callable
from functools import partial

import httpx
import pytest
import trio
import trio.testing
from attrs import evolve

from oc_trio.core.ratelimit import Lane
from oc_trio.errors import LeaseLost, MattermostRejected, MattermostUnavailable, PayloadError
from oc_trio.ids import AccountId
from oc_trio.lease import Fence, Lease
from oc_trio.mattermost.client import Api
from oc_trio.mattermost.transport import REQUEST_SECONDS, Transport, open_server
from oc_trio.network.pool import PooledTransport
from tests.logbook import Logbook
from tests.mattermost.doubles import FakeHttp, error, open_api


async def hang(request: httpx.Request) -> httpx.Response:
    await trio.sleep_forever()
    raise AssertionError


@pytest.mark.parametrize(
    ("method", "answer", "kind", "ambiguous"),
    [
        pytest.param("POST", httpx.ConnectError(""), MattermostUnavailable, False, id="not connected"),
        pytest.param("POST", httpx.ReadError(""), MattermostUnavailable, True, id="lost answer to a write"),
        pytest.param("GET", httpx.ReadError(""), MattermostUnavailable, False, id="lost answer to a read"),
        pytest.param("POST", httpx.RemoteProtocolError("x"), MattermostUnavailable, True, id="broken answer"),
        pytest.param("POST", hang, MattermostUnavailable, True, id="no answer"),
        pytest.param("POST", error(500, "x.y"), MattermostUnavailable, False, id="500"),
        pytest.param("GET", error(403, "x.y"), MattermostRejected, False, id="403"),
        pytest.param("GET", httpx.Response(200, text="<html>"), PayloadError, False, id="html"),
        pytest.param(
            "GET", httpx.Response(302, headers={"location": "//evil"}), MattermostRejected, False, id="redirect"
        ),
    ],
)
async def test_errors_are_ours_and_name_no_secret(
    method: str, answer: object, kind: type[Exception], ambiguous: bool, autojump_clock: trio.testing.MockClock
) -> None:
    """Whatever the network does comes out as one of our three errors, without the token."""
    http = FakeHttp({f"{method} /x": answer})
    async with open_api(http) as api:
        with pytest.raises(kind) as caught:
            await api.transport.request(method, "/x")
    assert getattr(caught.value, "ambiguous", False) == ambiguous
    assert "secret-token" not in str(caught.value)
    assert trio.current_time() <= REQUEST_SECONDS
    assert len(http.log) == 1


async def test_a_429_stops_the_whole_origin(autojump_clock: trio.testing.MockClock) -> None:
    """After a plain-text 429 the next call of any account waits for Retry-After."""
    limited = httpx.Response(429, text="limit exceeded\n", headers={"Retry-After": "4"})
    http = FakeHttp({"GET /x": [limited, {}]})
    async with open_api(http) as api:
        other = Transport(api.transport.server, lambda: "other")
        with pytest.raises(MattermostUnavailable) as caught:
            await api.transport.request("GET", "/x")
        await other.request("GET", "/x", lane=Lane.FINAL)
    assert caught.value.retry_after == 4.0
    assert trio.current_time() == pytest.approx(4.0, abs=0.1)


async def test_answers_beyond_the_limit_are_refused(autojump_clock: trio.testing.MockClock) -> None:
    """Neither an announced nor a streamed body passes the limit."""

    async def endless() -> object:
        for _ in range(100):
            yield b"x" * 1000

    streamed = httpx.Response(200, content=endless())  # type: ignore[arg-type]
    http = FakeHttp({"GET /x": [httpx.Response(200, content=b"x" * 5000), streamed]})
    async with open_api(http) as api:
        for _ in range(2):
            with pytest.raises(PayloadError):
                await api.transport.download("/x", limit=4000)


async def test_the_token_is_asked_each_time_and_cookies_are_not_kept(autojump_clock: trio.testing.MockClock) -> None:
    """A replaced token file is in force at the next request, and no cookie goes from one account to another."""
    tokens = iter(["one", "two"])
    http = FakeHttp({"GET /x": httpx.Response(200, json={}, headers={"Set-Cookie": "MMAUTHTOKEN=abc; Path=/"})})
    async with open_server("http://mm.test/sub/", None, http_transport=http) as server:
        transport = Transport(server, lambda: next(tokens))
        await transport.request("GET", "/x", params={"q": "a b"})
        await transport.request("GET", "/x")
        assert server.websocket_url == "ws://mm.test/sub/api/v4/websocket"
    assert [request.headers["authorization"] for request in http.requests] == ["Bearer one", "Bearer two"]
    assert [request.headers.get("cookie") for request in http.requests] == [None, None]
    assert str(http.requests[0].url) == "http://mm.test/sub/api/v4/x?q=a+b"


async def test_typing_is_dropped_without_an_error(autojump_clock: trio.testing.MockClock) -> None:
    """A server that is away costs nobody a typing event's worth of trouble."""
    async with open_api(FakeHttp({"POST /users/me/typing": httpx.ConnectError("")})) as api:
        assert await api.typing("chan", "root") is False  # type: ignore[arg-type]


async def test_a_pause_of_a_year_is_kept_for_two_minutes(
    logbook: Logbook, autojump_clock: trio.testing.MockClock
) -> None:
    """The refused call and all others wait that long at most, and the log says what was asked for."""
    limited = httpx.Response(429, text="limit exceeded\n", headers={"Retry-After": "31536000"})
    http = FakeHttp({"GET /x": [limited, {}]})
    async with open_api(http) as api:
        with pytest.raises(MattermostUnavailable) as caught:
            await api.transport.request("GET", "/x")
    assert caught.value.retry_after == 120.0
    [line] = logbook.find("Mattermost asks for a longer pause than is kept")
    assert (line["asked_s"], line["kept_s"]) == (31_536_000.0, 120.0)


def leased(api: Api, clock: Callable[[], float] = trio.current_time) -> Lease:
    """Bind the account's requests to a lease that has just been renewed."""
    lease = Lease(Fence(AccountId("default"), "p1", 1), clock)
    lease.renewed(clock())
    api.transport = evolve(api.transport, lease=lease)
    return lease


async def test_nothing_is_sent_after_the_end_of_a_lease(autojump_clock: trio.testing.MockClock) -> None:
    """Neither a request nor what waits for the rate budget when the lease ends."""
    http = FakeHttp({"POST /x": {}})
    async with open_api(http) as api:
        lease = leased(api)
        await api.transport.request("POST", "/x")
        await trio.sleep(lease.seconds_left)
        with pytest.raises(LeaseLost) as caught:
            await api.transport.request("POST", "/x")
    assert not caught.value.ambiguous
    assert http.log == ["POST /x"]


@pytest.mark.parametrize(("method", "ambiguous"), [("POST", True), ("GET", False)])
async def test_a_request_ends_with_the_lease(
    method: str, ambiguous: bool, autojump_clock: trio.testing.MockClock
) -> None:
    """What it has written may have been applied."""
    async with open_api(FakeHttp({f"{method} /x": hang})) as api:
        lease = leased(api)
        with pytest.raises(LeaseLost) as caught:
            await api.transport.request(method, "/x")
    assert caught.value.ambiguous is ambiguous
    assert trio.current_time() < REQUEST_SECONDS
    assert lease.lost.is_set()


async def test_the_last_look_is_before_the_first_byte() -> None:
    """A machine that sleeps while a connection is made sends nothing over it, though Trio's clock knows of no sleep."""
    slept = 0.0
    received = bytearray()

    async def serve(stream: trio.SocketStream) -> None:
        async for chunk in stream:
            received.extend(chunk)

    async def dial(host: str, port: int) -> trio.SocketStream:
        nonlocal slept
        stream = await trio.open_tcp_stream(host, port)
        slept = 60.0
        return stream

    pool = PooledTransport(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), dial=dial, environ={})
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        port = listeners[0].socket.getsockname()[1]
        async with open_server(f"http://127.0.0.1:{port}", None, http_transport=pool) as server:
            api = Api(Transport(server, lambda: "t"))
            leased(api, lambda: trio.current_time() + slept)
            with pytest.raises(LeaseLost):
                await api.transport.request("POST", "/x")
        nursery.cancel_scope.cancel()
    assert bytes(received) == b""
