"""A power switch for one incarnation of the gateway: from one moment on, nothing that it does has any effect.

Everything that leaves the process goes through here (the journal's transactions, requests, the websocket), so
cutting the power before or after any of these operations covers every moment at which a crash makes a difference.
"""

import random
import sqlite3
from collections.abc import Callable
from typing import Any

import httpx
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
    # Called right before a request leaves, where somebody wants to know.
    on_request: Callable[[httpx.Request], None] | None = None
    on_cut: list[Callable[[], None]] = field(factory=list)
    # Pauses the incarnation, until `resumed`; of more than one process only.
    on_pause: Callable[[], None] | None = None
    resumed: trio.Event | None = None
    _operations_to_cut: int = 0
    _operations_to_pause: int = 0

    @property
    def is_off(self) -> bool:
        return self.gone.is_set()

    def arm(self, operations: int) -> None:
        """Cut the power after so many half operations: before one, or right after it took effect."""
        self._operations_to_cut = operations

    def arm_pause(self, operations: int) -> None:
        """The same with a pause in the place of the cut."""
        self._operations_to_pause = operations

    async def running(self) -> None:
        """Right before something leaves the process: a process that is paused here goes on as if nothing had been, and
        no cancellation keeps what it had decided from leaving.
        """
        if self.resumed is not None:
            with trio.CancelScope(shield=True):
                await self.resumed.wait()
            if self.is_off:
                raise PowerOff

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
        self._count("before", operation)

    def after(self, operation: str) -> None:
        """Raises PowerOff: the operation took place, and nobody learns of it."""
        if self.is_off:
            raise PowerOff
        self._count("after", operation)

    def _count(self, side: str, operation: str) -> None:
        if self._operations_to_cut:
            self._operations_to_cut -= 1
            if not self._operations_to_cut:
                self.cut(f"{side} {operation}")
                raise PowerOff
        if self._operations_to_pause:
            self._operations_to_pause -= 1
            if not self._operations_to_pause and self.on_pause is not None:
                self.transcript.note("power", f"{self.name} is paused {side} {operation}")
                self.on_pause()


@define(eq=False)
class Disk:
    """What the journal lies on; it outlives incarnations. Until `until` that `share` of the transactions fails, and
    of those that are committed a share gets no answer (`unanswered`). A database that is away refuses all, or does not
    answer where it `hangs`.
    """

    rng: random.Random
    transcript: RunTranscript
    until: float = 0.0
    share: float = 0.0
    unanswered: float = 0.0
    away_until: float = 0.0
    hangs: bool = False

    @property
    def is_away(self) -> bool:
        return trio.current_time() < self.away_until

    @property
    def is_silent(self) -> bool:
        return self.hangs and self.is_away

    async def answering(self, patience: float) -> None:
        """Wait for as long as the database is silent, but no longer than that."""
        if self.is_silent:
            with trio.move_on_after(patience):
                await trio.sleep_until(self.away_until)

    def check_answer(self) -> None:
        """Fail now and then although the transaction was committed."""
        if trio.current_time() < self.until and self.rng.random() < self.unanswered:
            self.transcript.detail("disk", "a commit is not answered")
            raise sqlite3.OperationalError("connection refused")

    def check(self, sql: str) -> None:
        """Fail now and then: another process holds the lock, or there is no room for what is to be committed."""
        if self.is_away:
            self.transcript.detail("disk", f"{sql}: away")
            raise sqlite3.OperationalError("connection refused")
        if trio.current_time() >= self.until or self.rng.random() >= self.share:
            return
        problem = "database is locked" if sql.startswith("BEGIN") else "database or disk is full"
        self.transcript.detail("disk", f"{sql}: {problem}")
        raise sqlite3.OperationalError(problem)


class PoweredConnection(sqlite3.Connection):
    """The journal's database of one incarnation; a transaction takes place as a whole or not at all."""

    power: PowerSwitch
    disk: Disk
    # Called with the tables and accounts of the rows that a transaction has written, where somebody wants to know, and
    # with each topic of which it notifies all.
    on_commit: Callable[[set[tuple[str, str]]], None] | None = None
    on_notice: Callable[[str], None] | None = None
    _written: set[tuple[str, str]]
    _topics: set[str]

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        if sql.startswith("BEGIN"):
            self.power.before("a transaction")
            self._written, self._topics = set(), set()
        if sql.startswith(("BEGIN", "COMMIT")):
            self.disk.check(sql)
        cursor = super().execute(sql, parameters)
        if sql == "COMMIT":
            if self.on_commit is not None:
                self.on_commit(self._written)
            if self.on_notice is not None:
                for topic in sorted(self._topics):
                    self.on_notice(topic)
            self.power.after("a commit")
            self.disk.check_answer()
        return cursor

    def note_write(self, table: str, account: str) -> None:
        self._written.add((table, account))

    def note_topic(self, topic: str) -> None:
        self._topics.add(topic)

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
