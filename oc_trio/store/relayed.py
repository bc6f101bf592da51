"""Requests for an account that arrived at a process which does not serve it, and notices to all other processes.

A row waits until the process that serves the account takes it, and ends with the answer or by being withdrawn. Whoever
waits for the answer may give up before: who handles the row is then told so when it ends the row.
"""

from collections.abc import Callable, Collection

from oc_trio.classes import frozen
from oc_trio.ids import AccountId
from oc_trio.store.engine import Engine, Row, Tx
from oc_trio.store.notify import RELAYED, notify

# Of one account, read at once.
MAX_OPEN = 100
# Notices that a process looks at; more than that nobody sends within the time between two looks.
MAX_NOTICES = 20

# In place of an account.
EVERYBODY = AccountId("")


@frozen
class RelayedRow:
    """`body` is as in `core.relayed`; `process` is the one at which it arrived. Times are in milliseconds."""

    id: str
    account: AccountId
    kind: str
    body: str
    process: str
    created_at: int
    state: str = "waiting"


@frozen
class ProcessNotice:
    """What one process wants all others to do."""

    id: str
    kind: str
    process: str
    created_at: int


_OPEN = "SELECT id, account, kind, body, process, created_at, state FROM relayed WHERE state <> 'ended'"


def _row_of(row: Row) -> RelayedRow:
    return RelayedRow(row[0], AccountId(row[1]), row[2], row[3], row[4], int(row[5]), row[6])


def _insert(tx: Tx, row: RelayedRow, ended_at: int = 0) -> bool:
    notify(tx, RELAYED)
    return bool(
        tx.run(
            "INSERT INTO relayed (id, account, kind, body, process, created_at, state, given_up_at, answer, ended_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, 0, '', ?) ON CONFLICT (id) DO NOTHING",
            *(row.id, row.account, row.kind, row.body, row.process, row.created_at, row.state, ended_at),
        )
    )


@frozen
class Relayed:
    """Writes, takes and ends relayed requests."""

    _engine: Engine

    async def put(self, row: RelayedRow, most: int, *, is_wanted: Callable[[], bool] = lambda: True) -> bool:
        """Adds a row; False where `most` rows of its account and kind are open already, and nothing was written.

        Nor is it where `is_wanted`, which is called in the database's thread, says so: the database may have hung.
        """

        def write(tx: Tx) -> bool:
            if not is_wanted():
                return False
            # Two processes may count at the same time: a few rows more than `most` do no harm.
            open_rows = "SELECT COUNT(*) FROM relayed WHERE account = ? AND kind = ? AND state <> 'ended'"
            count = tx.value(open_rows, row.account, row.kind)
            return int(count) < most and _insert(tx, row)

        return await self._engine.run(write)

    async def look(self) -> tuple[frozenset[AccountId], tuple[ProcessNotice, ...]]:
        """The accounts that have open rows, and the latest notices, newest first.

        Which notices are new, the reader remembers by their ids: one that was written first may be committed, and so
        seen, after another.
        """

        def read(tx: Tx) -> tuple[frozenset[AccountId], tuple[ProcessNotice, ...]]:
            accounts = tx.all("SELECT DISTINCT account FROM relayed WHERE state <> 'ended'")
            notices = tx.all(
                "SELECT id, kind, process, created_at FROM relayed WHERE account = '' ORDER BY serial DESC LIMIT ?",
                MAX_NOTICES,
            )
            return frozenset(AccountId(row[0]) for row in accounts), tuple(ProcessNotice(*row) for row in notices)

        return await self._engine.run(read)

    async def open_for(self, account: AccountId, besides: Collection[str] = ()) -> tuple[RelayedRow, ...]:
        """The oldest open rows of an account but for those with the ids `besides`, in the order in which they came."""
        # No id is empty: with an empty list the condition would hold for no row.
        sql = f"{_OPEN} AND account = ? AND id NOT IN (??) ORDER BY serial LIMIT ?"
        rows = await self._engine.run(lambda tx: tx.all(sql, account, ("", *besides), MAX_OPEN))
        return tuple(map(_row_of, rows))

    async def take(self, id_: str) -> bool:
        """Begins the handling of a row, also of one whose handling was begun before; False where it has ended."""
        return bool(
            await self._engine.run(
                lambda tx: tx.run("UPDATE relayed SET state = 'taken' WHERE id = ? AND state <> 'ended'", id_)
            )
        )

    async def end(self, id_: str, answer: str, at: int) -> bool:
        """Ends a row with its answer; whether whoever waited for that has given up. Its body is erased."""

        def write(tx: Tx) -> bool:
            # The body has secrets in it, such as a command's token. This update comes first: it waits for a `give_up`
            # that another process is committing, whose mark is then read.
            tx.run(
                "UPDATE relayed SET state = 'ended', answer = ?, ended_at = ?, body = ''"
                " WHERE id = ? AND state <> 'ended'",
                *(answer, at, id_),
            )
            notify(tx, RELAYED)
            return bool(tx.value("SELECT given_up_at FROM relayed WHERE id = ?", id_))

        return await self._engine.run(write)

    async def answers(self, ids: Collection[str]) -> dict[str, str]:
        """The answers of those that have ended."""
        rows = await self._engine.run(
            lambda tx: tx.all("SELECT id, answer FROM relayed WHERE id IN (??) AND state = 'ended'", tuple(ids))
        )
        return {str(row[0]): str(row[1]) for row in rows}

    async def give_up(self, id_: str, at: int, *, withdraw: bool = False) -> str | None:
        """Nobody waits for the answer any more; the answer, if there is one by now. KeyError where it was not written.

        With `withdraw` a row that nobody has taken ends, and is never handled.
        """

        def write(tx: Tx) -> str | None:
            if withdraw:
                ended = "UPDATE relayed SET state = 'ended', ended_at = ?, body = '' WHERE id = ? AND state = 'waiting'"
                if tx.run(ended, at, id_):
                    return None
            # One statement, which waits for an `end` that another process is committing.
            if tx.run("UPDATE relayed SET given_up_at = ? WHERE id = ? AND state <> 'ended'", at, id_):
                return None
            answer = tx.value("SELECT answer FROM relayed WHERE id = ?", id_)
            if answer is None:
                raise KeyError(id_)
            return str(answer) or None

        return await self._engine.run(write)

    async def announce(self, id_: str, kind: str, process: str, at: int) -> None:
        """Gives all other processes a notice."""
        row = RelayedRow(id_, EVERYBODY, kind, "", process, at, "ended")
        await self._engine.run(lambda tx: _insert(tx, row, at))
