"""Writes of the journal that are waited for whatever else happens.

Where the wait is cancelled the transaction runs on: the row would be there, and who has to act on it would not know.
There is no deadline, for the journal bounds its statements itself (BUSY_MS, STATEMENT_TIMEOUT_MS).
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

T = TypeVar("T")


async def finish_write(write: Callable[[], Awaitable[T]]) -> T:
    """What `write` returns or raises; a cancellation comes at the caller's next checkpoint."""
    with trio.CancelScope(shield=True):
        return await write()
    raise AssertionError("nobody cancels the scope")
