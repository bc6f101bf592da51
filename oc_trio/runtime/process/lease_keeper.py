"""Holds the leases of this process: renews and acquires them, starts and ends accounts with them, hands them over.

One task talks to the database about leases (`run`); each account that is served here has a task that follows it from
its lease's beginning to its end. When a lease ends is `oc_trio.lease`'s to say, and nothing here need run for it; what
people see of all this is `runtime.process.lease_status`.
"""

from collections.abc import Callable, Mapping
from typing import NoReturn

import trio
from attrs import evolve, field

from oc_trio.classes import define
from oc_trio.core.lease_plan import LeasePlan, plan_leases
from oc_trio.core.membership import Membership, ProcessInfo
from oc_trio.errors import StoreError, StoreUnusable
from oc_trio.ids import AccountId
from oc_trio.lease import RENEW_SECONDS, Fence, Lease
from oc_trio.runtime.drain import Drain
from oc_trio.runtime.process.lease_status import LeaseStatus, of_others
from oc_trio.runtime.process.placement import Changes
from oc_trio.runtime.process.refunds import Refunds
from oc_trio.runtime.process.supervisor import AccountPlan, AccountSupervisor
from oc_trio.store.leases import Leases
from oc_trio.store.store import Store
from oc_trio.telemetry.health import Health
from oc_trio.telemetry.log import get_logger
from oc_trio.wakeup import Wakeup

# A database that refuses at once is asked again sooner: until the lease's end that may be several tries more.
RETRY_SECONDS = 0.5
# What running turns may still take when an account moves; what they don't end, they go on with at its next process.
HAND_OVER_SECONDS = 5.0
# Accounts move to a process that has been there for so long: one that starts again and again would get them each time.
SETTLED_SECONDS = 5.0
# After so long a free account is anybody's: whoever should have it looks in the moment that a lease ends, but may be
# the next one to die.
OVERDUE_SECONDS = 1.5
# Leases are acquired one by one; then those that are held have to be renewed.
ACQUIRE_SECONDS = 1.0
# Given back or not, others can have it when it has ended: longer than that is no gain.
GIVE_BACK_SECONDS = 2.0
# The watchdog's patience with one look: the store bounds its statements far below that.
LOOK_SECONDS = 60.0
_PART = "leases"

log = get_logger(part="lease_keeper")


@define(eq=False)
class _Held:
    """An account that is served here. `former` is the process whose lease had ended, until it is heard of again."""

    lease: Lease
    plan: AccountPlan
    former: str = ""
    next_plan: AccountPlan | None = None
    is_leaving: bool = False


