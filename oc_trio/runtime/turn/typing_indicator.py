"""Keeps "is typing" alive where an answer is being made."""

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
    """Tell the channel, or the thread, again and again; ends by cancellation or where the server refuses it.

    A longer `interval` than clients remember is taken as that one.
    """
    while True:
        try:
            await typing(channel_id, root_id)
        except MattermostError:
            return  # nobody needs to mind; the writes of the turn will meet the same problem and say so
        await trio.sleep(min(interval, TYPING_SECONDS))
