"""One TCP connection, over Trio's sockets: how it is opened, made secure, and read.

While a long answer streams, its connection may be paced: a read waits until some time after the last one, so that the
kernel gathers what arrives meanwhile. A model's tokens come every few milliseconds and are shown about once a second;
waking for each of them would cost more CPU than all else that a turn does. With very many answers several reads are one
piece: one task does them for all that wait, and wakes another only when it has its piece.
"""

import itertools
import math
import os
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import trio
from attrs import field

from oc_trio.classes import define

# Opens a TCP connection to a host and port.
Dial = Callable[[str, int], Awaitable[trio.SocketStream]]

# Up to so many streams are read as their bytes come.
_FEW = 4
# Reads per second of all streams together, and the longest pause of one: what people would hardly notice at the end of
# an answer. With a thousand streams shorter ones take so much of the CPU that final texts come later, not earlier.
_MOST_READS = 400.0
_LONGEST_PAUSE = 0.4
# Those reads that one task does for all cost so little that they may be more frequent: with a thousand streams final
# texts come a quarter sooner than with the pause above, for a twentieth more CPU.
_LONGEST_PAUSE_OF_ALL = 0.25
# Where there would be more pieces than that, several reads make one, unless the answer ends with it: drafts share ten
# edits a second, so that with so many streams each is edited every 16 seconds or less often.
_LONGEST_GATHERING = 2.0
# A stream that brings nothing for so long has stalled, or has only its end to come: people wait for what it said.
QUIET_SECONDS = 0.8
# Of one read, and of one behind which there is more as a rule: the kernel keeps little more where reads are rare.
READ_BYTES = 64 * 1024
_MUCH = READ_BYTES // 2
# Seconds between the moments at which paced reads go on.
_TICK = 0.02
# Streams that go on in one pass of Trio's loop, and those that are looked at: some three milliseconds of work.
_WOKEN_AT_ONCE = 8
_READ_AT_ONCE = 32
# Bytes at the end of what was read in which its last words are looked for.
_TAIL_BYTES = 64


async def dial(host: str, port: int) -> trio.SocketStream:
    """TCP to any address of `host`, one after the other as they answer."""
    return await trio.open_tcp_stream(host, port)


@define(eq=False)
class _Wait:
    """What a task waits for in a pacer; `task` is that task while it sleeps there."""

    is_over: bool = field(init=False, default=False)
    task: trio.lowlevel.Task | None = field(init=False, default=None)

    def go_on(self, now: float) -> float | None:
        """Called once it is due, by whichever task leads: when it is due again, or None when it is over."""
        return None

    async def sleep(self) -> None:
        """Until it is woken. Where it is cancelled it is over at once, and not called any more."""

        def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
            self.task, self.is_over = None, True
            return trio.lowlevel.Abort.SUCCEEDED

        self.task = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(abort)

    def wake(self) -> None:
        """It runs in any case then: it can only be cancelled later."""
        if self.task is not None:
            trio.lowlevel.reschedule(self.task)
            self.task = None


