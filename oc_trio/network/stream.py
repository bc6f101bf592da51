"""One TCP connection, over Trio's sockets: how it is opened, made secure, and read.

While a long answer streams, its connection may be paced: a read waits until some time after the last one, so that the
kernel gathers what arrives meanwhile. A model's tokens come every few milliseconds and are shown about once a second;
waking for each of them would cost more CPU than all else that a turn does.
"""

import math
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import trio
from attrs import define

# Opens a TCP connection to a host and port.
Dial = Callable[[str, int], Awaitable[trio.SocketStream]]

# Up to so many streams are read as their bytes come.
_FEW = 4
# Reads per second of all streams together, and the longest pause of one: half of a second that people would notice.
_MOST_READS = 400.0
_LONGEST_PAUSE = 0.4


async def dial(host: str, port: int) -> trio.SocketStream:
    """TCP to any address of `host`, one after the other as they answer."""
    return await trio.open_tcp_stream(host, port)


@define(eq=False)
class ReadPacer:
    """Shared by all connections of a pool; `live` counts the streams that are paced."""

    live: int = 0

    @property
    def pause(self) -> float:
        """Seconds between two reads of one stream: none while few are live, growing with their number."""
        return 0.0 if self.live <= _FEW else min(_LONGEST_PAUSE, self.live / _MOST_READS)


@define(eq=False)
class PacedStream(trio.abc.Stream):
    """A connection whose reads can be paced. It lies below TLS: a read there returns one record of those that came.

    `stream` is TCP, or a tunnel over it.
    """

    stream: trio.abc.Stream
    pacer: ReadPacer
    _is_paced: bool = False
    # When the last read ended, so that the first one has no pause before it.
    _read_at: float = -math.inf

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
        stream = self.stream
        while isinstance(stream, trio.SSLStream):
            stream = stream.transport_stream
        assert isinstance(stream, trio.SocketStream)
        return stream.socket

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        if not self._is_paced:
            return await self.stream.receive_some(max_bytes)
        if (due := self._read_at + self.pacer.pause) > trio.current_time():
            await trio.sleep_until(due)
        data = await self.stream.receive_some(max_bytes)
        self._read_at = trio.current_time()
        return data

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
