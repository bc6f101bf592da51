"""One websocket: the upgrade and its refusals, the first frame, closing, and errors without exception groups."""

import ssl
from contextlib import suppress
from functools import partial

import pytest
import trio
import trio.testing
import trustme
from attrs import define
from trio_websocket import ConnectionClosed

from oc_trio.core.connection import ResumePoint
from oc_trio.core.events import ActionReply, EventFrame, Hello
from oc_trio.errors import LeaseLost, MattermostError, MattermostRejected, MattermostUnavailable, PayloadError
from oc_trio.ids import AccountId, ChannelId
from oc_trio.lease import Fence, Lease
from oc_trio.mattermost.socket import CLOSE_SECONDS, HANDSHAKE_SECONDS, MOST_TYPING, TYPING_SECONDS, open_socket
from tests.mattermost.doubles import FakeSockets, Peer

URL = "ws://mm.test/api/v4/websocket"


async def greeting(peer: Peer) -> None:
    await peer.hello()
    await peer.answer_pings()


async def test_hello_and_events_come_in_order(autojump_clock: trio.testing.MockClock, nursery: trio.Nursery) -> None:
    """The first frame of a new queue is the hello, and events follow."""

    async def script(peer: Peer) -> None:
        await peer.hello("c1")
        await peer.posted(1, "p1")
        await peer.answer_pings()

    sockets = FakeSockets(nursery, [script])
    async with open_socket(URL, "t", None, open_stream=sockets.open_stream) as socket:
        assert await socket.greet(ping=False) == EventFrame(0, Hello("c1", "11.2.0"))
        assert (await socket.receive()).seq == 1


async def test_a_resume_asks_for_a_sign_of_life(autojump_clock: trio.testing.MockClock, nursery: trio.Nursery) -> None:
    """The queue's name and number are in the address, and a ping is answered."""
    sockets = FakeSockets(nursery, [Peer.answer_pings])
    resume = ResumePoint("c1", 5)
    async with open_socket(URL, "t", resume, open_stream=sockets.open_stream) as socket:
        assert await socket.greet(ping=True) == ActionReply(1, ok=True)
    assert sockets.dials == ["/api/v4/websocket?connection_id=c1&sequence_number=5"]


@pytest.mark.parametrize(
    ("status", "kind", "retry_after"),
    [
        pytest.param(401, MattermostRejected, None, id="401"),
        pytest.param(403, MattermostRejected, None, id="403"),
        pytest.param(404, MattermostRejected, None, id="404"),
        pytest.param(429, MattermostUnavailable, 1.0, id="429"),
        pytest.param(502, MattermostUnavailable, None, id="502"),
    ],
)
async def test_a_refused_upgrade_says_why(
    status: int,
    kind: type[MattermostError],
    retry_after: float | None,
    autojump_clock: trio.testing.MockClock,
    nursery: trio.Nursery,
) -> None:
    """An HTTP answer instead of the upgrade is mapped like any answer."""
    sockets = FakeSockets(nursery, [greeting], refusals=[(status, b"no")])
    with pytest.raises(kind) as caught:
        async with open_socket(URL, "t", None, open_stream=sockets.open_stream):
            raise AssertionError
    assert getattr(caught.value, "status", None) == status
    assert getattr(caught.value, "retry_after", None) == retry_after
    assert ("a proxy before Mattermost does not pass on" in str(caught.value)) is (status == 404)


