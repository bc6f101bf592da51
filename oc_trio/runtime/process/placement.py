"""Decides which accounts run in this process: all of them, or with leases those that it holds.

The second is `runtime.process.lease_keeper`. What an account runs with is its plan, which the configuration makes; an
account whose plan is the same after a change of the configuration is not touched.
"""

from collections.abc import Mapping
from typing import Protocol

import trio

from oc_trio.classes import frozen
from oc_trio.config.accounts import normalize_account_id
from oc_trio.config.load import Loaded
from oc_trio.ids import AccountId
from oc_trio.runtime.policies import policies
from oc_trio.runtime.process.supervisor import AccountPlan, AccountSupervisor


@frozen
class Changes:
    """Which accounts a new configuration starts, stops, runs anew and leaves alone."""

    start: tuple[AccountId, ...] = ()
    stop: tuple[AccountId, ...] = ()
    restart: tuple[AccountId, ...] = ()
    keep: tuple[AccountId, ...] = ()
    # The changed sections that only a new start puts into effect.
    at_next_start: tuple[str, ...] = ()


class Placement(Protocol):
    """Decides which accounts run in this process: all of them, or those whose leases it holds."""

    @property
    def plans(self) -> Mapping[AccountId, AccountPlan]:
        """What this process may serve."""
        ...

    async def apply(self, todo: Changes, wanted: Mapping[AccountId, AccountPlan], drain_seconds: float) -> None:
        """From now on `wanted` is what it may serve; return when what had to stop for that has ended."""
        ...

    def drain(self) -> None:
        """The gateway stops: drain all accounts and start none any more."""
        ...


@frozen(eq=False)
class SoleProcess:
    """See `Placement`: the only process at its journal serves every account."""

    supervisor: AccountSupervisor

    @property
    def plans(self) -> Mapping[AccountId, AccountPlan]:
        return self.supervisor.plans

    async def apply(self, todo: Changes, wanted: Mapping[AccountId, AccountPlan], drain_seconds: float) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.supervisor.stop, todo.stop)
            for name in todo.restart:
                nursery.start_soon(self._restart, wanted[name], drain_seconds)
            for name in todo.start:
                self.supervisor.start(wanted[name], drain_seconds=drain_seconds)

    def drain(self) -> None:
        self.supervisor.drain()

    async def _restart(self, plan: AccountPlan, drain_seconds: float) -> None:
        await self.supervisor.stop((plan.id,))
        self.supervisor.start(plan, drain_seconds=drain_seconds)


def plans(loaded: Loaded) -> dict[AccountId, AccountPlan]:
    """The plan of every account that this process may serve."""
    config, pinned = loaded.config, {normalize_account_id(name) for name in loaded.config.gateway.accounts}
    return {
        name: AccountPlan(account, policies(config, account), config.session.idle)
        for name, account in loaded.accounts.items()
        if not pinned or name in pinned
    }


def changes(old: Mapping[AccountId, AccountPlan], new: Mapping[AccountId, AccountPlan]) -> Changes:
    """How to get from what runs to what is wanted."""
    both = sorted(old.keys() & new.keys())
    return Changes(
        start=tuple(sorted(new.keys() - old.keys())),
        stop=tuple(sorted(old.keys() - new.keys())),
        # Frozen values compare field by field; functions and open resources are no part of a plan.
        restart=tuple(name for name in both if old[name] != new[name]),
        keep=tuple(name for name in both if old[name] == new[name]),
    )
