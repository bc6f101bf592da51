"""What a service manager hears: READY when an account is live, STATUS, the watchdog, STOPPING with its budget."""

import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from tests.e2e.deployment import open_deployment
from tests.e2e.proxy import open_proxy

pytestmark = pytest.mark.e2e


class Manager:
    """The service manager's end of the socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.received: list[str] = []
        self._socket = trio.socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    async def listen(self) -> None:
        await self._socket.bind(str(self.path))

    def close(self) -> None:
        self._socket.close()

    async def wait(self, wanted: str) -> str:
        """The first message from now on that has a line beginning with `wanted`: that line."""
        with trio.fail_after(20):
            while True:
                message = (await self._socket.recv(65536)).decode()
                self.received.append(message)
                hit = next((line for line in message.splitlines() if line.startswith(wanted)), None)
                if hit is not None:
                    return hit


@pytest.fixture
async def manager(tmp_path: Path) -> AsyncIterator[Manager]:
    made = Manager(tmp_path / "notify")
    await made.listen()
    yield made
    made.close()


async def test_a_life_as_a_service(tmp_path: Path, manager: Manager) -> None:
    """READY waits for the websocket, not for the process; the watchdog goes on; STOPPING asks for the drain's time."""
    is_deaf = True

    def deaf(head: bytes) -> bool:
        return is_deaf and b"/api/v4/websocket" in head

    env = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "1500000"}
    async with (
        open_deployment(tmp_path) as deployment,
        open_proxy(deployment.base, loses=deaf) as (proxy, url),
        deployment.gateway(deployment.config(base=url), live=False, env=env) as gateway,
    ):
        while not proxy.lost:
            await manager.wait("STATUS=")
        assert "live" not in (await manager.wait("STATUS=serving; default: "))
        assert not any("READY" in message for message in manager.received)
        is_deaf = False
        await manager.wait("READY=1")
        assert "live as @bot" in await manager.wait("STATUS=serving; default: ")
        began = trio.current_time()
        for _ in range(3):
            await manager.wait("WATCHDOG=1")
        assert trio.current_time() - began < 3
        gateway.process.send_signal(signal.SIGTERM)
        await manager.wait("STOPPING=1")
        assert "EXTEND_TIMEOUT_USEC=" in manager.received[-1]
        assert await gateway.end() == 0
