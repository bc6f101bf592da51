"""One TCP connection, over Trio's sockets: how it is opened, made secure, and read.

While a long answer streams, its connection may be paced: a read waits until some time after the last one, so that the
kernel gathers what arrives meanwhile. A model's tokens come every few milliseconds and are shown about once a second;
waking for each of them would cost more CPU than all else that a turn does.
"""

import math
import os
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

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
# Where there would be more pieces than that, several reads make one, unless the answer ends with it: with so many
# streams a draft is edited every few seconds.
_LONGEST_GATHERING = 2.0
# Of one read.
READ_BYTES = 64 * 1024
# Seconds between the moments at which paced reads go on.
_TICK = 0.02
# Streams that read in one pass of Trio's loop: some three milliseconds of work.
_AT_ONCE = 8


async def dial(host: str, port: int) -> trio.SocketStream:
    """TCP to any address of `host`, one after the other as they answer."""
    return await trio.open_tcp_stream(host, port)


@define(eq=False)
class ReadPacer:
    """Shared by all connections of a pool; `live` counts the streams that are paced."""

    live: int = 0
    # Those that wait for a moment, by its time: one more of them sleeps until then.
    _sleepers: dict[float, trio.lowlevel.ParkingLot] = field(init=False, factory=dict)
    # Those whose moment has come, and the few of them that have been woken and have not run yet.
    _due: trio.lowlevel.ParkingLot = field(init=False, factory=trio.lowlevel.ParkingLot)
    _woken: set[trio.lowlevel.Task] = field(init=False, factory=set)

    @property
    def pause(self) -> float:
        """Seconds between two reads of one stream: none while few are live, growing with their number."""
        return 0.0 if self.live <= _FEW else min(_LONGEST_PAUSE, self.live / _MOST_READS)

    @property
    def gathering(self) -> float:
        """Seconds of a stream that may be read as one piece: none where one read is enough."""
        seconds = min(_LONGEST_GATHERING, self.live / _MOST_READS)
        return seconds if seconds > _LONGEST_PAUSE else 0.0

    async def sleep_until(self, due: float) -> None:
        """Until `due` on Trio's clock, and until those that are due earlier have read.

        A deadline that passes costs Trio several times a task that another wakes: a third of all CPU, with a thousand
        streams. And whatever else goes on waits for all that run in the same pass of Trio's loop, the websocket for
        each of its events: so only a few are woken in one. Who is due goes in order, also while all are too many.
        """
        at = math.ceil(due / _TICK) * _TICK
        while trio.current_time() < at:
            others = self._sleepers.get(at)
            if others is not None:
                await self._park(others)
                continue
            others = self._sleepers[at] = trio.lowlevel.ParkingLot()
            try:
                await trio.sleep_until(at)
                others.repark_all(self._due)
            finally:
                # Where this task is cancelled one of the others sleeps on.
                del self._sleepers[at]
                others.unpark_all()
            if self._woken:
                await self._park(self._due)
            else:
                self._wake_few()

    async def _park(self, others: trio.lowlevel.ParkingLot) -> None:
        """Among `others`. The last one that has been woken when it was due wakes the next few, before it goes on."""
        await others.park()
        # A task that has been woken runs in any case: it can only be cancelled later.
        if (task := trio.lowlevel.current_task()) in self._woken:
            self._woken.remove(task)
            if not self._woken:
                self._wake_few()

    def _wake_few(self) -> None:
        self._woken.update(self._due.unpark(count=_AT_ONCE))


@define(eq=False)
class PacedStream(trio.abc.Stream):
    """A connection whose reads can be paced. It lies below all TLS: a read there returns one record of those that came.

    `stream` is TCP; what is no socket is read by its own means after a pause.
    """

    stream: trio.abc.Stream
    pacer: ReadPacer
    _is_paced: bool = False
    # When the last read ended, so that the first one has no pause before it, and whether it brought all that it could.
    _read_at: float = -math.inf
    _has_more: bool = False

    @contextmanager
    def paced(self) -> Iterator[None]:
        """Within the block reads have pauses between them."""
        self._is_paced = True
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

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        if not self._is_paced:
            return await self.stream.receive_some(max_bytes)
        most = max_bytes or READ_BYTES
        # A model that is so fast would be slowed down by whole pauses; without any it would keep others waiting.
        pause = min(_TICK, self.pacer.pause) if self._has_more else self.pacer.pause
        data: bytes | bytearray | None = None
        if (due := self._read_at + pause) > trio.current_time():
            await self.pacer.sleep_until(due)
            # After a pause there is something as a rule, and the pause was a checkpoint: Trio's own read would cost
            # two more passes of its loop.
            data = self._read_at_once(most)
        if data is None:
            data = await self.stream.receive_some(most)
        self._read_at, self._has_more = trio.current_time(), len(data) >= most
        return data

    def _read_at_once(self, max_bytes: int) -> bytes | None:
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


async def start_tls(stream: trio.abc.Stream, ssl_context: ssl.SSLContext, host: str) -> trio.abc.Stream:
    """TLS over `stream`, handshake done and checked for `host`. Has no deadline: the caller sets one.

    Raises trio.BrokenResourceError, whose cause has the reason.
    """
    ssl_context.set_alpn_protocols(["http/1.1"])
    secure = trio.SSLStream(stream, ssl_context, server_hostname=host, https_compatible=True)
    await secure.do_handshake()
    return secure
