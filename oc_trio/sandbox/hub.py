"""Websocket connections: which of them gets an event, sequence numbers, and the replay of a resumed connection.

Each connection queues at most 256 unsent events, then it is closed; the last 128 written events can be replayed.
Does no I/O: `protocol` takes frames with `next_frame` and installs `wake` to learn of new ones.
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from attrs import Factory

from oc_trio.classes import define, frozen
from oc_trio.sandbox.clock import SandboxClock
from oc_trio.sandbox.compact import dump
from oc_trio.sandbox.records import SessionRecord
from oc_trio.sandbox.settings import ACTIVE_QUEUE, DEAD_QUEUE, REAP_MS, VERSION


@frozen
class Broadcast:
    """The receivers: one user, or the members of a channel or team, or everybody if all are empty."""

    user_id: str = ""
    channel_id: str = ""
    team_id: str = ""
    omit_users: tuple[str, ...] = ()

    def body(self) -> dict[str, Any]:
        return {
            # Null rather than an empty object, as the real server writes it.
            "omit_users": dict.fromkeys(self.omit_users, True) or None,
            "user_id": self.user_id,
            "channel_id": self.channel_id,
            "team_id": self.team_id,
            "connection_id": "",
            "omit_connection_id": "",
        }


@frozen
class Event:
    """One event for one connection; it gets its `seq` when it is written."""

    name: str
    data: Mapping[str, Any]
    broadcast: Broadcast

    def frame(self, seq: int) -> str:
        body = {"event": self.name, "data": dict(self.data), "broadcast": self.broadcast.body(), "seq": seq}
        return dump(body)


def _no_wake() -> None:
    return None


@define(eq=False)
class WebConn:
    """One websocket of one user, alive or lost; `seq` is the sequence number of the next event to be written."""

    id: str
    session: SessionRecord
    last_activity: int
    seq: int = 0
    live: bool = True
    overflowed: bool = False
    frozen: bool = False  # a fault: the server takes it for alive, but nothing passes
    wake: Callable[[], None] = _no_wake
    _active: deque[Event | str] = Factory(deque)
    # Written again first after a resume; then what was written lately, as much as the real server keeps.
    _replay: deque[str] = Factory(deque)
    _dead: deque[tuple[int, str]] = Factory(lambda: deque(maxlen=DEAD_QUEUE))

    @property
    def user_id(self) -> str:
        return self.session.user_id

    def enqueue(self, item: Event | str) -> None:
        """Queues an event, or the text of a reply (which has no `seq`); overflow ends the connection."""
        # The real server closes a connection rather than wait for a slow reader (contract scenario resume_overflow).
        if len(self._active) >= ACTIVE_QUEUE:
            self.overflowed = True
        else:
            self._active.append(item)
        self.wake()

    def next_frame(self) -> str | None:
        """The next frame to write, or None; an event gets its `seq` now and is kept for replay."""
        # What was written before goes out again first, with its old numbers (contract scenario resume_replay).
        if self._replay:
            return self._replay.popleft()
        if not self._active:
            return None
        item = self._active.popleft()
        # Replies to actions have no number and can't be replayed (contract scenario ws_seq).
        if isinstance(item, str):
            return item
        frame = item.frame(self.seq)
        self._dead.append((self.seq, frame))
        self.seq += 1
        return frame

    def rewind(self, sequence: int) -> bool:
        """Prepares a resume at `sequence`; False if events were lost, so that the client must start over."""
        self._replay.clear()
        # As the real server: at 0 the queued events are numbered anew, and there is no hello.
        if sequence == 0:
            self.seq = 0
            return True
        known = [seq for seq, _ in self._dead]
        if sequence in known:
            at = known.index(sequence)
            self._replay.extend(frame for _, frame in list(self._dead)[at:])
            return True
        # Neither remembered nor the next number: something in between is lost, and the client gets a new connection
        # (contract scenarios resume_too_old and resume_seq_ahead).
        if known and known[-1] != sequence - 1:
            return False
        self.seq = sequence
        return True

    def start_over(self, new_id: str, hello: Event) -> None:
        self.id, self.seq = new_id, 0
        self._dead.clear()
        # What was queued while the client was away follows this hello, and is not lost (contract scenario
        # resume_seq_ahead).
        hello = Event(hello.name, {**hello.data, "connection_id": new_id}, hello.broadcast)
        self._active.appendleft(hello)


class Hub:
    """All connections, live and lost. `in_channel` and `in_team` take a user id and a channel's or team's id."""

    def __init__(
        self,
        clock: SandboxClock,
        in_channel: Callable[[str, str], bool],
        in_team: Callable[[str, str], bool],
    ) -> None:
        self._clock = clock
        self._in_channel = in_channel
        self._in_team = in_team
        self._connections: dict[str, WebConn] = {}
        self._next_reap = clock.now() + REAP_MS

    def connections(self, user_id: str | None = None) -> tuple[WebConn, ...]:
        return tuple(c for c in self._connections.values() if user_id is None or c.user_id == user_id)

    def connect(self, session: SessionRecord, connection_id: str = "", sequence: int = 0) -> WebConn:
        """Registers a websocket: resumes the lost connection of that id and user, or starts a new one with `hello`."""
        # It is done at connects only: one that is due to go must not be resumed by the very request that would find it
        # gone.
        self._reap()
        lost = self._connections.get(connection_id)
        # An unknown id, one that is still connected and another user's all start afresh, without an error (contract
        # scenarios resume_unknown_connection, resume_while_open and resume_by_another).
        if lost is None or lost.live or lost.user_id != session.user_id:
            connection = WebConn(self._clock.new_id(), session, self._clock.now())
            connection.enqueue(self._hello(connection))
            self._connections[connection.id] = connection
            return connection
        # The session of the new request: the token may have been renewed meanwhile.
        lost.live, lost.frozen, lost.session = True, False, session
        lost.last_activity = self._clock.now()
        if not lost.rewind(sequence):
            del self._connections[lost.id]
            lost.start_over(self._clock.new_id(), self._hello(lost))
            self._connections[lost.id] = lost
        return lost

    def disconnect(self, connection: WebConn) -> None:
        """The socket is closed; events are kept for a resume, unless the queue had overflowed."""
        connection.live, connection.wake = False, _no_wake
        # Its queue has a hole, so a resume could not be complete (contract scenario resume_overflow).
        if connection.overflowed:
            self._connections.pop(connection.id, None)

    def restart(self) -> None:
        """The server process restarts: every connection ends, and none can be resumed."""
        for connection in self.connections():
            connection.overflowed = True
            connection.wake()
        self._connections.clear()

    def _hello(self, connection: WebConn) -> Event:
        data = {
            "connection_id": connection.id,
            "server_hostname": "sandbox",
            "server_version": f"{VERSION}.{VERSION}.sandbox.false",
        }
        return Event("hello", data, Broadcast(user_id=connection.user_id))

    def note_activity(self, session: SessionRecord) -> None:
        """Records a write of this session: it counts as user activity in `_reap`."""
        for connection in self._connections.values():
            if connection.session is session:
                connection.last_activity = self._clock.now()

    def _reap(self) -> None:
        """Every 5 minutes, deletes lost connections without *user activity* for 5 minutes; done lazily on connect."""
        now = self._clock.now()
        if now < self._next_reap:
            return
        tick = now - (now - self._next_reap) % REAP_MS
        self._next_reap = tick + REAP_MS
        for connection in self.connections():
            if not connection.live and tick - connection.last_activity > REAP_MS:
                del self._connections[connection.id]

    def publish(
        self,
        name: str,
        data: Mapping[str, Any],
        broadcast: Broadcast,
        personal: Callable[[str], Mapping[str, Any]] | None = None,
    ) -> None:
        """Queues an event for every receiver; `personal(user_id)` returns data that only that user may see."""
        for connection in self.connections():
            user_id = connection.user_id
            # Lost connections queue events too: a resume writes them (contract scenario resume_missed).
            if connection.session.revoked or not self._concerns(user_id, broadcast):
                continue
            extra = personal(user_id) if personal is not None else {}
            connection.enqueue(Event(name, {**data, **extra}, broadcast))
            # Nobody is connected who would have to be told.
            if connection.overflowed and not connection.live:
                del self._connections[connection.id]

    def _concerns(self, user_id: str, broadcast: Broadcast) -> bool:
        if broadcast.user_id:
            return user_id == broadcast.user_id
        if user_id in broadcast.omit_users:
            return False
        if broadcast.channel_id:
            return self._in_channel(user_id, broadcast.channel_id)
        return not broadcast.team_id or self._in_team(user_id, broadcast.team_id)
