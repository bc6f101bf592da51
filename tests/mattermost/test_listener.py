"""The listener stays connected: resume, catch-up, heartbeat, bad tokens, overflow."""

import pytest
import trio

from oc_trio.core.connection import ResumePoint
from oc_trio.core.events import Event, Posted
from oc_trio.errors import MattermostUnavailable
from oc_trio.mattermost import listener
from oc_trio.mattermost.listener import ListenerHooks, run_listener, run_poller
from tests.mattermost.doubles import FakeHttp, FakeSockets, Peer, open_api
from tests.mattermost.listening import ME, POLICY, HookRecorder, listen


async def drop_after_two(peer: Peer) -> None:
    await peer.hello()
    await peer.posted(1, "p1")
    await peer.posted(2, "p2")
    await trio.sleep(1)


async def go_on_at_three(peer: Peer) -> None:
    await peer.posted(3, "p3")
    await peer.answer_pings()


async def test_a_dropped_socket_is_resumed_where_handling_stopped(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """After a drop the next dial names the queue and the next event, and nothing is told twice."""
    recorder, sockets = HookRecorder(), FakeSockets(nursery, [drop_after_two, go_on_at_three])
    async with open_api(FakeHttp({"GET /users/me": ME})) as api:
        await listen(recorder, sockets, api)
    assert recorder.lines == ["fresh", "LIVE", "p1", "p2", "resumed", "LIVE", "p3"]
    assert sockets.dials == ["/api/v4/websocket", "/api/v4/websocket?connection_id=conn1&sequence_number=3"]
    assert sockets.tokens == ["Bearer secret-token"] * 2
    assert recorder.saved[-1] == ResumePoint("conn1", 4)


async def test_a_resume_without_news_is_told_by_the_ping(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """With nothing missed the server is silent, so the answer to our ping means resumed."""
    recorder, sockets = HookRecorder(), FakeSockets(nursery, [Peer.answer_pings])
    async with open_api(FakeHttp({"GET /users/me": ME})) as api:
        await listen(recorder, sockets, api, ResumePoint("old", 7))
    assert recorder.lines == ["resumed", "LIVE"]
    assert recorder.saved[-1] == ResumePoint("old", 7)


async def test_a_lost_queue_begins_fresh(autojump_clock: trio.testing.MockClock, nursery: trio.Nursery) -> None:
    """A hello in answer to a resume means that the queue is gone."""

    async def another(peer: Peer) -> None:
        await peer.hello("new")
        await peer.answer_pings()

    recorder, sockets = HookRecorder(), FakeSockets(nursery, [another])
    async with open_api(FakeHttp({"GET /users/me": ME})) as api:
        await listen(recorder, sockets, api, ResumePoint("old", 7))
    assert recorder.lines == ["fresh", "LIVE"]
    assert recorder.saved[-1] == ResumePoint("new", 1)


async def test_a_dropped_resume_is_not_asked_for_again(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """An id that the server can't parse makes it drop us; the next dial goes without one."""

    async def drop(peer: Peer) -> None:
        await trio.lowlevel.checkpoint()

    recorder, sockets = HookRecorder(), FakeSockets(nursery, [drop, drop_after_two])
    async with open_api(FakeHttp({"GET /users/me": ME})) as api:
        await listen(recorder, sockets, api, ResumePoint("bad", 1), seconds=1.9)
    assert sockets.dials[:2] == ["/api/v4/websocket?connection_id=bad&sequence_number=1", "/api/v4/websocket"]


async def test_a_silent_peer_is_found_by_the_heartbeat(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """Without an answer to the action ping the socket is given up within 40 s and dialled again."""

    async def mute(peer: Peer) -> None:
        await peer.hello()
        await trio.sleep_forever()

    recorder, sockets = HookRecorder(), FakeSockets(nursery, [mute, Peer.answer_pings])
    async with open_api(FakeHttp({"GET /users/me": ME})) as api:
        await listen(recorder, sockets, api, seconds=45)
    nursery.cancel_scope.cancel()
    assert recorder.lines == ["fresh", "LIVE", "resumed", "LIVE"]


async def test_a_gap_in_the_numbering_asks_for_what_is_missing(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """A missing number closes the socket, and the next dial asks for the number that was due."""

    async def skip(peer: Peer) -> None:
        await peer.hello()
        await peer.posted(2, "p2")
        await trio.sleep(60)

    recorder, sockets = HookRecorder(), FakeSockets(nursery, [skip, drop_after_two, Peer.answer_pings])
    async with open_api(FakeHttp({"GET /users/me": ME})) as api:
        await listen(recorder, sockets, api, seconds=1.5)
    assert "p2" not in recorder.lines[:2]
    assert sockets.dials[1] == "/api/v4/websocket?connection_id=conn1&sequence_number=1"


async def test_posts_that_wait_in_a_row_are_handed_on_together(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """An event of another kind ends the row, and nothing is handed on out of order; a resume asks for what is left."""
    together: list[str] = []
    saved: list[ResumePoint | None] = []

    async def on_events(events: tuple[Event, ...]) -> None:
        names = [event.post.id if isinstance(event, Posted) else type(event).__name__ for event in events]
        together.append(" ".join(names))

    async def save(resume: ResumePoint | None) -> None:
        saved.append(resume)

    async def burst(peer: Peer) -> None:
        await peer.hello()
        await peer.posted(1, "p1")
        await peer.posted(2, "p2")
        await peer.event(3, "typing", {"user_id": "alice"}, channel_id="chan")
        await peer.posted(4, "p3")
        await peer.posted(5, "p4")
        await peer.answer_pings()

    recorder, sockets = HookRecorder(slow_catch_up=3.0), FakeSockets(nursery, [burst])
    hooks = ListenerHooks(on_events, recorder._connected, recorder._state, save)
    async with open_api(FakeHttp({"GET /users/me": ME})) as api:
        with trio.move_on_after(5):
            await run_listener(api, hooks, random=lambda: 0.5, open_stream=sockets.open_stream)
    assert together == ["Hello", "p1 p2", "Typed", "p3 p4"]
    assert saved[-1] == ResumePoint("conn1", 6)


@pytest.mark.slow
async def test_events_wait_for_catch_up_and_overflow_is_made_good(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """Events that come during catch-up are told after it; too many of them cost the socket, not the memory."""

    async def flood(peer: Peer) -> None:
        await peer.hello()
        for seq in range(1, listener.BUFFER + 100):
            await peer.posted(seq, f"p{seq}")
        await peer.answer_pings()

    async def calm(peer: Peer) -> None:
        await peer.hello("conn2")
        await peer.answer_pings()

    recorder, sockets = HookRecorder(slow_catch_up=3.0), FakeSockets(nursery, [flood, calm])
    async with open_api(FakeHttp({"GET /users/me": ME})) as api:
        await listen(recorder, sockets, api)
    assert recorder.lines[0] == "fresh"
    assert recorder.lines[1:-2] == [f"p{seq}" for seq in range(1, listener.BUFFER + 1)]
    assert recorder.lines[-2:] == ["fresh", "LIVE"]
    assert sockets.dials[1] == f"/api/v4/websocket?connection_id=conn1&sequence_number={listener.BUFFER + 1}"


async def test_an_event_whose_handling_failed_is_told_again(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """The resume point moves after handling, so a failed admission asks for the same event once more."""
    failed: list[str] = []

    async def fail_once(post_id: str) -> None:
        if post_id == "p2" and not failed:
            failed.append(post_id)
            raise MattermostUnavailable("no directory")

    async def again(peer: Peer) -> None:
        await peer.posted(2, "p2")
        await peer.answer_pings()

    recorder, sockets = HookRecorder(on_post=fail_once), FakeSockets(nursery, [drop_after_two, again])
    async with open_api(FakeHttp({"GET /users/me": ME})) as api:
        await listen(recorder, sockets, api)
    assert recorder.lines == ["fresh", "LIVE", "p1", "resumed", "LIVE", "p2"]


async def test_backoff_grows_until_live(autojump_clock: trio.testing.MockClock, nursery: trio.Nursery) -> None:
    """A server that is down is dialled after 1, 2, 4 and 8 seconds."""
    recorder, sockets = HookRecorder(), FakeSockets(nursery, [Peer.answer_pings], down=100)
    async with open_api(FakeHttp({"GET /users/me": ME})) as api:
        await listen(recorder, sockets, api, seconds=15.5)
    assert sockets.dials == ["refused"] * 5


async def test_a_frame_beyond_reading_is_not_asked_for_again(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """A message over the size limit, or one without a number, would come again with the resume: the queue is left."""

    async def huge(peer: Peer) -> None:
        await peer.hello()
        await peer.send({"event": "posted", "seq": 1, "data": {"post": "y" * 5_000_000}})
        await trio.sleep(5)

    async def unnumbered(peer: Peer) -> None:
        await peer.hello()
        await peer.send({"event": "posted", "data": {}})
        await trio.sleep(5)

    async def calm(peer: Peer) -> None:
        await peer.hello("c2")
        await peer.answer_pings()

    recorder, sockets = HookRecorder(), FakeSockets(nursery, [huge, unnumbered, calm])
    async with open_api(FakeHttp({"GET /users/me": ME})) as api:
        await listen(recorder, sockets, api)
    assert sockets.dials == ["/api/v4/websocket"] * 3
    assert recorder.saved[-1] == ResumePoint("c2", 1)


async def test_an_unreadable_event_with_a_number_is_skipped(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """One event in a form we don't know costs neither the socket nor its neighbours."""

    async def script(peer: Peer) -> None:
        await peer.hello()
        await peer.send({"event": "posted", "seq": 1, "data": {"post": "no json"}})
        await peer.posted(2, "p2")
        await peer.answer_pings()

    recorder, sockets = HookRecorder(), FakeSockets(nursery, [script])
    async with open_api(FakeHttp({"GET /users/me": ME})) as api:
        await listen(recorder, sockets, api)
    assert recorder.lines == ["fresh", "LIVE", "p2"]
    assert len(sockets.dials) == 1


async def test_the_resume_point_is_saved_only_while_the_connection_is_known_to_live(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """Failed dials save nothing, so the time of the last save is the last time the server was heard."""
    times: list[float] = []

    async def save(resume: ResumePoint | None) -> None:
        times.append(trio.current_time())

    async def one_beat(peer: Peer) -> None:
        await peer.hello()
        action = await peer.action()
        await peer.send({"status": "OK", "seq_reply": action["seq"]})
        sockets.down = 1000
        await trio.sleep(5)

    recorder = HookRecorder()
    sockets = FakeSockets(nursery, [one_beat])
    hooks = ListenerHooks(recorder._events, recorder._connected, recorder._state, save)
    async with open_api(FakeHttp({"GET /users/me": ME})) as api:
        with trio.move_on_after(300):
            await run_listener(api, hooks, random=lambda: 0.5, policy=POLICY, open_stream=sockets.open_stream)
    assert times == [0.0, 30.0]


async def test_errors_of_our_own_come_out_bare(autojump_clock: trio.testing.MockClock, nursery: trio.Nursery) -> None:
    """A programming error in a hook ends the listener as itself, not as a reconnect."""

    async def broken(post_id: str) -> None:
        raise ZeroDivisionError(post_id)

    recorder, sockets = HookRecorder(on_post=broken), FakeSockets(nursery, [drop_after_two])
    async with open_api(FakeHttp({"GET /users/me": ME})) as api:
        with pytest.raises(ZeroDivisionError):
            await listen(recorder, sockets, api)


async def test_polling_runs_catch_up_at_intervals(autojump_clock: trio.testing.MockClock) -> None:
    """Without a websocket the same hook runs every interval, and a failure waits by the same rules."""
    recorder = HookRecorder(failing=1)
    with trio.move_on_after(12):
        await run_poller(recorder.hooks(), interval=5.0, random=lambda: 0.5, policy=POLICY)
    assert recorder.lines == ["fresh", "LIVE", "fresh", "fresh"]
