"""One websocket connection to Mattermost, from TCP connect to close. No other module imports trio-websocket.

It owns the handshake, the wait for the first frame, the answers to our actions and the close with its deadline. What a
frame means for the connection is decided by `core.connection`. Raises MattermostUnavailable (`code` is `ws.` and the
close code), or MattermostRejected where the server refuses.
"""

import ssl
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast
from urllib.parse import quote, urlsplit

import msgspec
import trio
from attrs import field
from trio_websocket import ConnectionClosed, ConnectionRejected, HandshakeError, WebSocketConnection, wrap_client_stream
from wsproto.utilities import LocalProtocolError

from oc_trio.classes import define
from oc_trio.core.connection import ResumePoint
from oc_trio.core.decode import decode_frame
from oc_trio.core.describe_error import describe_error
from oc_trio.core.events import ActionReply, EventFrame, Frame
from oc_trio.errors import MattermostError, MattermostRejected, MattermostUnavailable, PayloadError
from oc_trio.ids import AccountId, ChannelId
from oc_trio.lease import Lease
from oc_trio.mattermost.rest.responses import error_from_response
from oc_trio.network.tls import client_tls
from oc_trio.wakeup import Wakeup

# Each covers one step, so that an error says which one hung.
HANDSHAKE_SECONDS = 15.0
# A server that does not know the token drops the connection after 5 s without a word (tests/contract,
# ws_bad_header_token).
GREETING_SECONDS = 10.0
# The closing handshake is a courtesy; the connection is dropped without it.
CLOSE_SECONDS = 2.0
# A frame of a hundred bytes that is not taken for so long means that nothing is: the connection is given up. Far more
# than a busy process takes to come round to it again.
TYPING_SECONDS = 10.0
# The server answers each, and tells it to everybody in the channel: so much is enough for what is only decoration.
TYPING_PER_SECOND = 50
# Conversations whose typing is due; beyond these the one that has waited longest goes without.
MOST_TYPING = 1024
_QUEUE = 256  # with trio-websocket's default of 1, two unread messages stop its answers to pings
# Far more than an event can have: Mattermost takes 300,000 bytes of a post, which stand in its event as a JSON string.
_MESSAGE_LIMIT = 4 * 1024 * 1024
_RECEIVE_BYTES = 64 * 1024  # the default 4 KiB costs two thirds of the receive rate
# What answers to an upgrade that a proxy has made a plain request of: Mattermost's own 400 is about CORS then.
_NOT_PASSED_ON = frozenset({200, 400, 404, 405, 426})
_REVOKED = "the server no longer knows this socket's token; put a new one where the old one is"

# Given host, port and the TLS context or None; returns a stream whose TLS handshake is done.
OpenStream = Callable[[str, int, ssl.SSLContext | None], Awaitable[trio.abc.Stream]]

TOO_LARGE = "ws.1009"


@define(eq=False)
class _EndAwareStream(trio.abc.Stream):
    """A stream that notices its end: trio-websocket would wait for the upgrade on a closed connection for ever."""

    inner: trio.abc.Stream
    ended: trio.Event = field(factory=trio.Event)

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        got: bytes | bytearray = b""
        try:
            got = await self.inner.receive_some(max_bytes)
        finally:
            if not got:
                self.ended.set()
        return got

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        try:
            await self.inner.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.ended.set()
            raise

    async def wait_send_all_might_not_block(self) -> None:
        await self.inner.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self.inner.aclose()


