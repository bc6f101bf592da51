"""The server on real sockets: starting, failing to start, TLS, and stopping with a caller that does not read."""

import socket
import ssl
import sys
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import trio
import trustme

from oc_trio.callbacks.endpoints import CommandEndpoint, EndpointRegistry
from oc_trio.callbacks.server import ClientLimits, TlsFiles, serve_callbacks
from oc_trio.core.slash import SlashCall
from oc_trio.errors import CallbackListenFailed
from tests.callbacks.callers import COMMAND_PATH, FORM, MAIN, Port, RecordingHandler, open_port


async def start(
    nursery: trio.Nursery,
    shutdown: trio.Event,
    tls: TlsFiles | None = None,
    *,
    port: Port | None = None,
    limits: ClientLimits = ClientLimits(),  # noqa: B008 - frozen
) -> str:
    app = (port or open_port()).app

    async def run(*, task_status: trio.TaskStatus[str]) -> None:
        await serve_callbacks(app, "127.0.0.1", 0, tls, shutdown=shutdown, limits=limits, task_status=task_status)

    url: str = await nursery.start(run)
    return url


async def test_it_answers_as_soon_as_it_has_started() -> None:
    """`started` comes with a URL that can be called."""
    shutdown = trio.Event()
    async with trio.open_nursery() as nursery:
        url = await start(nursery, shutdown)
        async with httpx.AsyncClient(trust_env=False, verify=False) as client:
            with trio.fail_after(30):
                answer = await client.get(url + COMMAND_PATH)
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
        assert "server" not in answer.headers
        shutdown.set()


async def test_a_port_that_is_taken_is_one_clear_error() -> None:
    """The operator reads the address and the reason, no group and no traceback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            CallbackListenFailed, match=f"can't listen on 127.0.0.1:{port}: Address already in use. Stop"
        ):
            await serve_callbacks(open_port().app, "127.0.0.1", port, shutdown=trio.Event())


async def test_a_host_that_does_not_exist_is_one_clear_error() -> None:
    """A host name that can't be looked up is said so."""
    with pytest.raises(CallbackListenFailed, match="the host name is not known"):
        await serve_callbacks(open_port().app, "no such host", 0, shutdown=trio.Event())


async def test_tls_is_served_directly(tmp_path: Path) -> None:
    """With a certificate the same app answers over HTTPS."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(cert)
    issued.private_key_pem.write_to_path(key)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    shutdown = trio.Event()
    async with trio.open_nursery() as nursery:
        url = await start(nursery, shutdown, TlsFiles(str(cert), str(key)))
        assert url.startswith("https://")
        async with httpx.AsyncClient(trust_env=False, verify=trusting) as client:
            with trio.fail_after(30):
                assert (await client.get(url + COMMAND_PATH)).status_code == 405
        shutdown.set()


async def test_a_missing_certificate_is_one_clear_error(tmp_path: Path) -> None:
    """A certificate that can't be read is said before anything listens."""
    files = TlsFiles(str(tmp_path / "none.pem"), str(tmp_path / "none.key"))
    with pytest.raises(CallbackListenFailed, match=r"gateway\.tls: .* can't be used: No such file"):
        await serve_callbacks(open_port().app, "127.0.0.1", 0, files, shutdown=trio.Event())


@pytest.mark.slow
async def test_a_caller_that_is_in_the_middle_of_a_body_does_not_hold_up_the_stop() -> None:
    """The stop waits three seconds at most for requests in flight."""
    shutdown = trio.Event()
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            url = await start(nursery, shutdown)
            port = int(url.rpartition(":")[2])
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                head = f"POST {COMMAND_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
                await stream.send_all(head.encode())
                shutdown.set()
                assert await stream.receive_some(100) == b""


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)  # and an empty SETTINGS frame
UPGRADE = (
    f"POST {COMMAND_PATH} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    "HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
).encode()


@pytest.mark.parametrize("opening", [PREFACE, UPGRADE], ids=["preface", "upgrade"])
async def test_http2_is_not_spoken(opening: bytes) -> None:
    """A connection that begins with HTTP/2, or asks for it, is closed without a frame; others are served."""
    shutdown = trio.Event()
    async with trio.open_nursery() as nursery:
        url = await start(nursery, shutdown)
        received = b""
        with trio.fail_after(30):
            async with await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2])) as stream:
                await stream.send_all(opening)
                async for part in stream:
                    received += part
        assert received.partition(b"\r\n\r\n")[2] == b""
        assert b"\x04" not in received  # the type of a SETTINGS frame
        async with httpx.AsyncClient(trust_env=False, verify=False) as client:
            assert (await client.get(url + COMMAND_PATH)).status_code == 405
        shutdown.set()


