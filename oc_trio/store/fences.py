"""Refuses the writes of a process that serves an account no more: compares each one's fence with the lease's row.

Reads need no fence. Who may hold a lease, and for how long, is in `leases`.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from oc_trio.classes import frozen
from oc_trio.errors import FenceRefused
from oc_trio.ids import AccountId
from oc_trio.lease import Fence
from oc_trio.store.engine import Driver, Engine, PermanentFailure, Tx

T = TypeVar("T")


class FenceCheck:
    """The fences of one transaction, read together at its first write."""

    __slots__ = ("_accounts", "_driver", "_holders")

    def __init__(self, driver: Driver, fences: Sequence[Fence | None]) -> None:
        self._driver = driver
        self._accounts = tuple(sorted({fence.account for fence in fences if fence is not None}))
        # Read, and locked, once for all works of a commit; None before the first of them that needs it.
        self._holders: dict[AccountId, tuple[str, int]] | None = None

    def require(self, fence: Fence) -> None:
        """Raises FenceRefused; from here to the end of the transaction no other process can take the account over."""
        if self._holders is None:
            self._holders = self._read()
        if self._holders.get(fence.account) != (fence.holder, fence.epoch):
            raise FenceRefused(f"another process serves the account {fence.account} by now")

    def forget(self) -> None:
        """A savepoint was rolled back, and with it perhaps the lock of the leases' rows: read them again."""
        self._holders = None

    def _read(self) -> dict[AccountId, tuple[str, int]]:
        marks = ", ".join("?" * len(self._accounts))
        sql = f"SELECT account, holder, epoch FROM leases WHERE account IN ({marks}){self._driver.for_key_share}"  # noqa: S608
        return {row[0]: (row[1], row[2]) for row in self._driver.execute(sql, self._accounts)[0]}


@frozen
class FencedEngine:
    """See `engine.Engine`: every write of it carries one fence."""

    _engine: Engine
    _fence: Fence

    @property
    def driver(self) -> Driver:
        return self._engine.driver

    @property
    def permanent_failure(self) -> PermanentFailure:
        return self._engine.permanent_failure

    async def run(self, work: Callable[[Tx], T], fence: Fence | None = None) -> T:
        return await self._engine.run(work, fence or self._fence)

    async def run_soon(self, work: Callable[[Tx], T], seconds: float, fence: Fence | None = None) -> T:
        return await self._engine.run_soon(work, seconds, fence or self._fence)

    async def run_unlocked(self, work: Callable[[], T]) -> T:
        return await self._engine.run_unlocked(work)
