"""One websocket to Mattermost, from the TCP connection to its close; the only importer of trio-websocket.

Owns the handshake, the greeting (new queue or resumed), the numbering of events and the bounded close. Never redials.
Failures are MattermostUnavailable with a `code` of `WsCode`, or MattermostRejected where the server said no.
"""

import ssl
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast
from urllib.parse import urlsplit

import msgspec
import trio
from attrs import define, field, frozen
from trio_websocket import ConnectionClosed, ConnectionRejected, HandshakeError, WebSocketConnection, wrap_client_stream

from oc_trio.core.decode import decode_frame
from oc_trio.core.events import ActionReply, EventFrame, Frame, Hello
from oc_trio.errors import MattermostError, MattermostRejected, MattermostUnavailable, PayloadError
from oc_trio.mattermost.answers import refusal
from oc_trio.mattermost.explain import explain

HANDSHAKE_SECONDS = 15.0
GREETING_SECONDS = 10.0
CLOSE_SECONDS = 2.0
_QUEUE = 256  # with trio-websocket's default of 1, two unread messages stop its answers to pings
_MESSAGE_LIMIT = 4 * 1024 * 1024
_RECEIVE_BYTES = 64 * 1024  # the default 4 KiB costs two thirds of the receive rate

# Given host, port and the TLS context or None; returns a stream whose TLS handshake is done.
OpenStream = Callable[[str, int, ssl.SSLContext | None], Awaitable[trio.abc.Stream]]

NO_GREETING = (
    "ws.no_greeting"  # dropped or silent after the upgrade: a bad token, or a resume that the server can't parse
)
OUT_OF_ORDER = "ws.out_of_order"  # an event number was missing, or a second hello came
TOO_LARGE = "ws.1009"
OVERFLOW = "ws.overflow"
NO_ANSWER = "ws.no_answer"  # the heartbeat was not answered


@frozen
class ResumePoint:
    """Where to go on: the server's name of our queue, and the number of the next event that we have not handled."""

    connection_id: str
    next_seq: int


