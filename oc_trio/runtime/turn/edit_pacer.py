"""Sets the interval between edits of drafts, by the server's load, the length of the text and the number of drafts."""

from collections.abc import Awaitable, Callable

import trio
from attrs import field

from oc_trio.classes import define
from oc_trio.core.pacing import PacingRules, ServerLoad, interval, with_latency, with_throttling


async def _no_wait() -> bool:
    return False


@define(eq=False)
class EditPacer:
    """Shared by all turns of an account; `live` counts the drafts that are being written."""

    rules: PacingRules
    # Waits, cancellable, until the server's rate budget has room for an edit; true if it had to wait. An edit that
    # waits inside its request instead can't be cancelled, and the final text would wait behind it.
    wait_for_room: Callable[[], Awaitable[bool]] = _no_wait
    live: int = 0
    load: ServerLoad = field(factory=ServerLoad)

    def interval(self, length: int) -> float:
        """Seconds between two edits of a post of `length` characters."""
        return interval(self.rules, self.load, now=trio.current_time(), length=length, live=self.live)

    def answered(self, seconds: float) -> None:
        """The server took an edit in `seconds`."""
        self.load = with_latency(self.load, seconds)

    def throttled(self) -> None:
        """The server refused an edit with status 429."""
        self.load = with_throttling(self.load, trio.current_time())
