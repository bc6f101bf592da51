"""Watermarks: how far each channel has been read, as the greatest (create_at, post id) that was decided about."""

from collections.abc import Mapping, Sequence

from oc_trio.classes import frozen
from oc_trio.ids import AccountId, ChannelId, PostId
from oc_trio.store.claims import Claims, claim
from oc_trio.store.damage import reading
from oc_trio.store.engine import Engine, Tx, in_parts, rows_of

# The longest `catchup.maxAgeHours` that can be configured is 30 days; one more for clocks and overlap.
_LONGEST_MS = 31 * 24 * 3600 * 1000


@frozen
class WatermarkRow:
    """`post_id` is empty until a post was read after the bot joined the channel."""

    channel_id: ChannelId
    post_id: PostId
    create_at: int


def advance(tx: Tx, account: AccountId, channel: ChannelId, post_id: PostId, create_at: int) -> bool:
    """Moves the watermark forward, never back; the post id orders posts of the same millisecond."""
    return bool(advance_all(tx, [(account, channel, post_id, create_at)]))


def advance_all(tx: Tx, rows: Sequence[tuple[AccountId, ChannelId, PostId, int]]) -> int:
    """As `advance` for different channels; returns how many moved."""
    moved = 0
    for part in in_parts(rows):
        moved += tx.run(
            f"INSERT INTO watermarks (account, channel_id, post_id, create_at) VALUES {rows_of(len(part), 4)}"  # noqa: S608 - placeholders
            " ON CONFLICT (account, channel_id) DO UPDATE"
            " SET post_id = excluded.post_id, create_at = excluded.create_at"
            " WHERE excluded.create_at > watermarks.create_at"
            " OR (excluded.create_at = watermarks.create_at AND excluded.post_id > watermarks.post_id)",
            *(value for row in part for value in row),
        )
    return moved


def _began(account: AccountId) -> str:
    return f"began:{account}"


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
    """Starts, advances and deletes watermarks."""

    _engine: Engine

    async def all(self, account: AccountId) -> tuple[WatermarkRow, ...]:
        rows = await self._engine.run(
            lambda tx: tx.all(
                "SELECT channel_id, post_id, create_at FROM watermarks WHERE account = ? ORDER BY channel_id", account
            )
        )
        return tuple(WatermarkRow(*row) for row in rows)

    async def advance(self, account: AccountId, channel: ChannelId, post_id: PostId, create_at: int) -> bool:
        """True if it moved; it never moves back."""
        return await self._engine.run(lambda tx: advance(tx, account, channel, post_id, create_at))

    async def read_until(self, account: AccountId, times: Mapping[ChannelId, int]) -> None:
        """Advances several channels to a time, not to a post, in one transaction."""

        def move(tx: Tx) -> None:
            # The empty id sorts before every post of that millisecond, so one that is still to come is not skipped.
            advance_all(tx, [(account, channel, PostId(""), at) for channel, at in times.items()])

        await self._engine.run(move)

    async def start_all(
        self, account: AccountId, times: Mapping[ChannelId, int], began: Mapping[ChannelId, int], now: int
    ) -> None:
        """As `start` for several channels, in one transaction: a thousand synced commits would take seconds.

        `began` is kept for `began_at`.
        """

        def begin(tx: Tx) -> None:
            for channel, at in times.items():
                _start(tx, account, channel, at)
            for channel, at in began.items():
                # Nobody reads a channel further back than that, so an older post needs no row.
                if at > now - _LONGEST_MS:
                    claim(tx, _began(account), channel, now, now + _LONGEST_MS, str(at))

        await self._engine.run(begin)

    async def began_at(self, account: AccountId, now: int) -> dict[ChannelId, int]:
        """The time of each channel's last post before the very first start, for as long as that can be read again."""
        scope = _began(account)
        rows = await Claims(self._engine).values(scope, now)
        with reading("claims", f"scope {scope}", (ValueError,)):
            return {ChannelId(channel): int(at) for channel, at in rows.items()}

    async def start(self, account: AccountId, channel: ChannelId, at: int) -> bool:
        """Starts a new channel at time `at`; returns False and changes nothing if it has a watermark."""
        return await self._engine.run(lambda tx: _start(tx, account, channel, at))

    async def forget(self, account: AccountId, channel: ChannelId) -> None:
        await self._engine.run(
            lambda tx: tx.run("DELETE FROM watermarks WHERE account = ? AND channel_id = ?", account, channel)
        )
