"""Edits of ours that got no response: the server may still apply them after a later one, and overwrite the final text.

Each row says which text the post must end with. After `until` such a late edit is no longer expected. The table is
called `doubts`.
"""

from oc_trio.classes import frozen
from oc_trio.ids import AccountId, PostId
from oc_trio.store.engine import Engine


@frozen
class PendingEdit:
    """`text` is the final text, empty while the turn may still edit the post; `until` is in milliseconds."""

    post_id: PostId
    text: str
    until: int


@frozen
class PendingEdits:
    """Remembers the posts to watch, across restarts."""

    _engine: Engine

    async def put(self, account: AccountId, edit: PendingEdit) -> None:
        """Inserts the edit, or replaces what was known about its post."""
        await self._engine.run(
            lambda tx: tx.run(
                "INSERT INTO doubts (account, post_id, text, until) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (account, post_id) DO UPDATE SET text = excluded.text, until = excluded.until",
                *(account, edit.post_id, edit.text, edit.until),
            )
        )

    async def with_final_text(self, account: AccountId, at: int, limit: int) -> tuple[PendingEdit, ...]:
        """The edits whose final text is known and that were not over at `at`: the newest `limit`, oldest first."""
        rows = await self._engine.run(
            lambda tx: tx.all(
                "SELECT post_id, text, until FROM doubts WHERE account = ? AND text <> '' AND until > ?"
                " ORDER BY until DESC LIMIT ?",
                *(account, at, limit),
            )
        )
        return tuple(PendingEdit(*row) for row in reversed(rows))