@define(eq=False)
class Socket:
    """An open, greeted websocket. One task may receive while another pings."""

    _connection: WebSocketConnection
    _stream: trio.abc.Stream
    connection_id: str = ""
    resumed: bool = False
    _next_seq: int = 0
    _held: EventFrame | None = None
    _actions: int = 0
    _answers: dict[int, trio.Event] = field(factory=dict)

    @property
    def handled_seq(self) -> int:
        """The number from which to resume before anything of this socket was handled."""
        return self._next_seq if self._held is None else self._held.seq

    async def receive(self) -> EventFrame:
        """The next event, in order. Raises PayloadError (numbered: skip it; unnumbered: the stream is lost)."""
        if self._held is not None:
            held, self._held = self._held, None
            return held
        while True:
            frame = await self._frame()
            if isinstance(frame, ActionReply):
                self._note(frame)
                continue
            if isinstance(frame.event, Hello):
                raise MattermostUnavailable("the server began a new queue on an open socket", code=OUT_OF_ORDER)
            self._count(frame.seq)
            return frame

    async def ping(self) -> None:
        """Send the action `ping` and wait for its answer. Cancelling this leaves the connection fit for closing only.

        A revoked token shows in nothing but this answer: `receive` then raises MattermostRejected with status 401.
        """
        self._actions += 1
        answered = self._answers[self._actions] = trio.Event()
        await self._send({"seq": self._actions, "action": "ping"})
        await answered.wait()

    async def abort(self) -> None:
        """Close the transport without a word; whoever receives is told."""
        await trio.aclose_forcefully(self._stream)

    async def greet(self, resume: ResumePoint | None) -> None:
        """Find out whether the server resumed: it greets new queues only, so we ask for a sign of life."""
        if resume is not None:
            self._actions += 1
            await self._send({"seq": self._actions, "action": "ping"})
        first = await self._first(resume)
        match first:
            case EventFrame(event=Hello() as hello):
                self.connection_id, self._next_seq = hello.connection_id, first.seq + 1
            case EventFrame() if resume is not None and first.seq == resume.next_seq:
                self.connection_id, self._next_seq, self.resumed = resume.connection_id, first.seq + 1, True
                self._held = first
            case None | ActionReply() if resume is not None:
                if first is not None:
                    self._note(first)
                skipped = 1 if first is None else 0
                self.connection_id, self._next_seq = resume.connection_id, resume.next_seq + skipped
                self.resumed = True
            case _:
                raise MattermostUnavailable("the server's first frame is not a greeting", code=OUT_OF_ORDER)

    async def _first(self, resume: ResumePoint | None) -> Frame | None:
        """The first frame; None for the expected one with unreadable content."""
        try:
            return await self._frame()
        except PayloadError as exc:
            if resume is None or exc.seq != resume.next_seq:
                raise
            return None

    async def _frame(self) -> Frame:
        try:
            text = await self._connection.get_message()
        except ConnectionClosed as exc:
            raise _closed(exc) from None
        if not isinstance(text, str):
            raise PayloadError("a binary frame")
        try:
            return decode_frame(text)
        except PayloadError as exc:
            if exc.seq is not None and self.connection_id:
                self._count(exc.seq)
            raise

    async def _send(self, action: dict[str, Any]) -> None:
        try:
            await self._connection.send_message(msgspec.json.encode(action).decode())
        except ConnectionClosed as exc:
            raise _closed(exc) from None

    def _count(self, seq: int) -> None:
        if seq != self._next_seq:
            problem = f"event {seq} came where {self._next_seq} was due"
            raise MattermostUnavailable(problem, code=OUT_OF_ORDER)
        self._next_seq += 1

    def _note(self, reply: ActionReply) -> None:
        if not reply.ok and reply.status_code == 401:
            raise MattermostRejected("the server no longer knows this socket's token", status=401, code=reply.error_id)
        answered = self._answers.pop(reply.seq_reply, None)
        if answered is not None:
            answered.set()


async def open_tcp_stream(host: str, port: int, tls: ssl.SSLContext | None) -> trio.abc.Stream:
    """TCP, or TLS with its handshake done here: trio-websocket would hide a bad certificate behind a timeout."""
    if tls is None:
        return await trio.open_tcp_stream(host, port)
    stream = await trio.open_ssl_over_tcp_stream(host, port, ssl_context=tls, https_compatible=True)
    done = False
    try:
        await stream.do_handshake()
        done = True
    finally:
        if not done:
            await trio.aclose_forcefully(stream)
    return stream


@asynccontextmanager
async def open_socket(
    url: str,
    token: str,
    resume: ResumePoint | None,
    *,
    open_stream: OpenStream = open_tcp_stream,
    ssl_context: ssl.SSLContext | None = None,
) -> AsyncGenerator[Socket, None]:
    """Dial `url` (ws or wss) with the token in the upgrade's header, and wait until the server has greeted or resumed.

    Raises MattermostUnavailable and MattermostRejected; errors of the body come out as they are, not in groups.
    """
    stream = await _connect(url, open_stream, ssl_context)
    lone: Exception | None = None
    try:
        async with trio.open_nursery() as nursery:
            pump: trio.Nursery = await nursery.start(_hold_pump)
            try:
                socket = await _upgrade(pump, stream, url, token, resume)
                try:
                    yield socket
                finally:
                    with trio.move_on_after(CLOSE_SECONDS, shield=True):
                        await socket._connection.aclose()
            finally:
                pump.cancel_scope.cancel()
    except ExceptionGroup as group:
        lone = _lone(group)
        if lone is None:
            raise
    finally:
        await trio.aclose_forcefully(stream)
    if lone is not None:
        raise _translated(lone) from lone.__cause__


