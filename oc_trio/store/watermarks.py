"""How far each channel has been read: the greatest (create_at, post id) that was admitted or passed over."""

from collections.abc import Mapping

from attrs import frozen

from oc_trio.ids import AccountId, ChannelId, PostId
from oc_trio.store.engine import Engine, Tx


@frozen
class Watermark:
    """`post_id` is empty while nothing was read since the channel was joined."""

    channel_id: ChannelId
    post_id: PostId
    create_at: int


def advance(tx: Tx, account: AccountId, channel: ChannelId, post_id: PostId, create_at: int) -> bool:
    """Forward only; the post id breaks ties between posts of one millisecond."""
    return bool(
        tx.run(
            "INSERT INTO watermarks (account, channel_id, post_id, create_at) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (account, channel_id) DO UPDATE"
            " SET post_id = excluded.post_id, create_at = excluded.create_at"
            " WHERE excluded.create_at > watermarks.create_at"
            " OR (excluded.create_at = watermarks.create_at AND excluded.post_id > watermarks.post_id)",
            *(account, channel, post_id, create_at),
        )
    )


def _start(tx: Tx, account: AccountId, channel: ChannelId, at: int) -> bool:
    return bool(
        tx.run(
            "INSERT INTO watermarks (account, channel_id, post_id, create_at) VALUES (?, ?, '', ?)"
            " ON CONFLICT (account, channel_id) DO NOTHING",
            *(account, channel, at),
        )
    )


@frozen
class Watermarks:
    """The face of this family."""

    _engine: Engine

    async def all(self, account: AccountId) -> tuple[Watermark, ...]:
        rows = await self._engine.run(
            lambda tx: tx.all(
                "SELECT channel_id, post_id, create_at FROM watermarks WHERE account = ? ORDER BY channel_id", account
            )
        )
        return tuple(Watermark(*row) for row in rows)

    async def advance(self, account: AccountId, channel: ChannelId, post_id: PostId, create_at: int) -> bool:
        """True when it moved; it never moves back."""
        return await self._engine.run(lambda tx: advance(tx, account, channel, post_id, create_at))

    async def read_until(self, account: AccountId, times: Mapping[ChannelId, int]) -> None:
        """Advance several channels to a time at which no post need have been made, in one transaction."""

        def move(tx: Tx) -> None:
            for channel, at in times.items():
                advance(tx, account, channel, PostId(""), at)

        await self._engine.run(move)

    async def start_all(self, account: AccountId, times: Mapping[ChannelId, int]) -> None:
        """As `start` for several channels, in one transaction: a thousand synced commits take seconds."""

        def begin(tx: Tx) -> None:
            for channel, at in times.items():
                _start(tx, account, channel, at)

        await self._engine.run(begin)

    async def start(self, account: AccountId, channel: ChannelId, at: int) -> bool:
        """Begin a channel that is new to us at `at`; leaves a known one alone and returns False."""
        return await self._engine.run(lambda tx: _start(tx, account, channel, at))

    async def forget(self, account: AccountId, channel: ChannelId) -> None:
        await self._engine.run(
            lambda tx: tx.run("DELETE FROM watermarks WHERE account = ? AND channel_id = ?", account, channel)
        )
