"""What people see of the leases of this process: status, log, metrics, and whether it has begun well.

Decides nothing about leases: `runtime.process.lease_keeper` holds them, and reports here.
"""

from collections.abc import Callable, Collection, Iterator, Mapping

import trio
from attrs import evolve, field

from oc_trio.classes import define
from oc_trio.core.membership import LeaseRow, Membership
from oc_trio.errors import StoreError
from oc_trio.ids import AccountId
from oc_trio.lease import Lease
from oc_trio.runtime.account.connection import STANDBY, show_state
from oc_trio.telemetry.health import Health
from oc_trio.telemetry.log import get_logger
from oc_trio.telemetry.membership_status import MembershipStatus
from oc_trio.telemetry.metrics import Metrics

# A lease whose end lies that much later than when it was first seen has been renewed meanwhile.
_RENEWED_SECONDS = 0.5

log = get_logger(part="lease_status")


@define(eq=False)
class LeaseStatus:
    """One for the process, whose id is `process`. `clock` is that of leases.

    `ready` is set when other processes serve what this one could. `wanted` are the accounts that it may serve, `held`
    those that it does.
    """

    process: str
    health: Health
    metrics: Metrics
    clock: Callable[[], float]
    ready: trio.Event
    # By `clock`, of failures in a row: one line of the log for all of them.
    _failed_since: float | None = field(init=False, default=None)
    # Who was last logged as serving an account in our place.
    _logged_holder: dict[AccountId, str] = field(init=False, factory=dict)
    # The first deadline that was seen of each holder's lease, by this process's clock.
    _first_deadline: dict[tuple[AccountId, str, int], float] = field(init=False, factory=dict)

    def renewed(self, membership: Membership, wanted: Collection[AccountId], held: Collection[AccountId]) -> None:
        """The database has answered, with who there is and what each holds."""
        if self._failed_since is not None:
            log.info("leases are renewed again", seconds=round(self.clock() - self._failed_since, 1))
            self._failed_since = None
        self.health.membership = MembershipStatus(self.process, membership, trio.current_time())
        self._note_ready(membership, wanted, held)

    def failed(self, problem: StoreError, wanted: Collection[AccountId], held: Mapping[AccountId, Lease]) -> None:
        """The database could not be asked."""
        self.metrics.lease_renewal_failures.inc()
        left = [lease.seconds_left for lease in held.values()]
        if self._failed_since is None:
            self._failed_since = self.clock()
            log.warning(
                "leases can't be renewed",
                accounts=sorted(held),
                seconds_left=round(min(left), 1) if left else None,
                problem=str(problem),
            )
        status = self.health.membership or MembershipStatus(self.process)
        self.health.membership = evolve(status, problem=str(problem))
        self.show_standby(wanted, held)

    def acquired(self, lease: Lease, former: str) -> None:
        """This process has got a lease; `former` is the process that had it before, if its lease had ended."""
        account, metrics = lease.fence.account, self.metrics
        if former:
            metrics.takeovers.labels(account).inc()
        log.info(
            "serving an account",
            account=account,
            epoch=lease.fence.epoch,
            taken_over_from=self._name_of(former) if former else "",
        )
        self._logged_holder.pop(account, None)
        metrics.lease_epoch.labels(account).set(lease.fence.epoch)
        metrics.lease_held.labels(account).set_function(lambda: float(lease.is_sure))
        metrics.lease_seconds_left.labels(account).set_function(lambda: lease.seconds_left)

    def lost(self, lease: Lease) -> None:
        """A lease has ended while its account was served."""
        account = lease.fence.account
        show_state(self.health, self.metrics, account, STANDBY, f"stopped here: {lease.why}")
        log.error("an account stops here: its lease has ended", account=account, problem=lease.why)

    def ended(self, account: AccountId) -> None:
        """The account's tasks have ended: what they have said of it is of before."""
        self.health.forget(account)

    def show_standby(self, wanted: Collection[AccountId], held: Collection[AccountId]) -> None:
        """Show who serves what this process could, and does not."""
        for account in wanted:
            if account not in held:
                holder, is_cut_off = self.holder_of(account), self._failed_since is not None
                detail = f"served by {holder}" if holder else "served by nobody yet"
                detail = "the database does not answer" if is_cut_off else detail
                show_state(self.health, self.metrics, account, STANDBY, detail)
                if holder and self._logged_holder.get(account) != holder:
                    log.info("standing by for an account", account=account, served_by=holder)
                    self._logged_holder[account] = holder

    def holder_of(self, account: AccountId) -> str:
        """The name of the process that serves the account, as last heard; empty where nobody does."""
        return "" if self.health.membership is None else self.health.membership.serving(account)

    def _name_of(self, process: str) -> str:
        return "" if self.health.membership is None else self.health.membership.name_of(process)

    def _note_ready(self, membership: Membership, wanted: Collection[AccountId], held: Collection[AccountId]) -> None:
        """This process has begun well, too, where others are seen to serve what it could: they renew their leases."""
        if self.ready.is_set():
            return
        now, renewed = self.clock(), set[AccountId]()
        for lease in of_others(membership, self.process, wanted):
            deadline = now + lease.left_ms / 1000
            first = self._first_deadline.setdefault((lease.account, lease.holder, lease.epoch), deadline)
            if deadline - first > _RENEWED_SECONDS:
                renewed.add(lease.account)
        if not held and renewed.issuperset(wanted):
            self.ready.set()


def of_others(membership: Membership, process: str, wanted: Collection[AccountId]) -> Iterator[LeaseRow]:
    """The leases of accounts that `process` wants and others hold."""
    for lease in membership.leases:
        if lease.account in wanted and lease.holder != process and not lease.is_free:
            yield lease
