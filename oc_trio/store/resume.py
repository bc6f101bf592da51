"""The websocket resume point of each account, kept across restarts."""

from oc_trio.classes import frozen
from oc_trio.ids import AccountId
from oc_trio.store.engine import Engine


@frozen
class ResumePointRow:
    """`next_seq` is the number of the first event that was not processed; `at` is when the row was saved."""

    connection_id: str
    next_seq: int
    at: int


@frozen
class Resume:
    """Saves and loads the one resume point of an account."""

    _engine: Engine

    async def save(self, account: AccountId, connection_id: str, next_seq: int, at: int) -> None:
        await self._engine.run(
            lambda tx: tx.run(
                "INSERT INTO resume_points (account, connection_id, next_seq, at) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (account) DO UPDATE SET connection_id = excluded.connection_id,"
                " next_seq = excluded.next_seq, at = excluded.at",
                *(account, connection_id, next_seq, at),
            )
        )

    async def load(self, account: AccountId) -> ResumePointRow | None:
        row = await self._engine.run(
            lambda tx: tx.one("SELECT connection_id, next_seq, at FROM resume_points WHERE account = ?", account)
        )
        return ResumePointRow(*row) if row else None
