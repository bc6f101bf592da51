"""Mutants of several gateways on one journal: each lacks one of the things that keep two of them from one account."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from attrs import fields, frozen

from oc_trio.core.membership import Membership, ProcessInfo
from oc_trio.ids import AccountId
from oc_trio.lease import Fence, Lease
from oc_trio.store.engine import Engine
from oc_trio.store.leases import Leases
from oc_trio.store.notify import LEASES, Notices
from oc_trio.store.store import Store, open_store
from tests.simulation.gateway_process import StoreOf

# The first renewal after one that failed comes too late for such a lease.
_SHORT_MS = 2500


@frozen
class UnfencedStore(Store):
    """A journal that takes what a former holder of a lease writes."""

    def fenced(self, fence: Fence) -> Store:
        return self


@frozen
class Unfenced(StoreOf):
    """Opens such a journal."""

    def __call__(self, _location: object) -> AbstractAsyncContextManager[Store]:
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Store]:
        async with open_store(self.connection) as store:
            yield UnfencedStore(**{str(each.alias): getattr(store, each.name) for each in fields(Store)})


class ShortLeases(Leases):
    """Leases that end much sooner than their holders believe."""

    async def beat(self, me: ProcessInfo, held: Mapping[AccountId, int]) -> Membership:
        membership = await super().beat(me, held)
        await self._shorten(me.id)
        return membership

    async def acquire(self, account: AccountId, me: str, expected_epoch: int) -> int | None:
        epoch = await super().acquire(account, me, expected_epoch)
        await self._shorten(me)
        return epoch

    async def _shorten(self, me: str) -> None:
        sql = "UPDATE leases SET deadline = oc_now_ms() + ? WHERE holder = ?"
        await self._engine.run(lambda tx: tx.run(sql, _SHORT_MS, me))


class Unguarded(Lease):
    """A lease whose holder goes on until the database says that another process has it."""

    @property
    def seconds_left(self) -> float:
        return 0.0 if self.lost.is_set() else 1000.0


class LooksWhenTold(Leases):
    """What other processes do is read only when there was a notice."""

    def __init__(self, engine: Engine, notices: Notices) -> None:
        super().__init__(engine)
        object.__setattr__(self, "_known", None)
        notices.follow(LEASES, lambda: object.__setattr__(self, "_known", None))

    _known: Membership | None

    async def beat(self, me: ProcessInfo, held: Mapping[AccountId, int]) -> Membership:
        fresh = await super().beat(me, held)
        if self._known is None or held:
            object.__setattr__(self, "_known", fresh)
        assert self._known is not None
        return self._known

    async def acquire(self, account: AccountId, me: str, expected_epoch: int) -> int | None:
        object.__setattr__(self, "_known", None)  # what it does itself it knows
        return await super().acquire(account, me, expected_epoch)

    async def release(self, account: AccountId, me: str, epoch: int) -> None:
        object.__setattr__(self, "_known", None)
        await super().release(account, me, epoch)
