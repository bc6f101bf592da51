"""How often attempts at messages are taken back because an account lost its lease.

A message at which the whole process stands still for longer than a lease loses it each time, and looks the same. So
it is done once in a while only: such a message is given up after some attempts more.
"""

from collections.abc import Callable

from attrs import field

from oc_trio.classes import define
from oc_trio.ids import AccountId

# Far longer than the attempts at one message take with a lease of seconds: they are used up before the next refund.
REFUND_PAUSE_SECONDS = 600.0


@define(eq=False)
class Refunds:
    """One for the process. `clock` is that of leases."""

    clock: Callable[[], float]
    _last: dict[AccountId, float] = field(init=False, factory=dict)

    def take(self, account: AccountId) -> bool:
        """Whether the account's attempts may be taken back now; if so, not again for REFUND_PAUSE_SECONDS."""
        now, last = self.clock(), self._last.get(account)
        if last is not None and now - last < REFUND_PAUSE_SECONDS:
            return False
        self._last[account] = now
        return True
