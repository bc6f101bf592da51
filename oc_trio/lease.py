"""What a process knows of an account's lease that it holds: until when nobody else may serve the account.

The lease is a row of the journal's database (`store.leases`), which `runtime.process.lease_keeper` renews. Here is the
holder's own view of it, by its own clock: every request to Mattermost is made within `guard`, and the account's tasks
run within `hold`. Both end when the lease does, so that nothing is sent that the next holder does not expect.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import trio
from attrs import field

from oc_trio.classes import define, frozen
from oc_trio.errors import LeaseLost
from oc_trio.ids import AccountId

# A lease that is not renewed ends so long after its last renewal, by the database's clock.
LEASE_SECONDS = 7.0
# Between two renewals. Two may fail before the lease ends.
RENEW_SECONDS = 2.0
# The holder stops so long before, for clocks that don't run equally fast and requests that the server has just got.
MARGIN_SECONDS = 1.0


def boot_time() -> float:
    """Seconds of a clock that goes on while the machine sleeps, where the system has one."""
    # Monotonic time stands still while a machine is suspended, and the database's clock does not.
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


@frozen
class Fence:
    """What a write of the journal carries: it is refused where `epoch` is not the account's newest. `holder` is the id
    of the process.
    """

    account: AccountId
    holder: str
    epoch: int


@define(eq=False)
class Lease:
    """One account's lease in the process that holds it. `clock` gives seconds, as `boot_time` does.

    `lost` is set once and for good: a lease that is acquired again is a new one.
    """

    fence: Fence
    clock: Callable[[], float] = boot_time
    lost: trio.Event = field(init=False, factory=trio.Event)
    why: str = field(init=False, default="")
    # By `clock`; before the first renewal the lease is not sure.
    _deadline: float = field(init=False, default=-math.inf)
    # What runs within `guard` and `hold`, by Trio's clock: each renewal moves their deadlines.
    _scopes: set[trio.CancelScope] = field(init=False, factory=set)

    @classmethod
    def unlimited(cls, account: AccountId) -> "Lease":
        """The lease of the only process that there is: it never ends."""
        lease = cls(Fence(account, "", 0))
        lease._deadline = math.inf
        return lease

    @property
    def is_unlimited(self) -> bool:
        return self._deadline == math.inf

    @property
    def seconds_left(self) -> float:
        """Until the holder has to stop, MARGIN_SECONDS before others may take over; 0 once it is lost."""
        return 0.0 if self.lost.is_set() else max(0.0, self._deadline - self.clock())

    @property
    def is_sure(self) -> bool:
        """Whether nobody else can hold the lease now."""
        return self.seconds_left > 0.0

    def renewed(self, asked_at: float) -> None:
        """The database has renewed the lease; `asked_at` is `clock()` from before it was asked.

        One that is lost stays lost.
        """
        self._deadline = max(self._deadline, asked_at + LEASE_SECONDS - MARGIN_SECONDS)
        deadline = trio.current_time() + self.seconds_left
        for scope in self._scopes:
            scope.deadline = deadline

    def lose(self, why: str) -> None:
        """Cancel what runs within `guard` and `hold`. The first reason counts."""
        if self.lost.is_set():
            return
        self.why = why
        self.lost.set()
        for scope in tuple(self._scopes):
            scope.cancel()

    async def check(self) -> None:
        """Return if the lease is sure. Else what runs within `hold` is cancelled, and what is shielded from that gets
        LeaseLost.

        Clean-up that is shielded finds out this way that it can do nothing any more; everybody else just ends.
        """
        if self.is_sure:
            return
        self.lose("it was not renewed in time")
        await trio.lowlevel.checkpoint()
        raise self._error(ambiguous=False)

    @contextmanager
    def guard(self, *, writes: bool = False) -> Iterator[None]:
        """Around one request to Mattermost: it is cancelled when the lease ends.

        Raises LeaseLost; it is ambiguous where the request `writes` and had begun.
        """
        if self.is_unlimited:
            yield
            return
        if not self.is_sure:
            self.lose("it was not renewed in time")
            raise self._error(ambiguous=False)
        with self._bounded() as scope:
            yield
        if scope.cancelled_caught:
            self.lose("it was not renewed in time")
            raise self._error(ambiguous=writes)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Around all that serves the account: the block is cancelled when the lease ends, and just ends."""
        with self._bounded() as scope:
            try:
                yield
            finally:
                # Here already, and whatever clean-up has raised: who looks must not take it for a failure.
                if scope.cancel_called:
                    self.lose("it was not renewed in time")

    @contextmanager
    def _bounded(self) -> Iterator[trio.CancelScope]:
        with trio.CancelScope(deadline=trio.current_time() + self.seconds_left) as scope:
            self._scopes.add(scope)
            try:
                yield scope
            finally:
                self._scopes.discard(scope)

    def _error(self, *, ambiguous: bool) -> LeaseLost:
        return LeaseLost(f"the lease of account {self.fence.account} is lost: {self.why}", ambiguous=ambiguous)
