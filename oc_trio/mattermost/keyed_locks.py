"""One lock per key. It exists only while a task holds or awaits it, so the number of tasks bounds the table."""

from collections.abc import AsyncGenerator, Hashable
from contextlib import asynccontextmanager

import trio
from attrs import field

from oc_trio.classes import define


@define(eq=False)
class _Entry:
    lock: trio.Lock = field(factory=trio.Lock)
    users: int = 0


@define(eq=False)
class KeyedLocks:
    """`async with locks.hold(key)`: one task per key at a time, first come first served."""

    _entries: dict[Hashable, _Entry] = field(init=False, factory=dict)

    def __len__(self) -> int:
        return len(self._entries)

    @asynccontextmanager
    async def hold(self, key: Hashable) -> AsyncGenerator[None, None]:
        """Hold the lock of `key` for the block."""
        entry = self._entries.setdefault(key, _Entry())
        # Before the wait: an entry that somebody waits for must not be removed by who leaves, or two would hold "the"
        # lock.
        entry.users += 1
        try:
            try:
                # As a rule nobody has it, and what is done within is a checkpoint anyway.
                entry.lock.acquire_nowait()
            except trio.WouldBlock:
                await entry.lock.acquire()
            try:
                yield
            finally:
                entry.lock.release()
        finally:
            entry.users -= 1
            if entry.users == 0:
                del self._entries[key]
