"""Shares slash commands between the accounts of this gateway: one command of a team belongs to one account.

An account claims the commands it wants before it registers them, and settles afterwards which it got. An account that
holds a command of an earlier account is woken to give it up, and one that waits for a command when it is free.
"""

from collections.abc import Callable, Collection

import trio
from attrs import field

from oc_trio.classes import define
from oc_trio.config.load import Loaded
from oc_trio.core.command_shares import Slot, owners
from oc_trio.ids import AccountId

# How long an account waits for the claims of earlier ones: one that is down must not block the others.
EARLIER_SECONDS = 5.0


def native_order(loaded: Loaded) -> tuple[AccountId, ...]:
    """The accounts that register commands, as the configuration lists them; the unnamed one comes first."""
    native = [name for name, account in loaded.accounts.items() if account.commands.native]
    return tuple(sorted(native, key=loaded.listed_at))


@define
class _AccountShare:
    wake: Callable[[], object]
    review: Callable[[], object]
    claimed: frozenset[Slot] | None = None
    registered: frozenset[Slot] = frozenset()
    missing: frozenset[Slot] = frozenset()


@define(eq=False)
class CommandShares:
    """One for the gateway. `order` names the accounts that register commands, in the order of the configuration."""

    order: tuple[AccountId, ...] = ()
    _accounts: dict[AccountId, _AccountShare] = field(init=False, factory=dict)
    _changed: trio.Event = field(init=False, factory=trio.Event)

    def join(self, account: AccountId, wake: Callable[[], object], review: Callable[[], object]) -> None:
        """Add an account, or one that was restarted; `wake` makes it register again, `review` compare its commands with
        the server's as well, and neither waits.
        """
        if account in self._accounts:
            self._accounts[account].wake, self._accounts[account].review = wake, review
        else:
            self._accounts[account] = _AccountShare(wake, review)

    def review(self) -> None:
        """An operator wants all commands to be as they should be: let every account compare its own."""
        for one in self._accounts.values():
            one.review()

    def reorder(self, order: tuple[AccountId, ...]) -> None:
        """Apply a changed configuration: forget accounts that left it, and let the others register again."""
        if order == self.order:
            return
        self.order = order
        for account in [name for name in self._accounts if name not in order]:
            del self._accounts[account]
        self._notify()
        for one in self._accounts.values():
            one.wake()

    async def earlier(self, account: AccountId) -> None:
        """Wait until all earlier accounts have claimed, for `EARLIER_SECONDS` at most."""
        with trio.move_on_after(EARLIER_SECONDS):
            while not all(self._has_claimed(other) for other in self._before(account)):
                await self._changed.wait()

    def earlier_elsewhere(self, account: AccountId) -> tuple[AccountId, ...]:
        """The earlier accounts that have claimed nothing here, as where another process serves them."""
        return tuple(other for other in self._before(account) if not self._has_claimed(other))

    def claim(self, account: AccountId, slots: Collection[Slot]) -> dict[Slot, AccountId]:
        """Claim slots for `account`; returns those that belong to earlier accounts."""
        self._accounts[account].claimed = frozenset(slots)
        self._notify()
        owned = owners(self.order, {name: one.claimed or () for name, one in self._accounts.items()})
        for name in self._after(account):
            other = self._accounts.get(name)
            if other is not None and any(owned.get(slot) == account for slot in other.registered):
                other.wake()
        return {slot: owned[slot] for slot in slots if owned.get(slot, account) != account}

    def settle(
        self, account: AccountId, *, previous: Collection[Slot], registered: Collection[Slot], missing: Collection[Slot]
    ) -> None:
        """End a round: `previous` were `account`'s before, `registered` are now, `missing` it wants and has not."""
        me = self._accounts.get(account)  # None where native commands are off
        # Also what an earlier run had registered and this one no longer wants.
        freed = frozenset(previous) - frozenset(registered)
        if me is not None:
            freed |= me.registered - frozenset(registered)
            me.registered, me.missing = frozenset(registered), frozenset(missing)
        for name, other in self._accounts.items():
            if name != account and freed & other.missing:
                other.wake()

    def _has_claimed(self, account: AccountId) -> bool:
        return account in self._accounts and self._accounts[account].claimed is not None

    def _before(self, account: AccountId) -> tuple[AccountId, ...]:
        return self.order[: self.order.index(account)] if account in self.order else ()

    def _after(self, account: AccountId) -> tuple[AccountId, ...]:
        return self.order[self.order.index(account) + 1 :] if account in self.order else ()

    def _notify(self) -> None:
        self._changed.set()
        # A new event for the next change: Trio's events can't be cleared.
        self._changed = trio.Event()
