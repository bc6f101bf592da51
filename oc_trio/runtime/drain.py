"""The one way to stop: intake ends, running turns may finish within a budget, the rest is sealed and kept."""

from collections.abc import Callable

import trio
from attrs import define, field


@define(eq=False)
class Drain:
    """Shared by all accounts. `seconds` is what turns may still take, `seal_seconds` what sealing may take after."""

    seconds: float = 30.0
    seal_seconds: float = 10.0
    requested: trio.Event = field(factory=trio.Event)

    def start(self) -> None:
        self.requested.set()

    async def idle(self, is_idle: Callable[[], bool]) -> None:
        """Until `is_idle`, or until the budget is spent."""
        with trio.move_on_after(self.seconds):
            while not is_idle():  # noqa: ASYNC110 - many sessions, one question: an event each would say no more
                await trio.sleep(0.05)
