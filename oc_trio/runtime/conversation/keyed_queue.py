"""A work queue that is serial per key and concurrent across keys, with one task per key while there is work.

Unbounded: an item is small and stands for an open obligation, which the journal keeps anyway.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import trio
from attrs import field

from oc_trio.classes import frozen

T = TypeVar("T")


@frozen(eq=False)
class KeyedSerialQueue(Generic[T]):
    """`work` processes one item in a child of `nursery`; an exception of it ends the nursery."""

    nursery: trio.Nursery
    work: Callable[[T], Awaitable[None]]
    # A key is here for as long as its task runs, the item in work not included.
    _queues: dict[str, deque[T]] = field(init=False, factory=dict)

    def put(self, key: str, item: T) -> None:
        """Add an item behind those with the same key. Never waits."""
        items = self._queues.get(key)
        if items is not None:
            items.append(item)
        else:
            self._queues[key] = items = deque([item])
            self.nursery.start_soon(self._process, key, items)

    async def _process(self, key: str, items: deque[T]) -> None:
        try:
            while items:
                await self.work(items.popleft())
        finally:
            # No checkpoint since the queue was found empty, so no item can be added to it and be lost.
            del self._queues[key]
