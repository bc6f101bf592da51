"""A websocket that is fed ready bytes: many more posts per second than a server in Python could encode.

The frames are those of Mattermost's `posted` events; number, ids and times are filled in. Each tenth of a second a ping
goes out between the posts: how long its pong takes, and the longest time without one, is how undisturbed the heartbeat
is. Requests that are no websocket go to the sandbox behind.
"""

import base64
import hashlib
import json
import time
from itertools import count
from typing import Any, NoReturn

import trio
from attrs import define, field

_ACCEPT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TICK = 0.01  # seconds between two writes
_PING_EVERY = 10  # ticks
# One more than this many seconds behind, and the rate counts as not held.
PATIENCE = 20.0
TEXTS = (
    "Done, and the dashboards look fine so far.",
    "Could somebody look at ticket 4711? The customer says that the export is empty since the last release.",
    "I have pushed the branch; tests are green, a review would be nice when you have time for it.",
    "See https://example.com/wiki/Release-Notes for what has changed, and ask @alice about the rest.",
    "+1",
)


def _frame(opcode: int, payload: bytes) -> bytes:
    size = len(payload)
    head = bytes((0x80 | opcode,))
    if size < 126:
        return head + bytes((size,)) + payload
    return head + b"\x7e" + size.to_bytes(2, "big") + payload