@define(eq=False)
class ReadPacer:
    """Shared by all connections of a pool; `live` counts the streams that are paced."""

    live: int = 0
    # By the moment at which they are due, and those whose moment has come, in order.
    _waits: dict[float, list[_Wait]] = field(init=False, factory=dict)
    _due: deque[_Wait] = field(init=False, factory=deque)
    # One of those that wait leads: it alone has a deadline, which it sleeps in. `_next` has been woken to lead.
    _is_led: bool = field(init=False, default=False)
    _next: _Wait | None = field(init=False, default=None)
    _sleep: trio.CancelScope | None = field(init=False, default=None)

    @property
    def pause(self) -> float:
        """Seconds between two reads of one stream: none while few are live, growing with their number."""
        return 0.0 if self.live <= _FEW else min(_LONGEST_PAUSE, self.live / _MOST_READS)

    @property
    def gathering(self) -> float:
        """Seconds of a stream that may be read as one piece: none where one read is enough."""
        seconds = min(_LONGEST_GATHERING, self.live / _MOST_READS)
        return seconds if seconds > _LONGEST_PAUSE else 0.0

    @property
    def pause_of_all(self) -> float:
        """As `pause`, where one task reads for all."""
        return min(_LONGEST_PAUSE_OF_ALL, self.pause)

    async def sleep_until(self, due: float) -> None:
        """Until `due` on Trio's clock, and until those that are due earlier have gone on."""
        if trio.current_time() < _moment(due):
            await self.wait(_Wait(), due)

    async def wait(self, wait: _Wait, due: float) -> None:
        """Until `wait` is over; it goes on at `due` and whenever it says.

        A deadline that passes costs Trio several times a task that another wakes: a third of all CPU, with a thousand
        streams. And whatever else goes on waits for all that run in the same pass of Trio's loop, the websocket for
        each of its events: so only a few are woken in one. Who is due goes in order, also while all are too many.
        """
        wait.is_over = False
        self._add(wait, due)
        try:
            while not wait.is_over:
                if self._is_led or self._next not in (None, wait):
                    await wait.sleep()
                    continue
                self._is_led, self._next = True, None
                try:
                    await self._lead(wait)
                finally:
                    self._is_led = False
        finally:
            wait.is_over = True
            if not self._is_led and self._next is None and (other := self._sleeping()):
                self._next = other
                other.wake()

    async def _lead(self, own: _Wait) -> None:
        """Call all that are due, until `own` is over."""
        while True:
            called = woken = 0
            while self._due:
                wait = self._due.popleft()
                if wait.is_over:
                    continue
                if (due := wait.go_on(trio.current_time())) is not None:
                    self._add(wait, due)
                else:
                    wait.is_over = True
                    wait.wake()
                    woken += 1
                called += 1
                if called >= _READ_AT_ONCE or woken >= _WOKEN_AT_ONCE:
                    # Without a checkpoint: what it has read would be lost where it is cancelled.
                    if own.is_over:
                        return
                    called = woken = 0
                    await trio.lowlevel.checkpoint()
            if own.is_over:
                return
            try:
                with trio.CancelScope(deadline=min(self._waits)) as self._sleep:
                    await trio.sleep_forever()
            finally:
                self._sleep = None
            now = trio.current_time()
            for at in sorted(at for at in self._waits if at <= now):
                self._due.extend(self._waits.pop(at))

    def _add(self, wait: _Wait, due: float) -> None:
        at = _moment(due)
        self._waits.setdefault(at, []).append(wait)
        if self._sleep is not None and at < self._sleep.deadline:
            self._sleep.deadline = at

    def _sleeping(self) -> _Wait | None:
        """One that can be woken."""
        waits = itertools.chain(self._due, *self._waits.values())
        return next((wait for wait in waits if wait.task is not None), None)


def _moment(due: float) -> float:
    return math.ceil(due / _TICK) * _TICK


@define(eq=False)
class PacedStream(trio.abc.Stream):
    """A connection whose reads can be paced. It lies below all TLS: a read there returns one record of those that came.

    `stream` is TCP; what is no socket is read by its own means after a pause.
    """

    stream: trio.abc.Stream
    pacer: ReadPacer
    _is_paced: bool = False
    # When the last read ended, so that the first one has no pause before it, and whether there is more to read.
    _read_at: float = -math.inf
    _has_more: bool = False
    _last_words: tuple[bytes, ...] = ()
    _failure: trio.BrokenResourceError | None = None  # what came before it is read first

    @contextmanager
    def paced(self, last_words: tuple[bytes, ...] = ()) -> Iterator[None]:
        """Within the block reads have pauses between them; by `last_words` an answer ends."""
        self._is_paced, self._last_words = True, last_words
        self.pacer.live += 1
        try:
            yield
        finally:
            self._is_paced = False
            self.pacer.live -= 1

    @property
    def socket(self) -> trio.socket.SocketType:
        """The socket below."""
        assert isinstance(self.stream, trio.SocketStream)
        return self.stream.socket

    @property
    def gathering(self) -> float:
        """As the pacer's; none while reads are not paced."""
        return self.pacer.gathering if self._is_paced else 0.0

    @property
    def can_gather(self) -> bool:
        """Whether `gather` is for it now: several of its reads may be one piece, and it is a socket."""
        return self._is_paced and self.gathering > 0 and isinstance(self.stream, trio.SocketStream)

    def has_last_words(self, data: bytes) -> bool:
        """Whether the answer may end with `data`."""
        tail = data[-_TAIL_BYTES:]
        return any(words in tail for words in self._last_words)

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        if not self._is_paced:
            return await self._receive(max_bytes)
        most = max_bytes or READ_BYTES
        data: bytes | bytearray | None = None
        if (due := self._next_read(self.pacer.pause)) > trio.current_time():
            await self.pacer.sleep_until(due)
            # After a pause there is something as a rule, and the pause was a checkpoint: Trio's own read would cost
            # two more passes of its loop.
            data = self.read_at_once(most)
        if data is None:
            data = await self._receive(most)
        self.note_read(len(data) >= min(most, _MUCH))
        return data

    async def gather(self, may_end: Callable[[int, bytes], bool]) -> bytes:
        """As `receive_some`, but with what comes within `gathering` as one.

        It returns before where a stalled stream, a failure or the caller's deadline would hold up what has come, and
        where that may be the end: `may_end` gets how many bytes that is, and the last of them.
        """
        pieces = _Pieces(self, may_end, trio.current_effective_deadline())
        if (due := self._next_read(self.pacer.pause_of_all)) > trio.current_time():
            await self.pacer.wait(pieces, due)
        if not pieces.read:
            data = await self._receive(READ_BYTES)
            if (again := pieces.add(data, trio.current_time())) is not None:
                await self.pacer.wait(pieces, again)
        return b"".join(pieces.read)

    async def _receive(self, max_bytes: int | None) -> bytes | bytearray:
        # Also where reads are not gathered any more: the kernel has told of the failure, and would now tell of an end.
        if self._failure is not None:
            raise self._failure
        return await self.stream.receive_some(max_bytes)

    def _next_read(self, pause: float) -> float:
        # A model that is so fast would be slowed down by whole pauses; without any it would keep others waiting.
        return self._read_at + (min(_TICK, pause) if self._has_more else pause)

    def note_read(self, has_more: bool) -> None:
        """A read ended just now; `has_more` where more is there to be read."""
        self._read_at, self._has_more = trio.current_time(), has_more

    def note_end(self, failure: trio.BrokenResourceError | None = None) -> None:
        """Nothing more comes: the next read finds that without a pause."""
        self._read_at, self._failure = -math.inf, failure

    def read_at_once(self, max_bytes: int) -> bytes | None:
        """What has come; None where nothing has, or where it does not come from a socket that is open.

        Raises trio.BrokenResourceError: the kernel says only once that a connection was reset, and then that it ended.
        """
        if not isinstance(self.stream, trio.SocketStream) or (descriptor := self.stream.socket.fileno()) < 0:
            return None
        try:
            return os.read(descriptor, max_bytes)
        except BlockingIOError:
            return None
        except OSError as exc:
            raise trio.BrokenResourceError(f"socket connection broken: {exc}") from exc

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self.stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self.stream.aclose()


