"""How often drafts may be edited now: one mood per server, one count of live drafts."""

import trio
from attrs import define, field

from oc_trio.core.pacing import PacingRules, ServerMood, answered, interval, throttled


@define(eq=False)
class SharedPace:
    """Shared by all turns of an account; `live` counts the drafts being written."""

    rules: PacingRules
    live: int = 0
    mood: ServerMood = field(factory=ServerMood)

    def interval(self, length: int) -> float:
        """Seconds between two edits of a post of `length` characters."""
        return interval(self.rules, self.mood, now=trio.current_time(), length=length, live=self.live)

    def answered(self, seconds: float) -> None:
        self.mood = answered(self.mood, seconds)

    def throttled(self) -> None:
        self.mood = throttled(self.mood, trio.current_time())
