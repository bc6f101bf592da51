"""Threads in which the bot has visibly answered, so that later messages there need no mention for a while."""

from attrs import frozen

from oc_trio.ids import AccountId, ChannelId, ThreadRoot
from oc_trio.store.engine import Engine


@frozen
class Participation:
    """The face of this family."""

    _engine: Engine

    async def record(self, account: AccountId, channel: ChannelId, root: ThreadRoot, at: int) -> None:
        await self._engine.run(
            lambda tx: tx.run(
                "INSERT INTO participation (account, channel_id, root_id, at) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (account, channel_id, root_id) DO UPDATE SET at = excluded.at"
                " WHERE excluded.at > participation.at",
                *(account, channel, root, at),
            )
        )

    async def active(self, account: AccountId, channel: ChannelId, root: ThreadRoot, since: int) -> bool:
        """Whether the bot answered there at or after `since`."""
        row = await self._engine.run(
            lambda tx: tx.one(
                "SELECT 1 FROM participation WHERE account = ? AND channel_id = ? AND root_id = ? AND at >= ?",
                *(account, channel, root, since),
            )
        )
        return row is not None
