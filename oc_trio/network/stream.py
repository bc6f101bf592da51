"""One TCP connection, over Trio's sockets: how it is opened and read.

While a long answer streams it may be paced (`network.read_pacer`): a read waits until some time after the last one, so
that the kernel gathers what arrives meanwhile. With very many answers several reads are one piece.
"""

import math
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import trio
from attrs import field

from oc_trio.classes import define
from oc_trio.network.read_pacer import TICK, PacedWait, ReadPacer

# Opens a TCP connection to a host and port.
Dial = Callable[[str, int], Awaitable[trio.SocketStream]]

# A stream that brings nothing for so long has stalled, or has only its end to come: people wait for what it said.
QUIET_SECONDS = 0.8
# Of one read, and of one behind which there is more as a rule: the kernel keeps little more where reads are rare.
READ_BYTES = 64 * 1024
_MUCH = READ_BYTES // 2
# Bytes at the end of what was read in which its last words are looked for.
_TAIL_BYTES = 64


async def dial(host: str, port: int) -> trio.SocketStream:
    """TCP to any address of `host`, one after the other as they answer."""
    return await trio.open_tcp_stream(host, port)


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
        return self._read_at + (min(TICK, pause) if self._has_more else pause)

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
class _Pieces(PacedWait):
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
