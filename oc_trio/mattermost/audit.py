"""Detects posts that were missed without a socket error: compares channels' `last_post_at` with the newest seen."""

from collections.abc import Awaitable, Callable
from typing import NoReturn

import trio

from oc_trio.classes import frozen
from oc_trio.core.entities import Channel
from oc_trio.errors import MattermostUnavailable
from oc_trio.mattermost.client import Api

# Rarely, because the numbering of events shows almost every loss. An event that is published while the server moves a
# connection may be missing without a gap (tests/contract/README.md, Resume).
AUDIT_SECONDS = 300.0
GRACE_SECONDS = 5.0  # an event may still be on its way

# The `create_at` of the newest post seen in a channel; None where we don't watch it.
Seen = Callable[[Channel], Awaitable[int | None]]


@frozen
class Behind:
    """A channel whose `last_post_at` is beyond what was seen; an edit moves it too, so this is a reason to look."""

    channel: Channel
    seen_at: int


async def audit(api: Api, newest_seen: Seen) -> tuple[Behind, ...]:
    """The channels that are behind and still are after GRACE_SECONDS. Raises MattermostError."""
    suspects = await _behind(await api.channels.mine(), newest_seen)
    if not suspects:
        return ()
    # The look at a channel and the event of its newest post may overlap, so only what is still behind later counts.
    await trio.sleep(GRACE_SECONDS)
    return await _behind(tuple(suspect.channel for suspect in suspects), newest_seen)


async def _behind(channels: tuple[Channel, ...], newest_seen: Seen) -> tuple[Behind, ...]:
    behind: list[Behind] = []
    for channel in channels:
        seen_at = await newest_seen(channel)
        if seen_at is not None and channel.last_post_at > seen_at:
            behind.append(Behind(channel, seen_at))
    return tuple(behind)


async def run_audit(
    api: Api,
    newest_seen: Seen,
    on_behind: Callable[[tuple[Behind, ...]], Awaitable[None]],
    *,
    interval: float = AUDIT_SECONDS,
) -> NoReturn:
    """Audit every `interval` seconds. An unavailable server is the listener's to notice; a refusal comes out."""
    while True:
        await trio.sleep(interval)
        try:
            behind = await audit(api, newest_seen)
        except MattermostUnavailable:
            continue
        if behind:
            await on_behind(behind)
