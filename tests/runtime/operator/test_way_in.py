"""A WebSocket that opens and then falls silent, as `oc-trio doctor` finds it."""

from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from oc_trio.config.document import Document
from oc_trio.config.load import build
from oc_trio.ids import AccountId
from oc_trio.mattermost.transport import open_server
from oc_trio.runtime.account.dependencies import Dependencies
from oc_trio.runtime.operator.checks.way_in import check_way_in
from oc_trio.runtime.operator.findings import Finding
from oc_trio.sandbox.demo import seed
from oc_trio.sandbox.faults import Deliver, Faults, FrameOutcome, Freeze
from oc_trio.sandbox.http_transport import SandboxTransport
from oc_trio.sandbox.hub import WebConn
from oc_trio.sandbox.websocket_stream import serve_websocket_stream
from oc_trio.sandbox.world import World

URL = "http://mm.test"


class Silence(Faults):
    """Freezes each connection at its frame with this number; the greeting is 0."""

    def __init__(self, at: int) -> None:
        self.left = at

    async def frame(self, connection: WebConn, frame: str) -> FrameOutcome:
        self.left -= 1
        return Freeze() if self.left < 0 else Deliver((frame,))


async def way_in(faults: Faults, hold_seconds: float = 0.0) -> tuple[Finding, list[str]]:
    """What is found before a server with these faults, and the lines of progress."""
    world = World(faults=faults)
    demo = seed(world)
    network = {"dangerouslyAllowPrivateNetwork": True}
    values: dict[str, Any] = {
        "channels": {"mattermost": {"baseUrl": URL, "botToken": demo.bot.token, "network": network}}
    }
    account = build(Document(values), {"STATE_DIRECTORY": "/nonexistent"}).accounts[AccountId("default")]
    lines: list[str] = []
    async with trio.open_nursery() as nursery:

        async def open_stream(host: str, port: int, tls: object) -> trio.abc.Stream:
            await trio.lowlevel.checkpoint()
            ours, theirs = trio.testing.memory_stream_pair()
            nursery.start_soon(serve_websocket_stream, world, theirs)
            return ours

        dependencies = Dependencies(open_stream=open_stream)
        async with open_server(URL, None, http_transport=SandboxTransport(world)) as server:
            found = await check_way_in(server, account, dependencies, hold_seconds=hold_seconds, progress=lines.append)
        nursery.cancel_scope.cancel()
    return found, lines


@pytest.mark.parametrize(
    ("at", "code", "text"),
    [
        (0, "socket.no_greeting", "opened, and Mattermost did not greet: no greeting within 10 s"),
        (1, "socket.no_ping", "an action ping got no answer within 10 s"),
    ],
)
async def test_silence(at: int, code: str, text: str, autojump_clock: MockClock) -> None:
    """Each has its deadline and its name."""
    found, _ = await way_in(Silence(at))
    assert (found.code, found.text) == (code, text)
    assert found.fix.startswith("look at the proxy before Mattermost")


async def test_it_is_held(autojump_clock: MockClock) -> None:
    """Past the minute after which proxies end quiet connections, and progress is told."""
    found, lines = await way_in(Faults(), hold_seconds=90.0)
    assert found.code == "socket.ok"
    assert trio.current_time() >= 90
    assert lines[:2] == [
        "websocket of default: held without a word for 0 of 90 s",
        "websocket of default: held without a word for 15 of 90 s",
    ]
