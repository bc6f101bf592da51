"""Who of the accounts of this gateway has which slash command, kept while they come and go.

An account says what it wants before it registers (`claim`) and what it got afterwards (`settle`). Who has a command
that belongs to an account before it is woken to give it up, and who waits for one is woken when it is free.
"""

from collections.abc import Callable, Collection

import trio
from attrs import define, field

from oc_trio.config.load import Loaded
from oc_trio.core.command_shares import Slot, owners
from oc_trio.ids import AccountId

# How long an account waits for those before it to say what they want: one that is down must not keep the others.
EARLIER_SECONDS = 5.0


def native_order(loaded: Loaded) -> tuple[AccountId, ...]:
    """The accounts that register commands, as the configuration lists them; the unnamed one comes first."""
    native = [name for name, account in loaded.accounts.items() if account.commands.native]
    return tuple(sorted(native, key=loaded.listed_at))


@define
class _Account:
    wake: Callable[[], object]
    claimed: frozenset[Slot] | None = None
    held: frozenset[Slot] = frozenset()
    missed: frozenset[Slot] = frozenset()


@define(eq=False)
class CommandShares:
    """One for the gateway. `order` names the accounts that register commands, in the order of the configuration."""

    order: tuple[AccountId, ...] = ()
    _accounts: dict[AccountId, _Account] = field(init=False, factory=dict)
    _changed: trio.Event = field(init=False, factory=trio.Event)

    def join(self, account: AccountId, wake: Callable[[], object]) -> None:
        """An account comes up, or up again; `wake` asks it for another round and never waits."""
        if account in self._accounts:
            self._accounts[account].wake = wake
        else:
            self._accounts[account] = _Account(wake)

    def reorder(self, order: tuple[AccountId, ...]) -> None:
        """The configuration changed: who is no longer in it wants nothing, and the others look anew."""
        if order == self.order:
            return
        self.order = order
        for account in [name for name in self._accounts if name not in order]:
            del self._accounts[account]
        self._tell()
        for one in self._accounts.values():
            one.wake()

    async def earlier(self, account: AccountId) -> None:
        """Until all accounts before this one have claimed, but not for long."""
        with trio.move_on_after(EARLIER_SECONDS):
            while not all(self._has_claimed(other) for other in self._before(account)):
                await self._changed.wait()

    def claim(self, account: AccountId, slots: Collection[Slot]) -> dict[Slot, AccountId]:
        """Note what `account` wants; gives what of it belongs to accounts before it."""
        self._accounts[account].claimed = frozenset(slots)
        self._tell()
        owned = owners(self.order, {name: one.claimed or () for name, one in self._accounts.items()})
        for name in self._after(account):
            other = self._accounts.get(name)
            if other is not None and any(owned.get(slot) == account for slot in other.held):
                other.wake()
        return {slot: owned[slot] for slot in slots if owned.get(slot, account) != account}

    def settle(
        self, account: AccountId, *, had: Collection[Slot], held: Collection[Slot], missed: Collection[Slot]
    ) -> None:
        """A round is over: `had` was `account`'s before it, `held` is now, `missed` it wants and has not."""
        me = self._accounts.get(account)  # None where native commands are off
        freed = frozenset(had) - frozenset(held)
        if me is not None:
            freed |= me.held - frozenset(held)
            me.held, me.missed = frozenset(held), frozenset(missed)
        for name, other in self._accounts.items():
            if name != account and freed & other.missed:
                other.wake()

    def _has_claimed(self, account: AccountId) -> bool:
        return account in self._accounts and self._accounts[account].claimed is not None

    def _before(self, account: AccountId) -> tuple[AccountId, ...]:
        return self.order[: self.order.index(account)] if account in self.order else ()

    def _after(self, account: AccountId) -> tuple[AccountId, ...]:
        return self.order[self.order.index(account) + 1 :] if account in self.order else ()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
