"""Keeps the typing indicator alive while an answer is generated."""

from collections.abc import Awaitable, Callable

import trio

from oc_trio.errors import MattermostError
from oc_trio.ids import ChannelId

# Mattermost's clients show a typing event for 5 s.
TYPING_SECONDS = 4.0


async def keep_typing(
    typing: Callable[[ChannelId, str], Awaitable[object]],
    channel_id: ChannelId,
    root_id: str,
    interval: float = TYPING_SECONDS,
) -> None:
    """Send typing events to the channel, or the thread, until cancelled or refused by the server.

    An `interval` longer than clients show an event is shortened to that.
    """
    while True:
        try:
            await typing(channel_id, root_id)
        except MattermostError:
            return  # not logged: the writes of the turn will meet the same problem and report it
        await trio.sleep(min(interval, TYPING_SECONDS))