@define(eq=False)
class Socket:
    """An open websocket. One task may receive while another pings. Nothing is sent unless `lease` is sure."""

    _connection: WebSocketConnection
    _stream: trio.abc.Stream
    lease: Lease
    # Numbers our actions, of all kinds: replies name them, and the server refuses 0 (tests/contract, ws_actions).
    _actions: int = 0
    _pending_pings: dict[int, trio.Event] = field(factory=dict)
    # Channel and thread, the one that has waited longest first; the values mean nothing.
    _typing: dict[tuple[ChannelId, str], None] = field(factory=dict)
    _typing_due: Wakeup = field(factory=Wakeup)

    async def greet(self, *, ping: bool) -> Frame:
        """The first frame, within GREETING_SECONDS: the server's hello, or after a resume whatever proves it.

        After a resume in which nothing was missed the server is silent, so `ping` asks for an answer. A bad token is
        met with silence too, and then the connection is dropped. Raises as `receive` does.
        """
        if ping:
            self._actions += 1
            await self._send({"seq": self._actions, "action": "ping"})
        try:
            with trio.fail_after(GREETING_SECONDS):
                return await self._frame()
        except trio.TooSlowError:
            raise MattermostUnavailable(f"no greeting within {GREETING_SECONDS:g} s") from None

    async def receive(self) -> EventFrame:
        """The next event. Raises PayloadError: with `seq` skip that event, without it the stream is lost."""
        while True:
            frame = await self._frame()
            if isinstance(frame, EventFrame):
                return frame
            self._handle_reply(frame)

    async def ping(self) -> None:
        """Send the action `ping` and wait for its answer. Cancelling this leaves the connection fit for closing only.

        A revoked token shows in nothing but this answer: `receive` then raises MattermostRejected with status 401.
        """
        self._actions += 1
        answered = self._pending_pings[self._actions] = trio.Event()
        await self._send({"seq": self._actions, "action": "ping"})
        await answered.wait()

    def typing(self, channel_id: ChannelId, parent_id: str = "") -> bool:
        """Have "is typing" shown in a channel or thread; false where it will not be. Never waits.

        Once for a conversation, however often it is called before `send_typing` comes to it.
        """
        if not self.lease.is_sure:
            return False
        self._typing[channel_id, parent_id] = None
        if len(self._typing) > MOST_TYPING:
            del self._typing[next(iter(self._typing))]
        self._typing_due.set()
        return True

    def end_typing(self, channel_id: ChannelId, parent_id: str = "") -> None:
        """What is due of a conversation is not sent any more: its answer would seem to be followed by another."""
        self._typing.pop((channel_id, parent_id), None)

    async def send_typing(self) -> None:
        """Send what `typing` left, until the connection or the lease ends. The server's answers are not waited for.

        One task for all turns: each of them would wait for the others' frames, and may be cancelled at any moment,
        where half a frame would end the connection.
        """
        while True:
            await self._typing_due.wait()
            while self._typing:
                channel_id, parent_id = next(iter(self._typing))
                del self._typing[channel_id, parent_id]
                if not await self._send_typing(channel_id, parent_id):
                    return
                await trio.sleep(1 / TYPING_PER_SECOND)

    async def _send_typing(self, channel_id: ChannelId, parent_id: str) -> bool:
        self._actions += 1
        data = {"channel_id": channel_id, "parent_id": parent_id}
        try:
            with trio.move_on_after(min(TYPING_SECONDS, self.lease.seconds_left)):
                await self._send({"seq": self._actions, "action": "user_typing", "data": data})
                return True
        except MattermostUnavailable:
            return False  # of the connection or the lease: whoever receives is told
        await self.abort()
        return False

    async def abort(self) -> None:
        """Close the transport without a closing handshake; `receive` then raises MattermostUnavailable."""
        await trio.aclose_forcefully(self._stream)

    async def aclose(self) -> None:
        """The closing handshake. It waits for the other side: call it with a deadline."""
        if self.lease.is_sure:
            await self._connection.aclose()
        else:
            await self.abort()

    async def _frame(self) -> Frame:
        try:
            text = await self._connection.get_message()
        except ConnectionClosed as exc:
            raise _closed(exc) from None
        if not isinstance(text, str):
            raise PayloadError("a binary frame")
        return decode_frame(text)

    async def _send(self, action: dict[str, Any]) -> None:
        await self.lease.check()
        try:
            await self._connection.send_message(msgspec.json.encode(action).decode())
        except ConnectionClosed as exc:
            raise _closed(exc) from None

    def _handle_reply(self, reply: ActionReply) -> None:
        if not reply.ok and reply.status_code == 401:
            raise MattermostRejected(_REVOKED, status=401, code=reply.error_id)
        answered = self._pending_pings.pop(reply.seq_reply, None)
        if answered is not None:
            answered.set()


async def open_tcp_stream(host: str, port: int, tls: ssl.SSLContext | None) -> trio.abc.Stream:
    """TCP, or TLS with its handshake done here: trio-websocket would hide a bad certificate behind a timeout."""
    stream = await trio.open_tcp_stream(host, port)
    return stream if tls is None else await open_tls(stream, host, tls)


async def open_tls(tcp: trio.abc.Stream, host: str, tls: ssl.SSLContext) -> trio.abc.Stream:
    """TLS over `tcp` for the name `host`, handshake done; a failed one closes the stream."""
    stream = trio.SSLStream(tcp, tls, server_hostname=host, https_compatible=True)
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
    lease: Lease | None = None,
) -> AsyncGenerator[Socket, None]:
    """Dial `url` (ws or wss) with the token in the upgrade's header, asking to resume if `resume` says where.

    The caller's first step is `greet`. Raises MattermostUnavailable and MattermostRejected; errors of the body come out
    as they are, not in groups. Without the account's `lease` it may be used for as long as anybody likes.
    """
    lease = lease or Lease.unlimited(AccountId(""))
    stream = _EndAwareStream(await _connect(url, open_stream, ssl_context))
    error: Exception | None = None
    pump: trio.Nursery | None = None
    reading = trio.CancelScope()
    try:
        with reading:
            async with trio.open_nursery() as nursery:
                # It starts at once. Cancelled between its start and the assignment, nobody would end it any more.
                with trio.CancelScope(shield=True):
                    pump = await nursery.start(_hold_pump, reading)
                assert pump is not None
                try:
                    await lease.check()  # connecting may have taken long
                    socket = await _upgrade(pump, stream, url, token, resume, lease)
                    pump.start_soon(socket.send_typing)
                    try:
                        yield socket
                    finally:
                        with trio.move_on_after(CLOSE_SECONDS, shield=True):
                            await socket.aclose()
                finally:
                    # Only now, because the closing handshake needs its reader.
                    pump.cancel_scope.cancel()
    except ExceptionGroup as group:
        error = _main_error(group)
        if error is None:
            raise
    finally:
        await trio.aclose_forcefully(stream)
    if error is None and reading.cancelled_caught:
        raise MattermostUnavailable("the websocket could not be read any more")
    if error is not None:
        raise _translated(error) from error.__cause__


