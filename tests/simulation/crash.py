"""A power switch for one incarnation of the gateway: from one moment on, nothing that it does has any effect.

Everything that leaves the process goes through here (the journal's transactions, requests, the websocket), so
cutting the power before or after any of these operations covers every moment at which a crash makes a difference.
"""

import random
import sqlite3
from collections.abc import Callable
from typing import Any

import trio
from attrs import define, field
from trio.testing import MemoryReceiveStream, MemorySendStream

from tests.simulation.transcript import RunTranscript


class PowerOff(BaseException):
    """Raised into whatever a dead incarnation still tries to do. No handler of ordinary errors may see it."""


@define(eq=False)
class PowerSwitch:
    """`scope` holds the incarnation; `on_cut` are called once, at the cut, without waiting."""

    name: str
    transcript: RunTranscript
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    gone: trio.Event = field(factory=trio.Event)
    on_cut: list[Callable[[], None]] = field(factory=list)
    _fuse: int = 0

    @property
    def is_off(self) -> bool:
        return self.gone.is_set()

    def arm(self, operations: int) -> None:
        """Cut the power after so many half operations: before one, or right after it took effect."""
        self._fuse = operations

    def cut(self, why: str) -> None:
        if self.is_off:
            return
        self.transcript.note("power", f"{self.name} loses power {why}")
        self.gone.set()
        for each in self.on_cut:
            each()
        self.scope.cancel()

    def before(self, operation: str) -> None:
        """Raises PowerOff: the operation does not take place."""
        if self.is_off:
            raise PowerOff
        self._burn("before", operation)

    def after(self, operation: str) -> None:
        """Raises PowerOff: the operation took place, and nobody learns of it."""
        if self.is_off:
            raise PowerOff
        self._burn("after", operation)

    def _burn(self, side: str, operation: str) -> None:
        if self._fuse:
            self._fuse -= 1
            if not self._fuse:
                self.cut(f"{side} {operation}")
                raise PowerOff


@define(eq=False)
class Disk:
    """What the journal lies on; it outlives incarnations. Until `until` that `share` of the transactions fails."""

    rng: random.Random
    transcript: RunTranscript
    until: float = 0.0
    share: float = 0.0

    def check(self, sql: str) -> None:
        """Fail now and then: another process holds the lock, or there is no room for what is to be committed."""
        if trio.current_time() >= self.until or self.rng.random() >= self.share:
            return
        problem = "database is locked" if sql.startswith("BEGIN") else "database or disk is full"
        self.transcript.detail("disk", f"{sql}: {problem}")
        raise sqlite3.OperationalError(problem)


class PoweredConnection(sqlite3.Connection):
    """The journal's database of one incarnation; a transaction takes place as a whole or not at all."""

    power: PowerSwitch
    disk: Disk

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        if sql.startswith("BEGIN"):
            self.power.before("a transaction")
        if sql.startswith(("BEGIN", "COMMIT")):
            self.disk.check(sql)
        cursor = super().execute(sql, parameters)
        if sql == "COMMIT":
            self.power.after("a commit")
        return cursor

    def __del__(self) -> None:
        self.close()  # an incarnation that died closed nothing: the end of its process does


def open_disk(power: PowerSwitch, disk: Disk, image: bytes | None) -> PoweredConnection:
    """The database as the last incarnation left it, for the next one."""
    connection = sqlite3.connect(":memory:", factory=PoweredConnection)
    connection.power, connection.disk = power, disk
    if image:
        connection.deserialize(image)
    return connection


@define(eq=False)
class PoweredStream(trio.abc.Stream):
    """The client's end of a websocket's byte stream; a dead process neither sends nor says goodbye."""

    inner: trio.StapledStream[MemorySendStream, MemoryReceiveStream]
    power: PowerSwitch

    def __attrs_post_init__(self) -> None:
        self.power.on_cut.append(self._drop)

    def _drop(self) -> None:
        self.inner.send_stream.close()
        self.inner.receive_stream.close()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self.power.before("a websocket write")
        await self.inner.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.inner.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        received: bytes | bytearray = await self.inner.receive_some(max_bytes)
        return received

    async def aclose(self) -> None:
        await self.inner.aclose()
