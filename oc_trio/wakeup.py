"""One task waits, others wake it: a trio.Event that can be used again."""

import trio
from attrs import field

from oc_trio.classes import define


@define(eq=False)
class Wakeup:
    """For one waiting task; any number of others may call `set`, which never waits."""

    _event: trio.Event = field(init=False, factory=trio.Event)

    @property
    def is_set(self) -> bool:
        """Whether the next `wait` returns at once."""
        return self._event.is_set()

    def set(self) -> None:
        """Wake who waits, or who does next."""
        self._event.set()

    async def wait(self) -> None:
        """Until somebody calls `set`, or at once where somebody has since the last wait. Has no deadline."""
        await self._event.wait()
        # A `set` between the wake-up and this line belongs to the same one: the caller looks at its state only after
        # it.
        self._event = trio.Event()

    async def wait_next(self) -> None:
        """Until somebody calls `set` from now on: what came before has been looked at already. Has no deadline."""
        self._event = trio.Event()
        await self._event.wait()
