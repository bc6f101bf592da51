"""Posts with an edit of ours that got no answer, and the text that each must end with.

Bounded by time: an edit that is still under way after `until` is not to be expected.
"""

from attrs import frozen

from oc_trio.ids import AccountId, PostId
from oc_trio.store.engine import Engine


@frozen
class PendingEdit:
    """`text` is empty while the post may still be edited by its turn; `until` is in milliseconds."""

    post_id: PostId
    text: str
    until: int


@frozen
class PendingEdits:
    """The face of this family."""

    _engine: Engine

    async def put(self, account: AccountId, doubt: PendingEdit) -> None:
        """Remember, in place of what was known of the post."""
        await self._engine.run(
            lambda tx: tx.run(
                "INSERT INTO doubts (account, post_id, text, until) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (account, post_id) DO UPDATE SET text = excluded.text, until = excluded.until",
                *(account, doubt.post_id, doubt.text, doubt.until),
            )
        )

    async def settled(self, account: AccountId, at: int, limit: int) -> tuple[PendingEdit, ...]:
        """Those whose last text is known and whose time was not over then, at most `limit` of the youngest, oldest
        first.
        """
        rows = await self._engine.run(
            lambda tx: tx.all(
                "SELECT post_id, text, until FROM doubts WHERE account = ? AND text <> '' AND until > ?"
                " ORDER BY until DESC LIMIT ?",
                *(account, at, limit),
            )
        )
        return tuple(PendingEdit(*row) for row in reversed(rows))