async def dribble(port: int, begin: bytes, *, of: str = "127.0.0.1", every: float = 0.02) -> None:
    """One caller that sends `begin` and then byte after byte, until its connection is closed."""
    stream = await trio.open_tcp_stream("127.0.0.1", port, local_address=of)
    async with stream, trio.open_nursery() as nursery:

        async def send() -> None:
            try:
                await stream.send_all(begin)
                while True:
                    await trio.sleep(every)
                    await stream.send_all(b"a")
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass

        nursery.start_soon(send)
        try:
            while await stream.receive_some(1000):
                pass
        except trio.BrokenResourceError:
            pass
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "begin",
    [
        pytest.param(b"", id="the request line"),
        pytest.param(b"POST /x HTTP/1.1\r\nHost: x\r\nA: ", id="a header"),
        pytest.param(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\nGET /y HTTP/1.1\r\nA: ", id="a header of the second request"),
    ],
)
async def test_headers_have_to_come_in_time(begin: bytes) -> None:
    """However many bytes keep coming: a connection without a whole request ends."""
    shutdown = trio.Event()
    async with trio.open_nursery() as nursery:
        url = await start(nursery, shutdown, limits=ClientLimits(headers=0.2))
        with trio.fail_after(30):
            await dribble(int(url.rpartition(":")[2]), begin)
        shutdown.set()


async def test_a_tls_handshake_has_to_come_in_time(tmp_path: Path) -> None:
    """A caller that begins one and says no more is not waited for."""
    issued = trustme.CA().issue_cert("127.0.0.1")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(cert)
    issued.private_key_pem.write_to_path(key)
    shutdown = trio.Event()
    async with trio.open_nursery() as nursery:
        tls = TlsFiles(str(cert), str(key))
        url = await start(nursery, shutdown, tls, limits=ClientLimits(handshake=0.2))
        with trio.fail_after(30):
            await dribble(int(url.rpartition(":")[2]), b"\x16\x03\x01\x40\x00\x01", every=0.05)
        shutdown.set()


async def genuine(url: str) -> None:
    """A call of the chat server is answered."""
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:
        with trio.fail_after(30):
            answer = await client.post(url + COMMAND_PATH, data=FORM)
    assert answer.status_code == 200


@pytest.mark.skipif(sys.platform != "linux", reason="needs further loopback addresses")
@pytest.mark.parametrize("sources", [1, 40], ids=["one address", "many addresses"])
async def test_dribbled_headers_shut_nobody_out(sources: int) -> None:
    """Whoever holds connections open without a request loses them, the oldest first, to those who have one."""
    shutdown, port, open_now, few = trio.Event(), open_port(), [0], trio.Event()
    async with trio.open_nursery() as nursery:
        url = await start(nursery, shutdown, port=port, limits=ClientLimits(connections=10, headers=60.0))

        async def hold(number: int) -> None:
            open_now[0] += 1
            address = f"127.0.1.{number % sources + 1}"
            await dribble(int(url.rpartition(":")[2]), b"POST / HTTP/1.1\r\nA: ", of=address)
            open_now[0] -= 1
            if open_now[0] <= 10:
                few.set()

        for number in range(40):
            nursery.start_soon(hold, number)
            if number % 10 == 9:
                await genuine(url)
        with trio.fail_after(30):
            await few.wait()
        assert open_now[0] >= 8, "nobody is let go without need"
        await genuine(url)
        shutdown.set()
        nursery.cancel_scope.deadline = trio.current_time() + 4


async def test_a_request_that_is_being_answered_keeps_its_connection() -> None:
    """However many connections come meanwhile; where all are being answered, a new one is closed."""
    shutdown, go_on, both, answered = trio.Event(), trio.Event(), trio.Event(), list[int]()
    calls = [0]

    async def slow(_: SlashCall) -> str:
        calls[0] += 1
        if calls[0] == 2:
            both.set()
        await go_on.wait()
        return "Processing..."

    def behind(registry: EndpointRegistry, handler: RecordingHandler, stack: ExitStack) -> None:
        stack.enter_context(registry.commands(MAIN, COMMAND_PATH, CommandEndpoint(lambda: handler.known, slow)))

    port = open_port(arrange=behind)
    async with trio.open_nursery() as nursery:
        url = await start(nursery, shutdown, port=port, limits=ClientLimits(connections=2, headers=60.0))

        async def ask() -> None:
            async with httpx.AsyncClient(trust_env=False, verify=False, timeout=10) as client:
                answered.append((await client.post(url + COMMAND_PATH, data=FORM)).status_code)

        with trio.fail_after(30):
            async with trio.open_nursery() as callers:
                callers.start_soon(ask)
                callers.start_soon(ask)
                await both.wait()
                for _ in range(3):
                    await dribble(int(url.rpartition(":")[2]), b"POST / HTTP/1.1\r\n")
                go_on.set()
        assert answered == [200, 200]
        shutdown.set()
