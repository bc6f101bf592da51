"""What the status says of the processes that share the journal, and of who serves which account."""

from typing import Any

from oc_trio.classes import frozen
from oc_trio.core.membership import LeaseRow, Membership
from oc_trio.ids import AccountId
from oc_trio.lease import LEASE_SECONDS


@frozen
class MembershipStatus:
    """What the process `me` has read from the database, at `read_at`, a time of Trio's clock.

    `problem` says why it can't be read now; what it shows is then of before.
    """

    me: str
    membership: Membership = Membership()
    read_at: float = 0.0
    problem: str = ""

    @property
    def holds_any(self) -> bool:
        return any(lease.holder == self.me and not lease.is_free for lease in self.membership.leases)

    def serving(self, account: AccountId) -> str:
        """Who serves an account, in words; empty where nobody does."""
        lease = next((each for each in self.membership.leases if each.account == account), None)
        return "" if lease is None or lease.is_free else self.name_of(lease.holder)

    def name_of(self, process: str) -> str:
        """Host and number of a process."""
        found = next((each for each in self.membership.processes if each.id == process), None)
        return f"{found.host} (process {found.pid})" if found is not None else "a process that has left"

    def to_json(self, now: float) -> dict[str, Any]:
        """Plain values. `lag` is how many seconds ago the process was heard of, and the lease renewed, at `now`.

        `stale` where all leases that were read have ended since: who serves what is not known.
        """
        age = now - self.read_at

        def lag(left_ms: int) -> float:
            # A renewal makes the lease as long as it can be: what it lacks now is the time since.
            return round(LEASE_SECONDS - left_ms / 1000 + age, 1)

        return {
            "problem": self.problem,
            "stale": bool(self.problem) and age >= LEASE_SECONDS,
            "age": round(age, 1),
            "processes": [
                {
                    "id": process.id,
                    "host": process.host,
                    "pid": process.pid,
                    "version": process.version,
                    "startedAt": process.started_at,
                    "me": process.id == self.me,
                    "alive": process.is_alive,
                    "draining": process.draining,
                    "lag": lag(process.left_ms),
                    "serves": [lease.account for lease in self.membership.leases if _is_held_by(lease, process.id)],
                }
                for process in self.membership.processes
            ],
            "leases": [
                {
                    "account": lease.account,
                    "holder": "" if lease.is_free else lease.holder,
                    "epoch": lease.epoch,
                    "since": 0 if lease.is_free else lease.since,
                    "lag": 0.0 if lease.is_free else lag(lease.left_ms),
                }
                for lease in self.membership.leases
            ],
        }


def _is_held_by(lease: LeaseRow, process: str) -> bool:
    return lease.holder == process and not lease.is_free
