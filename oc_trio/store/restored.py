"""What a journal that was restored from a backup has to remember: when, and what is found to be answered since."""

from collections.abc import Sequence

from oc_trio.classes import frozen
from oc_trio.core.ledger import Obligation, delivered
from oc_trio.ids import PostId
from oc_trio.store.engine import Engine, Tx
from oc_trio.store.obligations import close, of_turn
from oc_trio.store.turns import end

_SCOPE, _KEY = "restored", "at"
_NEVER = 2**62  # milliseconds; no retention reaches it


def _mark(tx: Tx, at: int) -> None:
    tx.run("DELETE FROM claims WHERE scope = ?", _SCOPE)
    tx.run(
        "INSERT INTO claims (scope, key, value, at, expires_at) VALUES (?, ?, '', ?, ?)", *(_SCOPE, _KEY, at, _NEVER)
    )
    # What waited when the copy was made may have been sent since: look for it before it is sent.
    tx.run("UPDATE outbox SET state = 'sending', sending_at = created_at WHERE state = 'queued'")


def _settle(tx: Tx, obligation: Obligation, posts: tuple[PostId, ...], at: int) -> None:
    close(tx, (obligation.id,), delivered(*posts), at)
    if obligation.turn is None or any(each.ended_at == 0 for each in of_turn(tx, obligation.turn)):
        return
    # The posts of the turn stand as they are: its rows must neither be sent nor be retracted.
    tx.run(
        "UPDATE outbox SET state = 'dead', error = 'answered before the journal was restored', ended_at = ?"
        " WHERE turn = ? AND state IN ('queued', 'sending')",
        *(at, obligation.turn),
    )
    end(tx, obligation.turn, delivered(*posts), at)


@frozen
class Restored:
    """`at` is 0 for a journal that was never restored."""

    _engine: Engine

    async def mark(self, at: int) -> None:
        """The journal is a backup's from now on; `at` in milliseconds."""
        await self._engine.run(lambda tx: _mark(tx, at))

    async def at(self) -> int:
        """When the journal was restored, in milliseconds."""
        query = "SELECT at FROM claims WHERE scope = ? AND key = ?"
        return int(await self._engine.run(lambda tx: tx.value(query, _SCOPE, _KEY)) or 0)

    async def settle(self, obligation: Obligation, posts: Sequence[PostId], at: int) -> None:
        """An open obligation was answered by `posts` after the backup: end it, and its turn where all of it is."""
        await self._engine.run(lambda tx: _settle(tx, obligation, tuple(posts), at))