async def test_a_connection_that_ends_in_the_upgrade_is_noticed_at_once(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """A proxy that hangs up costs no handshake deadline."""

    async def hang_up(host: str, port: int, tls: ssl.SSLContext | None) -> trio.abc.Stream:
        ours, theirs = trio.testing.memory_stream_pair()
        await theirs.aclose()
        return ours

    with pytest.raises(MattermostUnavailable, match="closed during"):
        async with open_socket(URL, "t", None, open_stream=hang_up):
            raise AssertionError
    assert trio.current_time() == 0


async def test_a_server_that_never_upgrades_is_left(autojump_clock: trio.testing.MockClock) -> None:
    """Silence ends at the handshake's deadline."""

    async def mute(host: str, port: int, tls: ssl.SSLContext | None) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        return trio.testing.memory_stream_pair()[0]

    with pytest.raises(MattermostUnavailable, match="no websocket upgrade"):
        async with open_socket(URL, "t", None, open_stream=mute):
            raise AssertionError
    assert trio.current_time() == HANDSHAKE_SECONDS


async def test_errors_of_the_body_come_out_bare(autojump_clock: trio.testing.MockClock, nursery: trio.Nursery) -> None:
    """What the user of the socket raises is not wrapped in a group."""
    sockets = FakeSockets(nursery, [greeting])
    with pytest.raises(ZeroDivisionError):
        async with open_socket(URL, "t", None, open_stream=sockets.open_stream):
            raise ZeroDivisionError


async def test_leaving_is_bounded_with_a_dead_peer(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """A peer that does not close back holds us for CLOSE_SECONDS, under cancellation as well."""

    async def deaf(peer: Peer) -> None:
        await peer.hello()
        peer.connection._reader_running = False
        await trio.sleep_forever()

    sockets = FakeSockets(nursery, [deaf])
    with trio.move_on_after(1):
        async with open_socket(URL, "t", None, open_stream=sockets.open_stream):
            await trio.sleep_forever()
    assert trio.current_time() <= 1 + CLOSE_SECONDS
    nursery.cancel_scope.cancel()


async def test_a_cancelled_socket_still_closes_in_order(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """On cancellation the closing handshake is done, at once, with code 1000."""
    codes: list[int] = []

    async def script(peer: Peer) -> None:
        await peer.hello()
        await peer.answer_pings()
        codes.append(peer.connection.closed.code if peer.connection.closed else 0)

    sockets = FakeSockets(nursery, [script])
    with trio.move_on_after(1):
        async with open_socket(URL, "t", None, open_stream=sockets.open_stream):
            await trio.sleep_forever()
    await trio.testing.wait_all_tasks_blocked()
    assert (codes, trio.current_time()) == ([1000], 1)


async def test_a_ping_that_comes_during_the_close_is_no_error(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """A server that goes on pinging after our close frame changes nothing: the body's own error comes out, alone."""

    async def pinging(peer: Peer) -> None:
        await peer.hello()
        peer.connection._reader_running = False
        with suppress(trio.BrokenResourceError):
            while True:
                await peer.stream.send_all(b"\x89\x01p")
                await trio.sleep(0.01)

    sockets = FakeSockets(nursery, [pinging])
    with pytest.raises(MattermostUnavailable, match="overflow"):
        async with open_socket(URL, "t", None, open_stream=sockets.open_stream):
            raise MattermostUnavailable("overflow")
    with trio.move_on_after(1) as scope:
        async with open_socket(URL, "t", None, open_stream=sockets.open_stream):
            await trio.sleep_forever()
    assert scope.cancelled_caught
    nursery.cancel_scope.cancel()


async def test_too_large_a_message_has_its_code(autojump_clock: trio.testing.MockClock, nursery: trio.Nursery) -> None:
    """A frame beyond the limit closes the socket with 1009."""

    async def huge(peer: Peer) -> None:
        await peer.send({"event": "x", "seq": 0, "data": {"x": "y" * 5_000_000}})
        await trio.sleep(5)

    sockets = FakeSockets(nursery, [huge])
    with pytest.raises(MattermostUnavailable) as caught:
        async with open_socket(URL, "t", None, open_stream=sockets.open_stream) as socket:
            await socket.greet(ping=False)
    assert caught.value.code == "ws.1009"


async def test_garbage_is_their_fault(autojump_clock: trio.testing.MockClock, nursery: trio.Nursery) -> None:
    """A frame that is no JSON raises PayloadError."""

    async def garbage(peer: Peer) -> None:
        await peer.connection.send_message("<html>")
        await trio.sleep(5)

    sockets = FakeSockets(nursery, [garbage])
    with pytest.raises(PayloadError):
        async with open_socket(URL, "t", None, open_stream=sockets.open_stream) as socket:
            await socket.greet(ping=False)


async def test_a_refused_ping_means_a_revoked_token(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """FAIL 401 in answer to an action comes out of `receive`."""

    async def script(peer: Peer) -> None:
        await peer.hello()
        action = await peer.action()
        fault = {"id": "api.web_socket_router.not_authenticated.app_error", "status_code": 401}
        await peer.send({"status": "FAIL", "error": fault, "seq_reply": action["seq"]})
        await trio.sleep(5)

    sockets = FakeSockets(nursery, [script])
    async with open_socket(URL, "t", None, open_stream=sockets.open_stream) as socket:
        await socket.greet(ping=False)
        async with trio.open_nursery() as inner:
            inner.start_soon(socket.ping)
            with pytest.raises(MattermostRejected) as caught:
                await socket.receive()
            inner.cancel_scope.cancel()
    assert caught.value.is_auth


async def test_a_bad_certificate_is_told_by_name(nursery: trio.Nursery) -> None:
    """A certificate of an unknown authority fails at once, with the reason."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("localhost").configure_cert(server)

    async def handle(stream: trio.SSLStream[trio.SocketStream]) -> None:
        try:
            await stream.do_handshake()
        except trio.BrokenResourceError:
            await trio.aclose_forcefully(stream)

    listeners = await nursery.start(partial(trio.serve_ssl_over_tcp, handle, 0, server, host="127.0.0.1"))
    port = listeners[0].transport_listener.socket.getsockname()[1]
    with trio.fail_after(30), pytest.raises(MattermostUnavailable, match="certificate"):
        async with open_socket(f"wss://localhost:{port}/", "t", None, ssl_context=ssl.create_default_context()):
            raise AssertionError
    nursery.cancel_scope.cancel()


@define(eq=False)
class StuckStream(trio.abc.Stream):
    """One that takes nothing any more, as soon as `is_stuck`."""

    inner: trio.abc.Stream
    is_stuck: bool = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if self.is_stuck:
            await trio.sleep_forever()
        await self.inner.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.inner.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self.inner.receive_some(max_bytes)

    async def aclose(self) -> None:
        await self.inner.aclose()


async def test_typing_is_sent_by_the_connection(autojump_clock: trio.testing.MockClock, nursery: trio.Nursery) -> None:
    """Nobody waits for it, and a conversation that is due already is not sent twice."""
    actions: list[str] = []

    async def script(peer: Peer) -> None:
        await peer.hello()
        actions.extend([(await peer.action())["data"]["parent_id"] for _ in range(2)])
        await peer.posted(1, "p")
        await trio.sleep(5)

    sockets = FakeSockets(nursery, [script])
    async with open_socket(URL, "t", None, open_stream=sockets.open_stream) as socket:
        await socket.greet(ping=False)
        for root in ("one", "two", "one"):
            assert socket.typing(ChannelId("chan"), root)
        await socket.receive()
    assert actions == ["one", "two"]


async def test_typing_of_a_thousand_turns_at_once_leaves_the_connection_whole(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """Those that have waited longest go without, and the connection stays."""
    seen: list[str] = []
    turns = 2 * MOST_TYPING

    async def script(peer: Peer) -> None:
        await peer.hello()
        await peer.posted(1, "p")
        while len(seen) < MOST_TYPING:
            seen.append((await peer.action())["data"]["parent_id"])
            await trio.sleep(0.01)
        await peer.posted(2, "q")
        await trio.sleep(5)

    sockets = FakeSockets(nursery, [script])
    async with open_socket(URL, "t", None, open_stream=sockets.open_stream) as socket:
        await socket.greet(ping=False)
        await socket.receive()
        for turn in range(turns):
            assert socket.typing(ChannelId("chan"), str(turn))
        await socket.receive()
    assert seen == [str(turn) for turn in range(turns - MOST_TYPING, turns)]


async def test_typing_into_a_dead_connection_is_given_up(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """Half a frame would garble what follows, so the connection ends with it."""
    streams: list[StuckStream] = []

    async def open_stream(host: str, port: int, tls: ssl.SSLContext | None) -> trio.abc.Stream:
        streams.append(StuckStream(await sockets.open_stream(host, port, tls)))
        return streams[0]

    async def script(peer: Peer) -> None:
        await peer.hello()
        await trio.sleep(50)

    async def use() -> None:
        async with open_socket(URL, "t", None, open_stream=open_stream) as socket:
            await socket.greet(ping=False)
            streams[0].is_stuck = True
            assert socket.typing(ChannelId("chan"), "root")
            await socket.receive()

    sockets = FakeSockets(nursery, [script])
    began = trio.current_time()
    with pytest.raises(MattermostUnavailable, match="closed with 1006"):
        await use()
    assert trio.current_time() - began == pytest.approx(TYPING_SECONDS, abs=CLOSE_SECONDS)


async def test_after_the_lease_nothing_goes_over_the_websocket(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """Neither typing nor a ping, and not even the closing handshake: the connection is dropped."""
    seen = list[str]()

    async def script(peer: Peer) -> None:
        await peer.hello()
        try:
            while True:
                seen.append(str(await peer.connection.get_message()))
        except ConnectionClosed as closed:
            seen.append(f"closed {closed.reason.code if closed.reason else 1006}")

    lease = Lease(Fence(AccountId("default"), "p1", 1), trio.current_time)
    lease.renewed(trio.current_time())
    sockets = FakeSockets(nursery, [script])
    async with open_socket(URL, "t", None, open_stream=sockets.open_stream, lease=lease) as socket:
        await socket.greet(ping=False)
        assert socket.typing(ChannelId("c"))
        await trio.testing.wait_all_tasks_blocked()
        lease.lose("another process serves it")
        assert not socket.typing(ChannelId("c"))
        with pytest.raises(LeaseLost):
            await socket.ping()
    await trio.testing.wait_all_tasks_blocked()
    [typing, closed] = seen
    assert "user_typing" in typing
    assert closed == "closed 1006"
    with pytest.raises(LeaseLost):
        async with open_socket(URL, "t", None, open_stream=sockets.open_stream, lease=lease):
            raise AssertionError
    assert len(sockets.dials) == 1


@pytest.mark.parametrize("steps", range(12))
async def test_a_dial_can_be_cancelled_at_any_step(steps: int, autojump_clock: trio.testing.MockClock) -> None:
    """Nothing of it is left: the pump's shield ends with it."""
    theirs: list[trio.abc.Stream] = []

    async def open_stream(_host: str, _port: int, _tls: object) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        ours, other = trio.testing.memory_stream_pair()
        theirs.append(other)
        return ours

    async def dial() -> None:
        async with open_socket("ws://mm.test/api/v4/websocket", "token", None, open_stream=open_stream):
            raise AssertionError("nobody answers")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(dial)
        for _ in range(steps):
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