@define(eq=False)
class _Pieces(_Wait):
    """The reads of a socket that are one piece; `read` has what they brought."""

    stream: PacedStream
    may_end: Callable[[int, bytes], bool]
    deadline: float
    read: list[bytes | bytearray] = field(init=False, factory=list)
    _size: int = field(init=False, default=0)
    _tail: bytes = field(init=False, default=b"")
    # When the first and the last of it came.
    _began_at: float = field(init=False, default=0.0)
    _came_at: float = field(init=False, default=0.0)

    def go_on(self, now: float) -> float | None:
        try:
            data = self.stream.read_at_once(READ_BYTES)
        except trio.BrokenResourceError as failure:
            self.stream.note_end(failure)
            return None
        if data is not None:
            return self.add(data, now)
        # The first of it is waited for at the socket.
        return self._again(now) if self.read else None

    def add(self, data: bytes | bytearray, now: float) -> float | None:
        """Takes what was read; returns when the next read is due, or None where it is the last."""
        if not data:
            self.stream.note_end()
            return None
        if not self.read:
            self._began_at = now
        self._came_at = now
        self.read.append(data)
        self._size += len(data)
        self._tail = (self._tail + data[-_TAIL_BYTES:])[-_TAIL_BYTES:]
        self.stream.note_read(has_more := len(data) >= _MUCH)
        if (
            has_more
            or self._size >= READ_BYTES
            or self.may_end(self._size, self._tail)
            or self.stream.has_last_words(self._tail)
        ):
            return None
        return self._again(now)

    def _again(self, now: float) -> float | None:
        due = now + self.stream.pacer.pause_of_all
        # Less, or none, where other answers have ended meanwhile.
        until = self._began_at + self.stream.gathering
        # Nobody waits for a piece that is held back, but who would be cancelled meanwhile.
        return None if due >= min(until, self._came_at + QUIET_SECONDS) or self.deadline <= until else due


async def start_tls(stream: trio.abc.Stream, ssl_context: ssl.SSLContext, host: str) -> trio.abc.Stream:
    """TLS over `stream`, handshake done and checked for `host`. Has no deadline: the caller sets one.

    Raises trio.BrokenResourceError, whose cause has the reason.
    """
    ssl_context.set_alpn_protocols(["http/1.1"])
    ssl_context.sslobject_class = _TlsObject
    secure = trio.SSLStream(stream, ssl_context, server_hostname=host, https_compatible=True)
    await secure.do_handshake()
    return secure


class _TlsObject(ssl.SSLObject):
    """One that reads all records that have come: as a rule each holds one token, and Trio waits after each read."""

    _failure: ssl.SSLError | None = None

    def read(self, size: int = 1024, buffer: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Up to `size` bytes of them, or one record into `buffer`. Raises ssl.SSLError, after all that came before."""
        if self._failure is not None:
            raise self._failure
        if buffer is not None:
            return super().read(size, buffer)
        data = bytearray(record := super().read(size))
        try:
            while record and len(data) < size:
                data += (record := super().read(size - len(data)))
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as failure:
            self._failure = failure
        return bytes(data)
