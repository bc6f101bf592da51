"""Transcripts: the messages and tool calls of each session, entry by entry as JSON.

A turn appends while it runs, so that tool calls which completed before a crash are known after it.
"""

from collections.abc import Sequence

from oc_trio.classes import frozen
from oc_trio.ids import SessionKey, TurnId
from oc_trio.store.engine import Engine, Tx
from oc_trio.store.sessions import SessionUse, generation_of, touch


def append(tx: Tx, session: SessionKey, turn: TurnId, entries: Sequence[str], at: int, *, afresh: bool = False) -> None:
    # A turn that was running when its session was reset stays in the generation in which it began.
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
    # The newest first, for the limit; put in order below.
    rows = tx.all(
        "SELECT entry FROM transcripts WHERE session = ? AND generation = ? AND (? = '' OR turn <> ? AND turn NOT IN"
        " (SELECT id FROM turns WHERE session = ? AND ended_at = 0)) ORDER BY serial DESC LIMIT ?",
        *(session, generation_of(tx, session), without, without, session, limit),
    )
    return tuple(str(row[0]) for row in reversed(rows))


def of_turn(tx: Tx, turn: TurnId) -> tuple[str, ...]:
    return tuple(str(row[0]) for row in tx.all("SELECT entry FROM transcripts WHERE turn = ? ORDER BY serial", turn))


@frozen
class Transcripts:
    """Appends to transcripts and loads their ends."""

    _engine: Engine

    async def append(self, session: SessionKey, turn: TurnId, entries: Sequence[str], at: int) -> None:
        await self._engine.run(lambda tx: append(tx, session, turn, entries, at))

    async def rewrite(self, use: SessionUse, turn: TurnId, entries: Sequence[str]) -> None:
        """Replaces what the turn has appended so far by `entries`, after `sessions.touch`."""

        def work(tx: Tx) -> None:
            touch(tx, use)
            append(tx, use.key, turn, entries, use.at, afresh=True)

        await self._engine.run(work)

    async def load(self, session: SessionKey, limit: int, *, without: TurnId | None = None) -> tuple[str, ...]:
        """The last `limit` entries of the current generation, oldest first.

        With `without`, the entries of that turn and of other unfinished turns are left out: where two accounts share an
        agent and a channel, another account is writing those.
        """
        return await self._engine.run(lambda tx: _load(tx, session, limit, without or ""))

    async def of_turn(self, turn: TurnId) -> tuple[str, ...]:
        """The entries that a turn has appended so far, oldest first."""
        return await self._engine.run(lambda tx: of_turn(tx, turn))

    async def drop_turn(self, turn: TurnId) -> int:
        """Deletes a turn's entries, for a turn that starts over; returns how many."""
        return await self._engine.run(lambda tx: tx.run("DELETE FROM transcripts WHERE turn = ?", turn))
