"""Threads in which the bot has answered or asked: messages there need no mention for some days."""

from collections.abc import Mapping

from oc_trio.classes import frozen
from oc_trio.ids import AccountId, ChannelId, ThreadRoot
from oc_trio.store.engine import Engine, Tx, in_parts, rows_of

# People can reply to a draft before the answer is complete, so an unfinished turn counts as soon as a post of it may be
# in the thread. A turn that ends without a visible answer leaves no row.
_UNFINISHED = (
    "SELECT t.channel_id, t.root_id FROM turns t JOIN outbox o ON o.turn = t.id"
    " WHERE t.ended_at = 0 AND t.account = ? AND t.root_id IN (??)"
    " AND o.channel_id = t.channel_id AND o.root_id = t.root_id AND o.state IN ('sending', 'confirmed')"
)

Thread = tuple[ChannelId, ThreadRoot]


def _active(tx: Tx, account: AccountId, threads: Mapping[Thread, int]) -> set[Thread]:
    """Those of `threads` in which the bot answered at or after their times (ms), or is answering now."""
    # In statements for many: each has to wait for its turn among this process's other threads.
    active: set[Thread] = set()
    for part in in_parts(list(threads)):
        rows = tx.all(
            "SELECT p.channel_id, p.root_id, p.at"  # noqa: S608 - placeholders only
            f" FROM (VALUES {rows_of(len(part), 2)}) AS w JOIN participation p"
            # Both databases name the columns of VALUES so.
            " ON p.account = ? AND p.channel_id = w.column1 AND p.root_id = w.column2",
            *(value for thread in part for value in thread),
            account,
        )
        active.update((channel, root) for channel, root, at in rows if at >= threads[channel, root])
        roots = tuple(root for _, root in part)
        active.update((channel, root) for channel, root in tx.all(_UNFINISHED, account, roots))
    return active & threads.keys()


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
    """Records threads with answers or questions and looks them up."""

    _engine: Engine

    async def record(self, account: AccountId, channel: ChannelId, root: ThreadRoot, at: int) -> None:
        await self._engine.run(lambda tx: record(tx, account, channel, root, at))

    async def all_active(self, account: AccountId, threads: Mapping[Thread, int]) -> frozenset[Thread]:
        """Those of `threads` for which `active` is true; the values are each one's `since`."""
        return frozenset(await self._engine.run(lambda tx: _active(tx, account, threads))) if threads else frozenset()

    async def active(self, account: AccountId, channel: ChannelId, root: ThreadRoot, since: int) -> bool:
        """Whether the bot answered in the thread at or after `since` (ms), or is answering there now."""
        return bool(await self._engine.run(lambda tx: _active(tx, account, {(channel, root): since})))
