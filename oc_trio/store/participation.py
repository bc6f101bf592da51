"""Threads in which the bot has posted: messages there need no mention for some days."""

from collections.abc import Mapping

from attrs import frozen

from oc_trio.ids import AccountId, ChannelId, ThreadRoot
from oc_trio.store.engine import Engine, Tx

# People can reply to a draft before the answer is complete, so an unfinished turn counts as soon as a post of it may be
# in the thread. A turn that ends without a visible answer leaves no row.
_ACTIVE = (
    "SELECT 1 FROM participation WHERE account = ? AND channel_id = ? AND root_id = ? AND at >= ?"
    " UNION ALL SELECT 1 FROM turns t JOIN outbox o ON o.turn = t.id"
    " WHERE t.ended_at = 0 AND t.account = ? AND t.channel_id = ? AND t.root_id = ?"
    " AND o.channel_id = t.channel_id AND o.root_id = t.root_id AND o.state IN ('sending', 'confirmed')"
)


def record(tx: Tx, account: AccountId, channel: ChannelId, root: ThreadRoot, at: int) -> None:
    tx.run(
        "INSERT INTO participation (account, channel_id, root_id, at) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (account, channel_id, root_id) DO UPDATE SET at = excluded.at"
        # The time never goes back, whatever the order of the calls.
        " WHERE excluded.at > participation.at",
        *(account, channel, root, at),
    )


@frozen
class Participation:
    """Records threads with answers and looks them up."""

    _engine: Engine

    async def record(self, account: AccountId, channel: ChannelId, root: ThreadRoot, at: int) -> None:
        await self._engine.run(lambda tx: record(tx, account, channel, root, at))

    async def all_active(
        self, account: AccountId, threads: Mapping[tuple[ChannelId, ThreadRoot], int]
    ) -> frozenset[tuple[ChannelId, ThreadRoot]]:
        """Those of `threads` for which `active` is true; the values are each one's `since`."""

        def look(tx: Tx) -> frozenset[tuple[ChannelId, ThreadRoot]]:
            return frozenset(
                (channel, root)
                for (channel, root), since in threads.items()
                if tx.one(_ACTIVE, account, channel, root, since, account, channel, root) is not None
            )

        return await self._engine.run(look) if threads else frozenset()

    async def active(self, account: AccountId, channel: ChannelId, root: ThreadRoot, since: int) -> bool:
        """Whether the bot answered in the thread at or after `since` (ms), or is answering there now."""
        thread = (account, channel, root)
        return await self._engine.run(lambda tx: tx.one(_ACTIVE, *thread, since, *thread)) is not None
