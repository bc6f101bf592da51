"""Where the journal is between incarnations: an image that the next one opens, or a database that several share."""

import itertools
import os
import sqlite3
from typing import Any, Protocol

from attrs import define, field

from oc_trio.store.store import open_store
from tests.simulation.crash import Disk, PoweredConnection, PowerSwitch, open_disk
from tests.simulation.scenario import now_ms

Rows = list[tuple[Any, ...]]


class Journal(Protocol):
    """A journal outlives the incarnations that open it."""

    def open(self, power: PowerSwitch, disk: Disk) -> PoweredConnection:
        """A connection for one incarnation."""
        ...

    def left(self, connection: PoweredConnection) -> None:
        """That incarnation has ended, in whatever way."""
        ...

    def rows(self, sql: str, *values: object) -> Rows:
        """A look into the journal from outside."""
        ...


@define(eq=False)
class ImageJournal:
    """One incarnation at a time; `image` is the journal as the last one left it."""

    image: bytes | None = None
    _connection: PoweredConnection | None = None

    def open(self, power: PowerSwitch, disk: Disk) -> PoweredConnection:
        self._connection = open_disk(power, disk, self.image)
        return self._connection

    def left(self, connection: PoweredConnection) -> None:
        if connection.in_transaction:
            connection.rollback()
        self.image = connection.serialize()

    def rows(self, sql: str, *values: object) -> Rows:
        connection = self._connection
        return [] if connection is None else sqlite3.Connection.execute(connection, sql, values).fetchall()


_NUMBERS = itertools.count(1)


@define(eq=False)
class SharedJournal:
    """A database of which each incarnation of several processes has a connection of its own."""

    name: str = field(factory=lambda: f"file:/fleet-{os.getpid()}-{next(_NUMBERS)}?vfs=memdb")
    # The database is there for as long as somebody has it open.
    _keeper: sqlite3.Connection = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._keeper = sqlite3.connect(self.name, uri=True, isolation_level=None)

    async def make(self) -> None:
        """Have its tables made, before anybody opens it."""
        async with open_store(self._keeper):
            pass

    def open(self, power: PowerSwitch, disk: Disk) -> PoweredConnection:
        connection = sqlite3.connect(self.name, uri=True, factory=PoweredConnection)
        connection.power, connection.disk = power, disk
        connection.create_function("oc_now_ms", 0, now_ms)
        connection.create_function("oc_notify", 1, connection.note_topic)
        return connection

    def left(self, connection: PoweredConnection) -> None:
        connection.close()

    def rows(self, sql: str, *values: object) -> Rows:
        return self._keeper.execute(sql, values).fetchall()

    def close(self) -> None:
        self._keeper.close()
