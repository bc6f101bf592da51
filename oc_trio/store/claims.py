"""Things that may be done once: a button's nonce, a hook's idempotency key. The first to claim one has it."""

from attrs import frozen

from oc_trio.store.engine import Engine, Tx


def _claim(tx: Tx, scope: str, key: str, at: int, expires_at: int, value: str) -> tuple[bool, str]:
    taken = tx.run(
        "INSERT INTO claims (scope, key, value, at, expires_at) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (scope, key) DO UPDATE SET value = excluded.value, at = excluded.at,"
        " expires_at = excluded.expires_at WHERE claims.expires_at <= excluded.at",
        *(scope, key, value, at, expires_at),
    )
    return bool(taken), str(tx.value("SELECT value FROM claims WHERE scope = ? AND key = ?", scope, key))


@frozen
class Claims:
    """The face of this family."""

    _engine: Engine

    async def claim(self, scope: str, key: str, at: int, expires_at: int, value: str = "") -> tuple[bool, str]:
        """(True, value) for the first, (False, the first one's value) until `expires_at`."""
        return await self._engine.run(lambda tx: _claim(tx, scope, key, at, expires_at, value))

    async def is_taken(self, scope: str, key: str, at: int) -> bool:
        """Whether somebody has claimed it, and not so long ago that it counts no more."""
        query = "SELECT 1 FROM claims WHERE scope = ? AND key = ? AND expires_at > ?"
        return bool(await self._engine.run(lambda tx: tx.value(query, scope, key, at)))

    async def release(self, scope: str, key: str) -> bool:
        """Give a claim back when what it was for could not be done."""
        return bool(
            await self._engine.run(lambda tx: tx.run("DELETE FROM claims WHERE scope = ? AND key = ?", scope, key))
        )
