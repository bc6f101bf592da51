"""Tells other processes at once that the journal has something for them: LISTEN and NOTIFY of PostgreSQL.

A notice is no more than its topic; what there is to do is in the journal. Notices may be lost, or not be had at all
(SQLite, a pooler in between): whoever follows a topic looks at the journal from time to time anyway.
"""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from sqlite3 import Connection
from typing import TYPE_CHECKING

import trio
from attrs import field

from oc_trio.classes import define
from oc_trio.errors import StoreError
from oc_trio.store.engine import Tx
from oc_trio.store.location import is_postgres
from oc_trio.telemetry.log import get_logger

if TYPE_CHECKING:
    from oc_trio.store.postgres_listener import PostgresListener

# A lease was given back; a relayed request or its answer was written, or a notice to all processes.
LEASES = "leases"
RELAYED = "relayed"

# Until then nothing is missed: whoever is told by notices also looks by itself, less often.
RECONNECT_SECONDS = 2.0
# A connection that has gone silent is found by asking on it.
PING_SECONDS = 15.0

log = get_logger(part="notify")


def notify(tx: Tx, topic: str) -> None:
    """Tells all processes that follow the topic, once the transaction is committed."""
    tx.notify(topic)


@define(eq=False)
class Notices:
    """What is called for each notice. `is_listening` is false while other processes' notices are not to be had."""

    is_listening: bool = field(init=False, default=False)
    _followers: dict[str, list[Callable[[], object]]] = field(init=False, factory=dict)

    def follow(self, topic: str, act: Callable[[], object]) -> None:
        """Calls `act`, which never waits, at each notice of the topic, and whenever one may have been missed."""
        self._followers.setdefault(topic, []).append(act)

    def deliver(self, topic: str) -> None:
        for act in self._followers.get(topic, ()):
            act()

    def deliver_all(self) -> None:
        """As if there was a notice of each topic."""
        for topic in tuple(self._followers):
            self.deliver(topic)


async def run_notices(
    location: str | Path | Connection, notices: Notices, *, reconnect_seconds: float = RECONNECT_SECONDS
) -> None:
    """Delivers the notices of the journal's other processes, until cancelled; ends where none can come.

    Never fails: without a connection there are no notices, and it is tried again.
    """
    if isinstance(location, Connection) or not is_postgres(location):
        return
    # Only here: psycopg comes with an extra.
    from oc_trio.store.postgres_listener import open_listener

    is_away = False
    while True:
        try:
            # Abandoned: the thread ends by itself within the time that connecting may take.
            listener = await trio.to_thread.run_sync(open_listener, str(location), abandon_on_cancel=True)
            if listener is None:
                log.info("a pooler is before PostgreSQL: what other processes write is found by looking, in seconds")
                return
            with closing(listener):
                notices.is_listening, is_away = True, False
                # What was sent before it listened.
                notices.deliver_all()
                await _read(listener, notices)
        except StoreError as problem:
            if not is_away:
                log.info("no notices from other processes for now", problem=str(problem))
            is_away = True
        finally:
            notices.is_listening = False
        await trio.sleep(reconnect_seconds)


async def _read(listener: "PostgresListener", notices: Notices) -> None:
    """Until the connection fails: raises StoreError."""
    while True:
        with trio.move_on_after(PING_SECONDS) as scope:
            await trio.lowlevel.wait_readable(listener.socket)
        # A ping waits for its answer, for no longer than a renewal would: in a thread.
        topics = await trio.to_thread.run_sync(listener.ping) if scope.cancelled_caught else listener.read()
        for topic in topics:
            notices.deliver(topic)
