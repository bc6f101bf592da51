"""Posts that did not address the bot, kept as context for the next turn of their conversation.

Up to a limit, and a fifth more: the oldest go together, for in a busy channel removing each by itself would cost more
than all else that a post does. Whoever reads them takes the newest.
"""

from collections.abc import Sequence

from oc_trio.classes import frozen
from oc_trio.ids import PostId, SessionKey
from oc_trio.store.engine import Engine, Tx, in_parts, rows_of


@frozen
class ContextPost:
    """A post to keep for its session; `payload` is its entry as JSON, `at` its `create_at`."""

    session: SessionKey
    post: PostId
    payload: str
    at: int


def add(tx: Tx, posts: Sequence[ContextPost], limit: int) -> None:
    """Adds different posts or updates their texts, then drops the oldest of each session that holds too many."""
    for part in in_parts(posts):
        # An edit of a context post arrives as the same post: it replaces the text and keeps the place in the order.
        then = "ON CONFLICT (session, post_id) DO UPDATE SET payload = excluded.payload"
        rows = rows_of(len(part), 4)
        sql = f"INSERT INTO context (session, post_id, payload, at) VALUES {rows} {then}"  # noqa: S608 - placeholders
        tx.run(sql, *(value for item in part for value in (item.session, item.post, item.payload, item.at)))
        sessions = tuple(dict.fromkeys(item.session for item in part))
        # Few sessions are full, and this reads the index alone: a DELETE for each would sort all rows of each.
        full = tx.all(
            "SELECT session FROM context WHERE session IN (??) GROUP BY session HAVING count(*) > ?",
            sessions,
            limit + limit // 5,
        )
        for (session,) in full:
            _drop_oldest(tx, session, limit)


def _drop_oldest(tx: Tx, session: SessionKey, limit: int) -> None:
    tx.run(
        # In the same transaction, so that no session holds more. Where accounts in two processes share
        # the session, each leaves what the other one is just adding: the next one deletes that much more.
        "DELETE FROM context WHERE session = ? AND serial NOT IN"
        " (SELECT serial FROM context WHERE session = ? ORDER BY at DESC, serial DESC LIMIT ?)",
        *(session, session, limit),
    )


def clear(tx: Tx, session: SessionKey, upto_at: int) -> int:
    """Deletes the posts up to and including `upto_at`, which `take` with that time gives; returns how many."""
    return tx.run("DELETE FROM context WHERE session = ? AND at <= ?", session, upto_at)


@frozen
class Context:
    """Keeps context posts by session; the end of a turn (`turns.finish`) deletes those that it has used."""

    _engine: Engine

    async def add(self, session: SessionKey, post: PostId, payload: str, at: int, limit: int) -> None:
        """Adds a post or updates its text, then drops the oldest where there are too many for `limit`.

        `at` is the post's `create_at`.
        """
        await self._engine.run(lambda tx: add(tx, [ContextPost(session, post, payload, at)], limit))

    async def take(self, session: SessionKey, before_at: int) -> tuple[str, ...]:
        """The payloads up to and including `before_at`, oldest first. Deletes nothing."""
        rows = await self._engine.run(
            lambda tx: tx.all(
                "SELECT payload FROM context WHERE session = ? AND at <= ? ORDER BY at, serial", session, before_at
            )
        )
        return tuple(str(row[0]) for row in rows)

    async def drop(self, session: SessionKey, post: PostId) -> bool:
        """Deletes one post; False if it was not there."""
        return bool(
            await self._engine.run(
                lambda tx: tx.run("DELETE FROM context WHERE session = ? AND post_id = ?", session, post)
            )
        )
