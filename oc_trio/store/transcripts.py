"""Transcripts: what was said in a session's current generation, entry by entry as JSON.

A turn appends as it goes, so that tool calls which completed before a crash are known after it.
"""

from collections.abc import Sequence

from attrs import frozen

from oc_trio.ids import SessionKey, TurnId
from oc_trio.store.engine import Engine, Tx
from oc_trio.store.sessions import generation_of


def _append(
    tx: Tx, session: SessionKey, turn: TurnId, entries: Sequence[str], at: int, *, afresh: bool = False
) -> None:
    # A turn that was running when its session was reset goes on in the generation it began in.
    begun = tx.value("SELECT generation FROM transcripts WHERE session = ? AND turn = ? LIMIT 1", session, turn)
    generation = generation_of(tx, session) if begun is None else begun
    if afresh:
        tx.run("DELETE FROM transcripts WHERE turn = ?", turn)
    for entry in entries:
        tx.run(
            "INSERT INTO transcripts (session, generation, turn, entry, at) VALUES (?, ?, ?, ?, ?)",
            *(session, generation, turn, entry, at),
        )


def _load(tx: Tx, session: SessionKey, limit: int, without: str) -> tuple[str, ...]:
    rows = tx.all(
        "SELECT entry FROM transcripts WHERE session = ? AND generation = ? AND (? = '' OR turn <> ? AND turn NOT IN"
        " (SELECT id FROM turns WHERE session = ? AND ended_at = 0)) ORDER BY serial DESC LIMIT ?",
        *(session, generation_of(tx, session), without, without, session, limit),
    )
    return tuple(str(row[0]) for row in reversed(rows))


@frozen
class Transcripts:
    """The face of this family."""

    _engine: Engine

    async def append(self, session: SessionKey, turn: TurnId, entries: Sequence[str], at: int) -> None:
        await self._engine.run(lambda tx: _append(tx, session, turn, entries, at))

    async def rewrite(self, session: SessionKey, turn: TurnId, entries: Sequence[str], at: int) -> None:
        """`entries` instead of what the turn has appended so far."""
        await self._engine.run(lambda tx: _append(tx, session, turn, entries, at, afresh=True))

    async def load(self, session: SessionKey, limit: int, *, without: TurnId | None = None) -> tuple[str, ...]:
        """The last `limit` entries of the current generation, oldest first; `without` a turn it is what was said
        before that one: another turn that has not ended is left out too. Where accounts share an agent and a channel,
        another account is answering that.
        """
        return await self._engine.run(lambda tx: _load(tx, session, limit, without or ""))

    async def of_turn(self, turn: TurnId) -> tuple[str, ...]:
        """What a turn has appended so far, oldest first."""
        rows = await self._engine.run(
            lambda tx: tx.all("SELECT entry FROM transcripts WHERE turn = ? ORDER BY serial", turn)
        )
        return tuple(str(row[0]) for row in rows)

    async def drop_turn(self, turn: TurnId) -> int:
        """Forget a turn that is to be run anew from its beginning; returns how many entries that were."""
        return await self._engine.run(lambda tx: tx.run("DELETE FROM transcripts WHERE turn = ?", turn))
