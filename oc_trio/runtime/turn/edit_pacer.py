"""How often drafts may be edited now: one mood per server, one count of live drafts."""

from collections.abc import Awaitable, Callable

import trio
from attrs import define, field

from oc_trio.core.pacing import PacingRules, ServerLoad, answered, interval, throttled


async def _always() -> bool:
    return False


@define(eq=False)
class EditPacer:
    """Shared by all turns of an account; `live` counts the drafts being written."""

    rules: PacingRules
    has_room: Callable[[], Awaitable[bool]] = _always
    live: int = 0
    mood: ServerLoad = field(factory=ServerLoad)

    async def room(self) -> bool:
        """Wait, cancellable, until the server's rate budget has room for an edit; true if there was none at once.

        An edit that already waits inside its request could not be cancelled, and the final would wait behind it.
        """
        return await self.has_room()

    def interval(self, length: int) -> float:
        """Seconds between two edits of a post of `length` characters."""
        return interval(self.rules, self.mood, now=trio.current_time(), length=length, live=self.live)

    def answered(self, seconds: float) -> None:
        self.mood = answered(self.mood, seconds)

    def throttled(self) -> None:
        self.mood = throttled(self.mood, trio.current_time())