async def _connect(url: str, open_stream: OpenStream, ssl_context: ssl.SSLContext | None) -> trio.abc.Stream:
    parts = urlsplit(url)
    tls = ssl_context or client_tls() if parts.scheme == "wss" else None
    port = parts.port or (443 if parts.scheme == "wss" else 80)
    try:
        with trio.fail_after(HANDSHAKE_SECONDS):
            return await open_stream(parts.hostname or "", port, tls)
    except trio.TooSlowError:
        raise MattermostUnavailable(f"no connection to {parts.netloc} within {HANDSHAKE_SECONDS:g} s") from None
    except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as exc:
        raise MattermostUnavailable(f"no connection to {parts.netloc}: {describe_error(exc)}") from exc


async def _hold_pump(around: trio.CancelScope, *, task_status: trio.TaskStatus[trio.Nursery]) -> None:
    """Keep trio-websocket's reader alive while we are being cancelled, or the orderly close would wait in vain.

    No deadline: `open_socket` cancels it on every way out.
    """
    has_failed = False
    try:
        async with trio.open_nursery() as nursery:
            nursery.cancel_scope.shield = True
            task_status.started(nursery)
            await trio.sleep_forever()
    except* LocalProtocolError:
        # trio-websocket answers a ping that comes after our close frame, which the protocol forbids, and ends by that.
        has_failed = True
    if has_failed:
        around.cancel()


async def _upgrade(
    pump: trio.Nursery, stream: _EndAwareStream, url: str, token: str, resume: ResumePoint | None, lease: Lease
) -> Socket:
    parts = urlsplit(url)
    resource = parts.path
    if resume is not None:
        # These count only together with the token in the upgrade's header (tests/contract, resume_with_challenge).
        resource += f"?connection_id={quote(resume.connection_id, safe='')}&sequence_number={resume.next_seq}"
    connection: WebSocketConnection | None = None
    with trio.move_on_after(HANDSHAKE_SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_give_up_at_end, stream, nursery.cancel_scope)
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
            nursery.cancel_scope.cancel()
    if connection is not None:
        return Socket(connection, stream, lease)
    if stream.ended.is_set():
        raise MattermostUnavailable("the connection was closed during the websocket upgrade")
    raise MattermostUnavailable(f"no websocket upgrade within {HANDSHAKE_SECONDS:g} s")


async def _give_up_at_end(stream: _EndAwareStream, scope: trio.CancelScope) -> None:
    await stream.ended.wait()
    scope.cancel()


def _closed(exc: ConnectionClosed) -> MattermostUnavailable:
    # 1006 stands for an end without a close frame (RFC 6455, 7.4.1), as when a server stops.
    code = exc.reason.code if exc.reason is not None else 1006
    reason = f" ({exc.reason.reason})" if exc.reason is not None and exc.reason.reason else ""
    return MattermostUnavailable(f"the websocket was closed with {code}{reason}", code=f"ws.{code}")


def _translated(exc: Exception) -> Exception:
    if isinstance(exc, ConnectionRejected):
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in exc.headers}
        body, what = exc.body or b"", "websocket upgrade"
        if exc.status_code in _NOT_PASSED_ON:
            what += ", which a proxy before Mattermost does not pass on (oc-trio doctor names what is missing)"
        return error_from_response(exc.status_code, headers, body, what, writes=False, now=time.time())
    if isinstance(exc, HandshakeError):
        return MattermostUnavailable(f"websocket upgrade: {describe_error(exc)}")
    return exc


def _main_error(group: ExceptionGroup[Exception]) -> Exception | None:
    """The one error that matters: the body's own, since errors of trio-websocket's reader follow from it."""
    leaves: list[Exception] = []
    for member in group.exceptions:
        inner = _main_error(member) if isinstance(member, ExceptionGroup) else member
        if inner is None:
            return None
        leaves.append(inner)
    rejected = [leaf for leaf in leaves if isinstance(leaf, ConnectionRejected)]
    if rejected:
        return rejected[0]
    own = [leaf for leaf in leaves if not isinstance(leaf, HandshakeError)] or leaves
    unexpected = [leaf for leaf in own if not isinstance(leaf, MattermostError)] or own
    return unexpected[0] if len(unexpected) == 1 else None