@define(eq=False)
class FloodSocket:
    """One client at a time; `run` sends to whoever is connected."""

    users: list[str]
    channels: list[str]
    team: str
    connections: int = 0
    _stream: trio.SocketStream | None = None
    _write: trio.Lock = field(factory=trio.Lock)
    _seq: int = 1
    _posts: "count[int]" = field(factory=count)
    _pings: dict[bytes, float] = field(factory=dict)
    _pong_at: float = 0.0
    _longest_pong: float = 0.0
    _longest_gap: float = 0.0
    _actions: int = 0
    _templates: list[tuple[bytes, bytes, bytes]] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self._templates = [self._template(number) for number in range(max(len(self.users), len(self.channels)) * 5)]

    def _template(self, number: int) -> tuple[bytes, bytes, bytes]:
        """A frame's text around the post's id and the sequence number; every third post is a reply in a thread."""
        now = time.time_ns() // 1_000_000
        post = {
            "id": "@@ID@@",
            "create_at": now,
            "update_at": now,
            "edit_at": 0,
            "delete_at": 0,
            "is_pinned": False,
            "user_id": self.users[number % len(self.users)] if self.users else "",
            "channel_id": self.channels[number % len(self.channels)] if self.channels else "",
            "root_id": "r" * 22 + f"{number:04}" if number % 3 == 0 else "",
            "original_id": "",
            "message": TEXTS[number % len(TEXTS)],
            "type": "",
            "props": {"disable_group_highlight": True},
            "hashtags": "",
            "file_ids": [],
            "pending_post_id": "",
            "remote_id": "",
            "reply_count": 0,
            "last_reply_at": 0,
            "participants": None,
            "metadata": {},
        }
        data = {
            "channel_display_name": "A channel",
            "channel_name": "a-channel",
            "channel_type": "O",
            "post": json.dumps(post, separators=(",", ":")),
            "sender_name": "@somebody",
            "set_online": True,
            "team_id": self.team,
        }
        broadcast = {
            "omit_users": None,
            "user_id": "",
            "channel_id": post["channel_id"],
            "team_id": "",
            "connection_id": "",
            "omit_connection_id": "",
        }
        text = json.dumps({"event": "posted", "data": data, "broadcast": broadcast, "seq": "@@SEQ@@"})
        before, _, rest = text.partition("@@ID@@")
        middle, _, end = rest.partition('"@@SEQ@@"')
        return before.encode(), middle.encode(), end.encode()

    def _posted(self) -> tuple[str, bytes]:
        number = next(self._posts)
        before, middle, end = self._templates[number % len(self._templates)]
        post_id = f"p{number:025}"
        payload = b"%b%b%b%d%b" % (before, post_id.encode(), middle, self._seq, end)
        self._seq += 1
        return post_id, _frame(1, payload)

    async def serve(self, behind: int, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Listen on a free port of loopback, with the sandbox at port `behind`."""

        async def handle(stream: trio.SocketStream) -> None:
            await self._handle(stream, behind)

        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, handle, listeners)
            task_status.started(f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}")
            await trio.sleep_forever()
        raise AssertionError("serving ends by cancellation only")

    async def _handle(self, stream: trio.SocketStream, behind: int) -> None:
        head = await stream.receive_some(65536)
        try:
            if b"/api/v4/websocket" in head.split(b"\r\n", 1)[0]:
                await self._serve_socket(stream, bytes(head))
            else:
                await _pass_on(stream, behind, bytes(head))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # the client is gone

    async def _serve_socket(self, stream: trio.SocketStream, head: bytes) -> None:
        key = next(
            line.split(b":", 1)[1].strip() for line in head.split(b"\r\n") if b"sec-websocket-key" in line.lower()
        )
        accept = base64.b64encode(hashlib.sha1(key + _ACCEPT).digest())
        answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        await stream.send_all(answer + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        self.connections += 1
        self._stream, self._seq = stream, 1
        hello = {"event": "hello", "data": {"connection_id": "c" * 26, "server_version": "11.2.0"}, "seq": 0}
        await self._send(_frame(1, json.dumps({**hello, "broadcast": {}}).encode()))
        buffer = b""
        while chunk := await stream.receive_some(65536):
            buffer = await self._read(buffer + bytes(chunk))

    async def _read(self, buffer: bytes) -> bytes:
        """Take the client's frames off the buffer: pongs, actions, a close. All are short and masked."""
        while len(buffer) >= 6:
            opcode, size, start = buffer[0] & 15, buffer[1] & 127, 2
            if size == 126:
                size, start = int.from_bytes(buffer[2:4], "big"), 4
            end = start + 4 + size
            if len(buffer) < end:
                break
            mask, body = buffer[start : start + 4], buffer[start + 4 : end]
            payload = bytes(byte ^ mask[at % 4] for at, byte in enumerate(body))
            buffer = buffer[end:]
            if opcode == 10:
                self._note_pong(payload)
            elif opcode == 1:
                self._actions += 1
                reply = {"status": "OK", "seq_reply": json.loads(payload)["seq"], "data": {"text": "pong"}}
                await self._send(_frame(1, json.dumps(reply).encode()))
            elif opcode == 8:
                await self._send(_frame(8, payload))
        return buffer

    def _note_pong(self, payload: bytes) -> None:
        now = time.monotonic()
        sent = self._pings.pop(payload, None)
        if sent is not None:
            self._longest_pong = max(self._longest_pong, now - sent)
            self._longest_gap = max(self._longest_gap, now - self._pong_at)
            self._pong_at = now

    async def _send(self, data: bytes) -> None:
        async with self._write:
            assert self._stream is not None
            await self._stream.send_all(data)

    async def run(self, posts: int, rate: float) -> dict[str, Any]:
        """Send `posts` posts at `rate` per second, and a ping after them; what came of it.

        `held` is false where the connection ended, or the last pong came later than `PATIENCE` after it was due.
        """
        before, ticks, sent, last = self.connections, 0, 0, ""
        self._pings.clear()
        began = self._pong_at = time.monotonic()
        self._longest_pong = self._longest_gap = 0.0
        actions, held = self._actions, True
        try:
            with trio.fail_after(posts / rate + PATIENCE):
                while sent < posts:
                    due = min(posts, int((time.monotonic() - began) * rate) + 1)
                    frames = [self._posted() for _ in range(due - sent)]
                    if frames:
                        last, sent = frames[-1][0], due
                    ping = self._ping() if ticks % _PING_EVERY == 0 else b""
                    await self._send(b"".join(frame for _, frame in frames) + ping)
                    ticks += 1
                    await trio.sleep(_TICK)
                await self._send(self._ping())
                while self._pings and self.connections == before:  # noqa: ASYNC110 - bytes, not events
                    await trio.sleep(0.005)
        except (trio.TooSlowError, trio.BrokenResourceError, trio.ClosedResourceError):
            held = False
        return {
            "sent": sent,
            "seconds": round(time.monotonic() - began, 3),
            "began": began,
            "last": last,
            "held": held and self.connections == before,
            "longest_pong_s": round(self._longest_pong, 3),
            "longest_gap_s": round(self._longest_gap, 3),
            "actions": self._actions - actions,
        }

    def _ping(self) -> bytes:
        payload = str(time.monotonic_ns()).encode()
        self._pings[payload] = time.monotonic()
        return _frame(9, payload)


async def _pass_on(stream: trio.SocketStream, behind: int, head: bytes) -> None:
    async with await trio.open_tcp_stream("127.0.0.1", behind) as inner:

        async def copy(source: trio.SocketStream, target: trio.SocketStream) -> None:
            while chunk := await source.receive_some(65536):
                await target.send_all(chunk)
            nursery.cancel_scope.cancel()

        await inner.send_all(head)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(copy, stream, inner)
            nursery.start_soon(copy, inner, stream)
