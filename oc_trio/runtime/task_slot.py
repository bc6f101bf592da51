"""Holds one replaceable child task: cancel it, wait until it has ended, and learn why.

This is the second form of cancellation in ARCHITECTURE.md: whoever calls `cancel_and_join` goes on only when the child
has ended, clean-up included.
"""

from collections.abc import Awaitable, Callable

import trio


class TaskSlot:
    """At most one child at a time in `nursery`; starting another cancels and joins the one before."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._scope: trio.CancelScope | None = None
        self._ended: trio.Event | None = None
        self._lock = trio.Lock()
        self.reason = ""

    @property
    def is_busy(self) -> bool:
        return self._scope is not None

    async def start(self, child: Callable[[], Awaitable[None]], *, replacing: str = "replaced") -> None:
        """Run `child` in the slot, after whatever was in it has ended."""
        # Two callers could otherwise both find the slot empty, and one child would run outside of it.
        async with self._lock:
            await self._stop(replacing)
            scope, ended = trio.CancelScope(), trio.Event()
            # A nursery that is closed already refuses: the slot then stays empty.
            self._nursery.start_soon(self._hold, child, scope, ended)
            self.reason, self._scope, self._ended = "", scope, ended

    def cancel(self, *, reason: str) -> bool:
        """Ask the child to end without waiting for it; true if there was one. The first reason given stays."""
        if self._scope is None:
            return False
        self.reason = self.reason or reason
        self._scope.cancel()
        return True

    async def cancel_and_join(self, *, reason: str) -> None:
        """End the child; return when it has ended. A slot that is empty makes this a checkpoint."""
        async with self._lock:
            await self._stop(reason)

    async def join(self) -> None:
        """Wait for the child to end by itself."""
        if self._ended is not None:
            await self._ended.wait()

    async def _stop(self, reason: str) -> None:
        self.cancel(reason=reason)
        if self._ended is not None:
            await self._ended.wait()

    async def _hold(self, child: Callable[[], Awaitable[None]], scope: trio.CancelScope, ended: trio.Event) -> None:
        try:
            with scope:
                await child()
        finally:
            # The event comes last: whoever waits for it finds the slot empty.
            self._scope = None
            ended.set()
