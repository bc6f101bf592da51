"""How many turns run at the same time, over all conversations and accounts; further ones wait in order."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio
from attrs import field

from oc_trio.classes import define

# Returns how many turns will begin before the one that waits.
Ahead = Callable[[], int]


@define(eq=False)
class TurnLimit:
    """A limit that can be changed while turns run: those go on, however many they are."""

    _limiter: trio.CapacityLimiter
    _waiting: dict[object, None] = field(init=False, factory=dict)  # in order

    @classmethod
    def of(cls, turns: int) -> "TurnLimit":
        return cls(trio.CapacityLimiter(turns))

    @property
    def turns(self) -> int:
        """How many may run at the same time."""
        return int(self._limiter.total_tokens)

    def change(self, turns: int) -> None:
        """From now on; who waits begins at once where there is room now."""
        self._limiter.total_tokens = turns

    @asynccontextmanager
    async def place(self, while_waiting: Callable[[Ahead], Awaitable[None]]) -> AsyncIterator[None]:
        """Hold a place for the length of the block. `while_waiting` runs until there is one, and is cancelled then.

        Has no deadline: the turns that run have theirs.
        """
        try:
            self._limiter.acquire_nowait()
        except trio.WouldBlock:
            await self._wait(while_waiting)
        try:
            yield
        finally:
            self._limiter.release()

    async def _wait(self, while_waiting: Callable[[Ahead], Awaitable[None]]) -> None:
        token, is_held, is_over = object(), False, False
        self._waiting[token] = None
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(while_waiting, lambda: list(self._waiting).index(token))
                await self._limiter.acquire()
                is_held = True
                nursery.cancel_scope.cancel()
            is_over = True
        finally:
            del self._waiting[token]
            # Cancelled, or failed, after the place was taken: nobody else would give it back.
            if is_held and not is_over:
                self._limiter.release()
