"""Graceful shutdown: no new turns, running turns may end within a budget, the others are sealed and go on later."""

from collections.abc import Callable

import trio
from attrs import field

from oc_trio.classes import define


@define(eq=False)
class Drain:
    """The drain of the gateway or of one account. `seconds` is what running turns may still take, `seal_seconds` what
    sealing their drafts may take after that.
    """

    seconds: float = 30.0
    seal_seconds: float = 10.0
    requested: trio.Event = field(factory=trio.Event)

    def start(self) -> None:
        self.requested.set()

    async def idle(self, is_idle: Callable[[], bool]) -> None:
        """Wait until `is_idle`, or until `seconds` are over."""
        with trio.move_on_after(self.seconds):
            while not is_idle():  # noqa: ASYNC110 - an event would need all sessions to set it
                await trio.sleep(0.05)
