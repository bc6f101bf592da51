"""The server on real sockets: starting, failing to start, TLS, and stopping with a caller that does not read."""

import socket
import ssl
from pathlib import Path

import httpx
import pytest
import trio
import trustme

from oc_trio.callbacks.server import ListenFailed, TlsFiles, serve_callbacks
from tests.callbacks.callers import COMMAND_PATH, open_port


async def start(nursery: trio.Nursery, shutdown: trio.Event, tls: TlsFiles | None = None) -> str:
    app = open_port().app

    async def run(*, task_status: trio.TaskStatus[str]) -> None:
        await serve_callbacks(app, "127.0.0.1", 0, tls, shutdown=shutdown, task_status=task_status)

    url: str = await nursery.start(run)
    return url


async def test_it_answers_as_soon_as_it_has_started() -> None:
    """`started` comes with a URL that can be called."""
    shutdown = trio.Event()
    async with trio.open_nursery() as nursery:
        url = await start(nursery, shutdown)
        async with httpx.AsyncClient(trust_env=False) as client:
            with trio.fail_after(5):
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
        with pytest.raises(ListenFailed, match=f"can't listen on 127.0.0.1:{port}: Address already in use"):
            await serve_callbacks(open_port().app, "127.0.0.1", port, shutdown=trio.Event())


async def test_a_host_that_does_not_exist_is_one_clear_error() -> None:
    """A host name that can't be looked up is said so."""
    with pytest.raises(ListenFailed, match="the host name is not known"):
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
            with trio.fail_after(5):
                assert (await client.get(url + COMMAND_PATH)).status_code == 405
        shutdown.set()


async def test_a_missing_certificate_is_one_clear_error(tmp_path: Path) -> None:
    """A certificate that can't be read is said before anything listens."""
    files = TlsFiles(str(tmp_path / "none.pem"), str(tmp_path / "none.key"))
    with pytest.raises(ListenFailed, match=r"gateway\.tls: .* can't be used: No such file"):
        await serve_callbacks(open_port().app, "127.0.0.1", 0, files, shutdown=trio.Event())


async def test_a_caller_that_is_in_the_middle_of_a_body_does_not_hold_up_the_stop() -> None:
    """The stop waits three seconds at most for requests in flight."""
    shutdown = trio.Event()
    with trio.fail_after(8):
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
        said = b""
        with trio.fail_after(5):
            async with await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2])) as stream:
                await stream.send_all(opening)
                async for part in stream:
                    said += part
        assert said.partition(b"\r\n\r\n")[2] == b""
        assert b"\x04" not in said  # the type of a SETTINGS frame
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(url + COMMAND_PATH)).status_code == 405
        shutdown.set()
