"""Keys that may be used once: a button's nonce, a hook's idempotency key. The first to claim a key owns it."""

from oc_trio.classes import frozen
from oc_trio.store.engine import Engine, Tx


def claim(tx: Tx, scope: str, key: str, at: int, expires_at: int, value: str) -> tuple[bool, str]:
    """As `Claims.claim`, within a transaction."""
    # One statement, so that of two concurrent claims exactly one changes a row; an expired claim is replaced.
    taken = tx.run(
        "INSERT INTO claims (scope, key, value, at, expires_at) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (scope, key) DO UPDATE SET value = excluded.value, at = excluded.at,"
        " expires_at = excluded.expires_at WHERE claims.expires_at <= excluded.at",
        *(scope, key, value, at, expires_at),
    )
    # Read again in either case: whoever came second is told what the first one stored.
    return bool(taken), str(tx.value("SELECT value FROM claims WHERE scope = ? AND key = ?", scope, key))


@frozen
class Claims:
    """Claims keys, each for a limited time."""

    _engine: Engine

    async def claim(self, scope: str, key: str, at: int, expires_at: int, value: str = "") -> tuple[bool, str]:
        """Claims `key` until `expires_at`: (True, `value`), or (False, the value of whoever claimed it before)."""
        return await self._engine.run(lambda tx: claim(tx, scope, key, at, expires_at, value))

    async def is_taken(self, scope: str, key: str, at: int) -> bool:
        """Whether the key is claimed and the claim has not expired."""
        query = "SELECT 1 FROM claims WHERE scope = ? AND key = ? AND expires_at > ?"
        return bool(await self._engine.run(lambda tx: tx.value(query, scope, key, at)))

    async def values(self, scope: str, at: int) -> dict[str, str]:
        """The value of each key in `scope` that is claimed and whose claim has not expired."""
        query = "SELECT key, value FROM claims WHERE scope = ? AND expires_at > ?"
        return {str(key): str(value) for key, value in await self._engine.run(lambda tx: tx.all(query, scope, at))}