@define(eq=False)
class LeaseKeeper:
    """See `runtime.process.placement.Placement`. `clock` is that of leases.

    `journal_failed` are accounts that ended by a failure of the journal, and have not gone on since.
    """

    leases: Leases
    me: ProcessInfo
    supervisor: AccountSupervisor
    store: Store
    health: Health
    status: LeaseStatus
    clock: Callable[[], float]
    drain_of_gateway: Drain
    refunds: Refunds
    plans: dict[AccountId, AccountPlan] = field(factory=dict)
    make_lease: Callable[[Fence, Callable[[], float]], Lease] = Lease
    journal_failed: set[AccountId] = field(factory=set)
    # From the acquired lease until the account's tasks have ended, which may be after the lease has.
    _held: dict[AccountId, _Held] = field(init=False, factory=dict)
    _scope: trio.CancelScope = field(init=False, factory=trio.CancelScope)
    # Something has changed: look now.
    changed: Wakeup = field(init=False, factory=Wakeup)
    # By this process's clock: when a process was first heard of, and an account first found free.
    _first_seen: dict[str, float] = field(init=False, factory=dict)
    _free_since: dict[AccountId, float] = field(init=False, factory=dict)

    # what the gateway asks for

    async def apply(self, todo: Changes, wanted: Mapping[AccountId, AccountPlan], drain_seconds: float) -> None:
        self.plans = dict(wanted)
        for account in todo.restart:
            if account in self._held:
                self._held[account].next_plan = wanted[account]
        self.changed.set()
        await self.supervisor.stop([account for account in (*todo.stop, *todo.restart) if account in self._held])

    def drain(self) -> None:
        """The gateway stops: each account's lease is given back when the account has ended."""
        self.supervisor.drain()
        self.changed.set()

    async def leave(self) -> None:
        """Give everything back, so that others need not wait; call it when all accounts have ended. Ends `run`."""
        # A look that came later would put this process on the list again.
        self._scope.cancel()
        for account, held in tuple(self._held.items()):
            await self._settle(account, held.lease)
        with trio.move_on_after(GIVE_BACK_SECONDS):
            try:
                await self.leases.leave(self.me.id)
            except StoreError as problem:
                log.info("could not take leave of the others", problem=str(problem))

    # the one task

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until `leave`. Started when it has looked once, and begun to serve what was free."""
        with self._scope:
            await self._run(task_status)
        self.health.finished(_PART)

    async def _run(self, task_status: trio.TaskStatus[None]) -> NoReturn:
        async with trio.open_nursery() as nursery:
            seconds = await self._look(nursery)
            task_status.started()
            while True:
                self.health.progress(_PART, within_s=LOOK_SECONDS)
                with trio.move_on_after(seconds):
                    await self.changed.wait()
                seconds = await self._look(nursery)

    async def _look(self, nursery: trio.Nursery) -> float:
        """Renew, and do what there is to do; returns the seconds until the next time."""
        asked_at = self.clock()
        held = {account: each.lease.fence.epoch for account, each in self._held.items() if each.lease.is_sure}
        try:
            # Without a deadline: the store bounds its statements, and a lease ends without this task.
            membership = await self.leases.beat(self._info(), held)
            self.status.renewed(membership, self.plans, self._held)
            self._renewed(held, membership, asked_at)
            plan = self._plan(membership)
            for account, epoch in plan.release:
                await self.leases.release(account, self.me.id, epoch)
            has_all = await self._acquire(nursery, membership, plan)
            self._start_refunds(nursery, membership)
        except StoreUnusable:
            raise
        except StoreError as problem:
            self.status.failed(problem, self.plans, {name: each.lease for name, each in self._held.items()})
            return RETRY_SECONDS
        self._hand_over(plan)
        self.status.show_standby(self.plans, self._held)
        if plan.release:
            return 0.0  # what has been given back can be acquired now
        if not has_all:
            return RETRY_SECONDS
        ends = [lease.left_ms / 1000 for lease in of_others(membership, self.me.id, self.plans)]
        overdue = [since + OVERDUE_SECONDS - asked_at for since in self._free_since.values()]
        # From when the database was asked: a slow one leaves less time until the lease ends.
        seconds = min([RENEW_SECONDS, *ends, *(each for each in overdue if each > 0)])
        # A lease that ends in this moment is left its moment: else the database would be asked without a pause.
        return max(0.05, seconds - (self.clock() - asked_at))

    def _info(self) -> ProcessInfo:
        is_draining = self.drain_of_gateway.requested.is_set()
        return evolve(self.me, draining=is_draining, accounts=tuple(sorted(self.plans)))

    def _renewed(self, held: Mapping[AccountId, int], membership: Membership, asked_at: float) -> None:
        leases = {lease.account: lease for lease in membership.leases}
        for account, epoch in held.items():
            row, each = leases.get(account), self._held.get(account)
            if each is None or each.lease.fence.epoch != epoch:
                continue
            if row is not None and not row.is_free and (row.holder, row.epoch) == (self.me.id, epoch):
                each.lease.renewed(asked_at)
            else:
                each.lease.lose(f"{self.status.holder_of(account) or 'nobody'} serves it")

    def _plan(self, membership: Membership) -> LeasePlan:
        now = self.clock()
        self._first_seen = {each.id: self._first_seen.get(each.id, now) for each in membership.processes}
        leases = {lease.account: lease for lease in membership.leases}
        free = [account for account in self.plans if account not in leases or leases[account].is_free]
        self._free_since = {account: self._free_since.get(account, now) for account in free}
        return plan_leases(
            membership,
            self.me.id,
            running=self._held,
            settled={process for process, since in self._first_seen.items() if now - since >= SETTLED_SECONDS},
            overdue=[account for account, since in self._free_since.items() if now - since >= OVERDUE_SECONDS],
        )

    async def _acquire(self, nursery: trio.Nursery, membership: Membership, plan: LeasePlan) -> bool:
        """Begin to serve what is free; false where some of it is to be looked at again soon."""
        has_all = True
        began, leases = self.clock(), {lease.account: lease for lease in membership.leases}
        for account, epoch in plan.acquire:
            asked_at = self.clock()
            if asked_at - began > ACQUIRE_SECONDS:
                self.changed.set()
                return False
            new_epoch = await self.leases.acquire(account, self.me.id, epoch)
            if new_epoch is None:
                # Somebody was quicker, or a transaction of the last holder still holds it up.
                has_all = False
                continue
            lease = self.make_lease(Fence(account, self.me.id, new_epoch), self.clock)
            lease.renewed(asked_at)
            # The configuration may have changed meanwhile.
            wanted = self.plans.get(account)
            if wanted is None:
                await self.leases.release(account, self.me.id, new_epoch)
                continue
            row = leases.get(account)
            former = row.holder if row is not None and row.holder != self.me.id else ""
            self.status.acquired(lease, former)
            held = self._held[account] = _Held(lease, wanted, former)
            nursery.start_soon(self._follow, account, held)
        return has_all

    def _hand_over(self, plan: LeasePlan) -> None:
        for account in plan.hand_over:
            # It may have ended since the plan was made.
            held = self._held.get(account)
            if held is not None and not held.is_leaving:
                held.is_leaving = True
                log.info("handing an account over, for an even spread", account=account)
                self.supervisor.begin_drain(account, at_most=HAND_OVER_SECONDS)

    def _start_refunds(self, nursery: trio.Nursery, membership: Membership) -> None:
        """A former holder that is heard of again had lost its lease by a pause or an outage: what it was working on has
        not ended it, and is not to be given up for that.
        """
        alive = {process.id for process in membership.processes if process.is_alive}
        for account, held in self._held.items():
            if held.former in alive and held.lease.is_sure:
                held.former = ""
                if not self.refunds.take(account):
                    continue
                # Beside this task: the journal may make it wait for longer than a lease.
                nursery.start_soon(self._refund, account, held.lease)

    async def _refund(self, account: AccountId, lease: Lease) -> None:
        try:
            await self.store.fenced(lease.fence).obligations.refund_attempt(account)
        except StoreUnusable:
            raise
        except StoreError as problem:
            log.info("an attempt counts although its process lives", account=account, problem=str(problem))

    # one task for each account that is served here

    async def _follow(self, account: AccountId, held: _Held) -> None:
        lease = held.lease
        while True:
            ended = self.supervisor.start(held.plan, drain_seconds=self.drain_of_gateway.seconds, lease=lease)
            if ended is None:
                break
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch, account, lease)
                await ended.wait()
                nursery.cancel_scope.cancel()
            if held.next_plan is None or held.is_leaving or not lease.is_sure:
                break
            held.plan, held.next_plan = held.next_plan, None
        if lease.is_sure:
            await self._settle(account, lease)
            await self._give_back(account, lease)
        # Only now: until its tasks have ended, the account can't be served here again.
        del self._held[account]
        self.status.ended(account)
        self.status.show_standby(self.plans, self._held)
        self.changed.set()

    async def _settle(self, account: AccountId, lease: Lease) -> None:
        """The account moves before it went on here after a failure of the journal: the next process knows nothing of
        that, and would count what it was working on as another attempt.
        """
        if account in self.journal_failed and lease.is_sure:
            with trio.move_on_after(GIVE_BACK_SECONDS):
                await self._refund(account, lease)
            self.journal_failed.discard(account)

    async def _give_back(self, account: AccountId, lease: Lease) -> None:
        # First: from the release on another process may have it, and nothing of ours may be on its way.
        lease.lose("it was given back")
        with trio.move_on_after(GIVE_BACK_SECONDS):
            try:
                await self.leases.release(account, self.me.id, lease.fence.epoch)
            except StoreError as problem:
                log.info("could not give a lease back: it will end by itself", account=account, problem=str(problem))

    async def _watch(self, account: AccountId, lease: Lease) -> None:
        """Say at once that a lease has ended, however long the account's clean-up takes."""
        while lease.is_sure:
            # No shorter: the two clocks may differ by less than a step of either.
            with trio.move_on_after(max(lease.seconds_left, 0.01)):
                await lease.lost.wait()
        lease.lose("it was not renewed in time")
        self.status.lost(lease)
