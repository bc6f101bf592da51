"""Queues that are worked off in order within a key and side by side across keys, by one task per key while it has work.

They have no bound of their own: an item is small and stands for an open obligation, which the journal keeps anyway.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import trio
from attrs import field, frozen

T = TypeVar("T")


@frozen(eq=False)
class KeyedSerialQueue(Generic[T]):
    """`work` does one item; what it raises ends `nursery`, whose children the tasks are."""

    nursery: trio.Nursery
    work: Callable[[T], Awaitable[None]]
    _waiting: dict[str, deque[T]] = field(init=False, factory=dict)

    def put(self, key: str, item: T) -> None:
        """Never waits."""
        line = self._waiting.get(key)
        if line is not None:
            line.append(item)
        else:
            self._waiting[key] = line = deque([item])
            self.nursery.start_soon(self._work_off, key, line)

    async def _work_off(self, key: str, line: deque[T]) -> None:
        try:
            while line:
                await self.work(line.popleft())
        finally:
            del self._waiting[key]