async def _connect(url: str, open_stream: OpenStream, ssl_context: ssl.SSLContext | None) -> trio.abc.Stream:
    parts = urlsplit(url)
    tls = ssl_context or ssl.create_default_context() if parts.scheme == "wss" else None
    port = parts.port or (443 if parts.scheme == "wss" else 80)
    try:
        with trio.fail_after(HANDSHAKE_SECONDS):
            return await open_stream(parts.hostname or "", port, tls)
    except trio.TooSlowError:
        raise MattermostUnavailable(f"no connection to {parts.netloc} within {HANDSHAKE_SECONDS:g} s") from None
    except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as exc:
        raise MattermostUnavailable(f"no connection to {parts.netloc}: {explain(exc)}") from exc


async def _hold_pump(*, task_status: trio.TaskStatus[trio.Nursery]) -> None:
    """Keep trio-websocket's reader alive while we are being cancelled, or the orderly close would wait in vain.

    No deadline: `open_socket` cancels it on every way out.
    """
    async with trio.open_nursery() as nursery:
        nursery.cancel_scope.shield = True
        task_status.started(nursery)
        await trio.sleep_forever()


async def _upgrade(
    pump: trio.Nursery, stream: trio.abc.Stream, url: str, token: str, resume: ResumePoint | None
) -> Socket:
    parts = urlsplit(url)
    resource = parts.path
    if resume is not None:
        resource += f"?connection_id={resume.connection_id}&sequence_number={resume.next_seq}"
    try:
        with trio.fail_after(HANDSHAKE_SECONDS):
            connection = await wrap_client_stream(
                pump,
                cast("trio.SocketStream", stream),  # the annotation is too narrow; any Stream will do
                parts.netloc.rpartition("@")[2],
                resource,
                extra_headers=[(b"Authorization", f"Bearer {token}".encode())],
                message_queue_size=_QUEUE,
                max_message_size=_MESSAGE_LIMIT,
                receive_buffer_size=_RECEIVE_BYTES,
            )
    except trio.TooSlowError:
        raise MattermostUnavailable(f"no websocket upgrade within {HANDSHAKE_SECONDS:g} s") from None
    socket = Socket(connection, stream)
    try:
        with trio.fail_after(GREETING_SECONDS):
            await socket.greet(resume)
    except trio.TooSlowError:
        raise MattermostUnavailable(f"no greeting within {GREETING_SECONDS:g} s", code=NO_GREETING) from None
    except MattermostUnavailable as exc:
        raise MattermostUnavailable(f"no greeting: {exc}", code=NO_GREETING) from None
    return socket


def _closed(exc: ConnectionClosed) -> MattermostUnavailable:
    code = exc.reason.code if exc.reason is not None else 1006
    said = f" ({exc.reason.reason})" if exc.reason is not None and exc.reason.reason else ""
    return MattermostUnavailable(f"the websocket was closed with {code}{said}", code=f"ws.{code}")


def _translated(exc: Exception) -> Exception:
    if isinstance(exc, ConnectionRejected):
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in exc.headers}
        body = exc.body or b""
        return refusal(exc.status_code, headers, body, "websocket upgrade", writes=False, now=time.time())
    if isinstance(exc, HandshakeError):
        return MattermostUnavailable(f"websocket upgrade: {explain(exc)}")
    return exc


def _lone(group: ExceptionGroup[Exception]) -> Exception | None:
    """The one error that matters: the body's own, since what the reader meets besides is a consequence."""
    leaves: list[Exception] = []
    for member in group.exceptions:
        inner = _lone(member) if isinstance(member, ExceptionGroup) else member
        if inner is None:
            return None
        leaves.append(inner)
    own = [leaf for leaf in leaves if not isinstance(leaf, HandshakeError)] or leaves
    told = [leaf for leaf in own if not isinstance(leaf, MattermostError)] or own
    return told[0] if len(told) == 1 else None
