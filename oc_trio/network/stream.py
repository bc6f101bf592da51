"""One TCP connection of the pool, over Trio's sockets: what httpcore reads from and writes to.

While a long answer streams, its connection may be paced: a read waits until some time after the last one, so that the
kernel gathers what arrives meanwhile. A model's tokens come every few milliseconds and are shown about once a second;
waking for each of them would cost more CPU than all else that a turn does.
"""

import math
import ssl
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpcore2
import trio
from attrs import define, field

# Opens a TCP connection to a host and port.
Dial = Callable[[str, int], Awaitable[trio.SocketStream]]

# Up to so many streams are read as their bytes come.
_FEW = 4
# Reads per second of all streams together, and the longest pause of one: half of a second that people would notice.
_MOST_READS = 400.0
_LONGEST_PAUSE = 0.4
_BROKEN = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)


@define(eq=False)
class ReadPacer:
    """Shared by all connections of a pool; `live` counts the streams that are paced."""

    live: int = 0

    @property
    def pause(self) -> float:
        """Seconds between two reads of one stream: none while few are live, growing with their number."""
        return 0.0 if self.live <= _FEW else min(_LONGEST_PAUSE, self.live / _MOST_READS)


@define(eq=False)
class _PacedTcp(trio.abc.Stream):
    """A socket whose reads can be paced. It lies below TLS: a read there returns one record of those that came."""

    tcp: trio.SocketStream
    pacer: ReadPacer
    is_paced: bool = False
    _read_at: float = -math.inf

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        if self.is_paced and (due := self._read_at + self.pacer.pause) > trio.current_time():
            await trio.sleep_until(due)
        data = await self.tcp.receive_some(max_bytes)
        self._read_at = trio.current_time()
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self.tcp.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.tcp.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self.tcp.aclose()


@define(eq=False)
class NetworkStream(httpcore2.AsyncNetworkStream):
    """The connection as httpcore wants it; errors of sockets become httpcore's."""

    _tcp: _PacedTcp
    _stream: trio.abc.Stream

    @contextmanager
    def paced(self) -> Iterator[None]:
        """Within the block reads have pauses between them."""
        self._tcp.is_paced = True
        self._tcp.pacer.live += 1
        try:
            yield
        finally:
            self._tcp.is_paced = False
            self._tcp.pacer.live -= 1

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            with trio.fail_after(_seconds(timeout)):
                return bytes(await self._stream.receive_some(max_bytes))
        except trio.TooSlowError as exc:
            raise httpcore2.ReadTimeout(str(exc)) from exc
        except _BROKEN as exc:
            raise httpcore2.ReadError(_reason(exc)) from exc

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if not buffer:
            return
        try:
            with trio.fail_after(_seconds(timeout)):
                await self._stream.send_all(buffer)
        except trio.TooSlowError as exc:
            raise httpcore2.WriteTimeout(str(exc)) from exc
        except _BROKEN as exc:
            raise httpcore2.WriteError(_reason(exc)) from exc

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.AsyncNetworkStream:
        """TLS over this connection, handshake done. A failed handshake closes it; its error keeps the reason."""
        stream = trio.SSLStream(self._stream, ssl_context, server_hostname=server_hostname, https_compatible=True)
        is_done = False
        try:
            with trio.fail_after(_seconds(timeout)):
                await stream.do_handshake()
            is_done = True
        except trio.TooSlowError as exc:
            raise httpcore2.ConnectTimeout(str(exc)) from exc
        except _BROKEN as exc:
            raise httpcore2.ConnectError(_reason(exc)) from exc
        finally:
            if not is_done:
                await trio.aclose_forcefully(stream)
        return NetworkStream(self._tcp, stream)

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks for: whether an idle connection has become readable, which means that it was closed."""
        if info == "is_readable":
            return self._tcp.tcp.socket.is_readable()
        if info == "socket":
            return self._tcp.tcp.socket
        return None


@define(eq=False)
class NetworkBackend(httpcore2.AsyncNetworkBackend):
    """Opens the pool's connections with `dial`; what that raises beside OSError comes out as it is."""

    dial: Dial
    pacer: ReadPacer = field(factory=ReadPacer)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        try:
            with trio.fail_after(_seconds(timeout)):
                tcp = _PacedTcp(await self.dial(host, port), self.pacer)
        except trio.TooSlowError as exc:
            raise httpcore2.ConnectTimeout(str(exc)) from exc
        except _BROKEN as exc:
            raise httpcore2.ConnectError(_reason(exc)) from exc
        return NetworkStream(tcp, tcp)

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)


def _seconds(timeout: float | None) -> float:
    return math.inf if timeout is None else timeout


def _reason(exc: Exception) -> str:
    """Trio's own error has no text where a socket or TLS gave the reason."""
    return str(exc) or str(exc.__cause__ or "")
