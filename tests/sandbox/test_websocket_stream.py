"""The websocket over a stream in memory: hello, resume, and the faults of frames."""

import json
from typing import Any

import pytest
import trio
from trio.testing import MockClock
from trio_websocket import ConnectionClosed, ConnectionRejected, WebSocketConnection

from oc_trio.sandbox.faults import Cut, Deliver, Faults, FrameOutcome, Freeze
from oc_trio.sandbox.hub import WebConn
from tests.sandbox.conftest import Dial, SandboxClients


async def events(socket: WebSocketConnection, count: int) -> list[dict[str, Any]]:
    """The next `count` events, status changes left out."""
    found: list[dict[str, Any]] = []
    with trio.fail_after(30):
        while len(found) < count:
            frame = json.loads(await socket.get_message())
            if frame.get("event") != "status_change":
                found.append(frame)
    return found


def text_of(event: dict[str, Any]) -> str:
    return str(json.loads(event["data"]["post"])["message"])


async def last_seq(socket: WebSocketConnection) -> tuple[str, int]:
    """Connection id and the number after the greeting (hello, and being online)."""
    hello = json.loads(await socket.get_message())
    online = json.loads(await socket.get_message())
    assert (hello["event"], online["event"]) == ("hello", "status_change")
    return hello["data"]["connection_id"], online["seq"]


async def test_hello_is_event_zero(sandbox: SandboxClients, dial: Dial, autojump_clock: MockClock) -> None:
    """A token in the upgrade header is greeted at once."""
    async with dial() as socket:
        (hello,) = await events(socket, 1)
    assert (hello["event"], hello["seq"]) == ("hello", 0)
    assert hello["broadcast"]["user_id"] == sandbox.demo.bot.id


async def test_missed_posts_come_after_a_resume_without_hello(
    sandbox: SandboxClients, dial: Dial, autojump_clock: MockClock
) -> None:
    """What was posted while the connection was lost arrives, numbered on from the number asked for."""
    async with dial() as socket:
        connection_id, seq = await last_seq(socket)
    await trio.sleep(1)
    sandbox.world.post_as(sandbox.demo.alice, sandbox.demo.town_square, "missed")
    async with dial(f"connection_id={connection_id}&sequence_number={seq + 1}") as socket:
        (posted,) = await events(socket, 1)
    assert (posted["event"], posted["seq"], text_of(posted)) == ("posted", seq + 1, "missed")


async def test_a_lost_frame_can_be_replayed(sandbox: SandboxClients, dial: Dial, autojump_clock: MockClock) -> None:
    """Frames written to a dying connection are replayed from the number asked for."""
    async with dial() as socket:
        connection_id, seq = await last_seq(socket)
        sandbox.world.post_as(sandbox.demo.alice, sandbox.demo.town_square, "one")
        await events(socket, 1)
    await trio.sleep(1)
    sandbox.world.post_as(sandbox.demo.alice, sandbox.demo.town_square, "two")
    async with dial(f"connection_id={connection_id}&sequence_number={seq + 1}") as socket:
        got = await events(socket, 2)
    assert [text_of(each) for each in got] == ["one", "two"]


async def test_a_resume_long_after_is_a_new_connection(
    sandbox: SandboxClients, dial: Dial, autojump_clock: MockClock
) -> None:
    """After the reaper has run, a quiet lost connection is forgotten: hello with a new id."""
    async with dial() as socket:
        connection_id, seq = await last_seq(socket)
    await trio.sleep(1200)
    async with dial(f"connection_id={connection_id}&sequence_number={seq + 1}") as socket:
        (hello,) = await events(socket, 1)
    assert hello["event"] == "hello"
    assert hello["data"]["connection_id"] != connection_id


@pytest.mark.parametrize(
    "query",
    [
        "connection_id=nope&sequence_number=1",
        f"connection_id={'a' * 26}",
        f"connection_id={'a' * 26}&sequence_number=x",
    ],
    ids=["malformed id", "no number", "number is a word"],
)
async def test_bad_resume_parameters_drop_the_connection(dial: Dial, query: str, autojump_clock: MockClock) -> None:
    """The upgrade succeeds, then the connection ends without a close frame."""
    async with dial(query) as socket:
        with pytest.raises(ConnectionClosed) as caught, trio.fail_after(5):
            await socket.get_message()
    assert caught.value.reason is None or caught.value.reason.code == 1006


async def test_without_authentication_the_server_waits_five_seconds(dial: Dial, autojump_clock: MockClock) -> None:
    """Nobody who does not say who they are is told anything."""
    began = trio.current_time()
    async with dial(token="") as socket:
        with pytest.raises(ConnectionClosed), trio.fail_after(10):
            await socket.get_message()
    assert trio.current_time() - began == pytest.approx(5, abs=0.1)


