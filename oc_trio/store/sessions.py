"""Sessions: one row per conversation, with its settings and its generation (`/new` begins the next generation)."""

from oc_trio.classes import frozen
from oc_trio.ids import AccountId, AgentId, ChannelId, SessionKey
from oc_trio.store.engine import Engine, Tx


@frozen
class SessionRow:
    """`generation` counts resets; transcripts of earlier generations stay until retention. `settings` is JSON."""

    key: SessionKey
    account: AccountId
    channel_id: ChannelId
    root_id: str
    agent: AgentId
    created_at: int
    last_at: int
    generation: int = 0
    settings: str = "{}"


SELECT = "SELECT key, account, channel_id, root_id, agent, created_at, last_at, generation, settings FROM sessions"


def generation_of(tx: Tx, session: SessionKey) -> int:
    """0 for an unknown session."""
    return tx.value("SELECT generation FROM sessions WHERE key = ?", session) or 0


@frozen
class SessionUse:
    """A session that is used now, by `agent`; account, channel and root are those of its first use."""

    key: SessionKey
    account: AccountId
    channel_id: ChannelId
    root_id: str
    agent: AgentId
    at: int


def touch(tx: Tx, use: SessionUse) -> SessionRow:
    """Creates the session or updates its time of use and its agent."""
    [row] = tx.all(
        "INSERT INTO sessions (key, account, channel_id, root_id, agent, created_at, last_at, generation, settings)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, 0, '{}')"
        " ON CONFLICT (key) DO UPDATE SET last_at = excluded.last_at, agent = excluded.agent"
        " RETURNING key, account, channel_id, root_id, agent, created_at, last_at, generation, settings",
        *(use.key, use.account, use.channel_id, use.root_id, use.agent, use.at, use.at),
    )
    return SessionRow(*row)


@frozen
class Sessions:
    """Creates, lists and resets sessions, and stores their settings."""

    _engine: Engine

    async def touch(self, use: SessionUse) -> SessionRow:
        """Creates the session or updates its time of use and its agent; account, channel and root never change."""
        return await self._engine.run(lambda tx: touch(tx, use))

    async def get(self, key: SessionKey) -> SessionRow | None:
        row = await self._engine.run(lambda tx: tx.one(SELECT + " WHERE key = ?", key))
        return SessionRow(*row) if row else None

    async def list(self, account: AccountId | None = None) -> tuple[SessionRow, ...]:
        """The sessions, most recently used first."""
        if account is None:
            rows = await self._engine.run(lambda tx: tx.all(SELECT + " ORDER BY last_at DESC, key"))
        else:
            rows = await self._engine.run(
                lambda tx: tx.all(SELECT + " WHERE account = ? ORDER BY last_at DESC, key", account)
            )
        return tuple(SessionRow(*row) for row in rows)

    async def reset(self, key: SessionKey, at: int) -> int:
        """Begins a new generation, with empty transcript and context. Returns its number; 0 for an unknown session."""

        def work(tx: Tx) -> int:
            # Posts that came after the command stay: they belong to the new conversation.
            tx.run("DELETE FROM context WHERE session = ? AND at <= ?", key, at)
            tx.run("UPDATE sessions SET generation = generation + 1, last_at = ? WHERE key = ?", at, key)
            return generation_of(tx, key)

        return await self._engine.run(work)

    async def settings(self, key: SessionKey) -> str:
        """The session's JSON object, `{}` for an unknown session."""
        return await self._engine.run(lambda tx: tx.value("SELECT settings FROM sessions WHERE key = ?", key)) or "{}"

    async def settings_of(self, *keys: SessionKey) -> tuple[str, ...]:
        """The JSON object of each session, as `settings` gives it."""
        rows = await self._engine.run(lambda tx: tx.all("SELECT key, settings FROM sessions WHERE key IN (??)", keys))
        known = {str(key): str(settings) for key, settings in rows}
        return tuple(known.get(key) or "{}" for key in keys)

    async def set_settings(self, key: SessionKey, settings: str) -> bool:
        """False for an unknown session: call `touch` first."""
        return bool(
            await self._engine.run(lambda tx: tx.run("UPDATE sessions SET settings = ? WHERE key = ?", settings, key))
        )
