"""The admin API on real sockets: who may connect, the clean-up, and failures to listen."""

import logging
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import trio

from oc_trio.admin.app import AdminApp, build_admin_app
from oc_trio.admin.server import UNREAD_SECONDS, AdminListenFailed, serve_admin
from oc_trio.telemetry.health import Health
from oc_trio.telemetry.metrics import Metrics


def app() -> AdminApp:
    return build_admin_app(Health(lambda: 0), Metrics(), now_ms=lambda: 0)


async def test_socket_and_port(tmp_path: Path) -> None:
    """Both answer; the socket is its owner's alone, replaces a dead one, and is gone at the end."""
    path = tmp_path / "admin.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with trio.open_nursery() as nursery:

        async def serve(task_status: trio.TaskStatus[tuple[str, ...]]) -> None:
            await serve_admin(app(), path=path, port=0, task_status=task_status)

        named, url = await nursery.start(serve)
        assert named == f"unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(path), verify=False)) as local:
            assert (await local.get("http://localhost/livez")).text == "ok\n"
        async with httpx.AsyncClient(verify=False) as http:
            assert (await http.get(f"{url}/livez")).text == "ok\n"
            assert "text/html" in (await http.get(url)).headers["content-type"]
        nursery.cancel_scope.cancel()
    assert not path.exists()


async def test_a_socket_that_is_answered_is_left_alone(tmp_path: Path) -> None:
    """It is another gateway's with the same state directory, to which commands go on to speak."""
    path = tmp_path / "admin.sock"
    async with trio.open_nursery() as nursery:

        async def serve(task_status: trio.TaskStatus[tuple[str, ...]]) -> None:
            await serve_admin(app(), path=path, task_status=task_status)

        await nursery.start(serve)
        with pytest.raises(AdminListenFailed, match="another gateway answers at the admin socket"):
            await serve_admin(app(), path=path)
        async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(path), verify=False)) as local:
            assert (await local.get("http://localhost/livez")).text == "ok\n"
        nursery.cancel_scope.cancel()


async def test_what_can_not_be_had(tmp_path: Path) -> None:
    """A port in use, a folder that is not there, a path that is too long: said in words."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(AdminListenFailed, match=f"127.0.0.1:{port} can't be used: Address already in use"):
            await serve_admin(app(), port=port)
    with pytest.raises(AdminListenFailed, match="No such file or directory"):
        await serve_admin(app(), path=tmp_path / "missing" / "admin.sock")
    with pytest.raises(AdminListenFailed, match="too long"):
        await serve_admin(app(), path=tmp_path / ("x" * 120))


async def test_a_file_is_not_replaced(tmp_path: Path) -> None:
    """Only a socket that was left behind makes way."""
    precious = tmp_path / "admin.sock"
    precious.write_text("mine")
    with pytest.raises(AdminListenFailed):
        await serve_admin(app(), path=precious)
    assert precious.read_text() == "mine"


@pytest.mark.slow
async def test_a_client_that_reads_nothing_holds_no_stop_up(tmp_path: Path) -> None:
    """Its connection is closed after a few seconds, though Hypercorn would wait for it for ever."""
    path, gone = tmp_path / "admin.sock", trio.Event()

    async def pour(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})

    with trio.fail_after(UNREAD_SECONDS + 30):
        async with trio.open_nursery() as nursery:

            async def serve(task_status: trio.TaskStatus[tuple[str, ...]]) -> None:
                try:
                    await serve_admin(cast("Any", pour), path=path, task_status=task_status)
                finally:
                    gone.set()

            await nursery.start(serve)
            async with await trio.open_unix_socket(path) as client:
                await client.send_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
                await client.receive_some(1)
                await trio.sleep(0.1)
                nursery.cancel_scope.cancel()
                # Still connected, and not reading, while the server ends.
                with trio.CancelScope(shield=True):
                    await gone.wait()


class Records(logging.Handler):
    """What libraries log."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def logged() -> Iterator[list[logging.LogRecord]]:
    handler = Records()
    logging.getLogger().addHandler(handler)
    yield handler.records
    logging.getLogger().removeHandler(handler)


async def test_a_defect_in_a_request(tmp_path: Path, logged: list[logging.LogRecord]) -> None:
    """It is answered with 500 and is in the log; what comes after it is served."""

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        await trio.lowlevel.checkpoint()
        raise KeyError("a defect")

    async with trio.open_nursery() as nursery:

        async def serve(task_status: trio.TaskStatus[tuple[str, ...]]) -> None:
            await serve_admin(cast("Any", broken), port=0, task_status=task_status)

        (url,) = await nursery.start(serve)
        async with httpx.AsyncClient(verify=False) as http:
            assert [(await http.get(url)).status_code for _ in range(2)] == [500, 500]
        nursery.cancel_scope.cancel()
    assert [record.exc_info[0] for record in logged if record.exc_info] == [KeyError, KeyError]