async def test_a_foreign_origin_is_refused(dial: Dial, autojump_clock: MockClock) -> None:
    """A browser page of another site gets a 403 at the upgrade."""
    with pytest.RaisesGroup(pytest.RaisesExc(ConnectionRejected, check=lambda e: e.status_code == 403)):
        async with dial(extra=((b"origin", b"http://elsewhere.example"),)):
            pass


class Script(Faults):
    """The outcome of each posted frame in turn; everything else is delivered."""

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes = list(outcomes)
        self.held: list[str] = []

    async def frame(self, connection: WebConn, frame: str) -> FrameOutcome:
        if json.loads(frame).get("event") != "posted" or not self.outcomes:
            return Deliver((frame,))
        outcome = self.outcomes.pop(0)
        if outcome == "hold":
            self.held.append(frame)
            return Deliver(())
        if outcome == "release":
            held, self.held = self.held, []
            return Deliver((frame, *held))
        if outcome == "twice":
            return Deliver((frame, frame))
        assert isinstance(outcome, Cut | Freeze)
        return outcome


async def say(sandbox: SandboxClients, *texts: str) -> None:
    for text in texts:
        sandbox.world.post_as(sandbox.demo.alice, sandbox.demo.town_square, text)


async def test_frames_can_be_reordered_and_doubled(
    sandbox: SandboxClients, dial: Dial, autojump_clock: MockClock
) -> None:
    """A held frame comes after the next one; a doubled one comes twice with one number."""
    sandbox.world.faults = Script("hold", "release", "twice")
    async with dial() as socket:
        await last_seq(socket)
        await say(sandbox, "one", "two", "three")
        got = await events(socket, 4)
    assert [text_of(each) for each in got] == ["two", "one", "three", "three"]
    assert got[2]["seq"] == got[3]["seq"] == got[0]["seq"] + 1


async def test_a_cut_connection_can_be_resumed_with_the_unsent_frame(
    sandbox: SandboxClients, dial: Dial, autojump_clock: MockClock
) -> None:
    """The frame at which the connection was cut had its number already and is replayed."""
    sandbox.world.faults = Script(Cut())
    async with dial() as socket:
        connection_id, seq = await last_seq(socket)
        await say(sandbox, "lost on the way")
        with pytest.raises(ConnectionClosed), trio.fail_after(5):
            await socket.get_message()
    await trio.sleep(1)
    async with dial(f"connection_id={connection_id}&sequence_number={seq + 1}") as socket:
        (posted,) = await events(socket, 1)
    assert text_of(posted) == "lost on the way"


async def test_a_half_open_connection_blocks_its_own_resume(
    sandbox: SandboxClients, dial: Dial, autojump_clock: MockClock
) -> None:
    """While the server believes the old socket alive, resuming gives hello and a new id; later it may be resumed."""
    sandbox.world.faults = Script(Freeze())
    async with dial() as socket:
        connection_id, seq = await last_seq(socket)
        await say(sandbox, "into the void")
        await socket.send_message(json.dumps({"seq": 1, "action": "ping"}))
        with pytest.raises(trio.TooSlowError), trio.fail_after(20):
            await socket.get_message()
    query = f"connection_id={connection_id}&sequence_number={seq + 1}"
    async with dial(query) as socket:
        (hello,) = await events(socket, 1)
        assert hello["data"]["connection_id"] != connection_id
    await trio.sleep(110)
    async with dial(query) as socket:
        (posted,) = await events(socket, 1)
    assert text_of(posted) == "into the void"


async def test_an_oversized_frame_is_refused_with_1009(dial: Dial) -> None:
    """More than 8192 characters end the connection with a close frame that says why."""
    async with dial() as socket:
        await last_seq(socket)
        await socket.send_message(json.dumps({"seq": 1, "action": "ping", "data": {"x": "y" * 8200}}))
        with pytest.raises(ConnectionClosed) as caught, trio.fail_after(30):
            await socket.get_message()
    assert caught.value.reason is not None
    assert caught.value.reason.code == 1009


async def test_a_revoked_token_is_told_by_the_ping_action_only(
    sandbox: SandboxClients, dial: Dial, autojump_clock: MockClock
) -> None:
    """The socket stays open and silent; ping answers FAIL 401."""
    async with dial() as socket:
        await last_seq(socket)
        (access,) = sandbox.world.users.tokens_of(sandbox.demo.bot.id)
        sandbox.world.users.revoke_token(access.id)
        await say(sandbox, "unheard")
        await socket.send_message(json.dumps({"seq": 1, "action": "ping"}))
        reply = json.loads(await socket.get_message())
    assert reply["status"] == "FAIL"
    assert reply["error"]["status_code"] == 401
