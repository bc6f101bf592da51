"""Unaddressed posts, kept for the next turn of their conversation; the oldest fall out beyond the limit."""

from attrs import frozen

from oc_trio.ids import PostId, SessionKey
from oc_trio.store.engine import Engine, Tx


def _add(tx: Tx, session: SessionKey, post: PostId, payload: str, at: int, limit: int) -> None:
    tx.run(
        "INSERT INTO context (session, post_id, payload, at) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (session, post_id) DO UPDATE SET payload = excluded.payload",
        *(session, post, payload, at),
    )
    tx.run(
        "DELETE FROM context WHERE session = ? AND serial NOT IN"
        " (SELECT serial FROM context WHERE session = ? ORDER BY at DESC, serial DESC LIMIT ?)",
        *(session, session, limit),
    )


@frozen
class Context:
    """The face of this family. `take` and `clear` with the same time mean the same posts."""

    _engine: Engine

    async def add(self, session: SessionKey, post: PostId, payload: str, at: int, limit: int) -> None:
        """Keep a post, or its new text; `at` is the post's own time."""
        await self._engine.run(lambda tx: _add(tx, session, post, payload, at, limit))

    async def take(self, session: SessionKey, before_at: int) -> tuple[str, ...]:
        """The payloads up to and including that time, oldest first. Deletes nothing: see `clear`."""
        rows = await self._engine.run(
            lambda tx: tx.all(
                "SELECT payload FROM context WHERE session = ? AND at <= ? ORDER BY at, serial", session, before_at
            )
        )
        return tuple(str(row[0]) for row in rows)

    async def drop(self, session: SessionKey, post: PostId) -> bool:
        """Forget one post; False where it wasn't kept."""
        return bool(
            await self._engine.run(
                lambda tx: tx.run("DELETE FROM context WHERE session = ? AND post_id = ?", session, post)
            )
        )

    async def clear(self, session: SessionKey, upto_at: int) -> int:
        """Forget what a turn has made use of, up to and including that time; returns how many posts."""
        return await self._engine.run(
            lambda tx: tx.run("DELETE FROM context WHERE session = ? AND at <= ?", session, upto_at)
        )
