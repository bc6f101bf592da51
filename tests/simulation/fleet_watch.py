"""Watches several gateways while they run: who holds which lease, who writes, and how long an account is nobody's.

What it finds are broken promises, each as a sentence.
"""

from collections.abc import Callable, Iterable

import httpx
import trio
from attrs import define, field, frozen

from oc_trio.ids import AccountId
from oc_trio.lease import LEASE_SECONDS
from tests.simulation.crash import PoweredConnection
from tests.simulation.journals import SharedJournal
from tests.simulation.scenario import now_ms

# From the moment at which the holder was last well, or somebody who could take over is.
TAKEOVER_SECONDS = 10.0
_LOOK_SECONDS = 0.25
# A process that has come is waited for, then accounts move by a drain.
_SPREAD_SECONDS = 20.0
# What only the holder of an account's lease writes, each with the account in its rows. (A session may be of two.)
_TABLES = ("seen", "obligations", "turns", "outbox", "watermarks", "resume_points", "participation", "doubts")
# Asked before a process serves anything: whether the token is any good.
_FREE = ("GET", "/api/v4/users/me")


@frozen
class Member:
    """A process as it is now: `is_well` while it proceeds and reaches the database. `ready_since` is when it began to
    do so whenever it tries, and to want accounts.
    """

    id: str
    is_well: bool
    ready_since: float


@frozen
class _Holder:
    """Who has a lease by the database; `is_valid` by its clock. It was well when it renewed the lease last."""

    id: str
    is_valid: bool
    renewed_at: float = 0.0


@define(eq=False)
class FleetWatch:
    """`accounts` by the names of their bots."""

    journal: SharedJournal
    accounts: dict[str, AccountId]
    members: Callable[[], Iterable[Member]]
    problems: list[str] = field(factory=list)
    takeovers: int = 0
    moved_at: float = 0.0
    _known: set[str] = field(factory=set)
    _holders: dict[AccountId, str] = field(factory=dict)
    _nobody_since: dict[AccountId, float] = field(factory=dict)

    def note(self, problem: str) -> None:
        """Remember each problem once, with the time at which it came up first."""
        if problem not in self._known:
            self._known.add(problem)
            self.problems.append(f"{problem}, at {trio.current_time():.3f} s")

    def holder(self, account: AccountId) -> _Holder:
        rows = self.journal.rows("SELECT holder, deadline FROM leases WHERE account = ?", account)
        if not rows:
            return _Holder("", False)
        holder, deadline = rows[0]
        left = (deadline - now_ms()) / 1000
        return _Holder(holder, left > 0.0, trio.current_time() + left - LEASE_SECONDS)

    def requested(self, name: str, process: str, request: httpx.Request) -> None:
        """A process is about to send a request to Mattermost: none begins after its lease's end."""
        account = self.accounts.get(request.headers.get("Authorization", "").rpartition("-")[2])
        if account is None or (request.method, request.url.path) == _FREE:
            return
        holder = self.holder(account)
        if holder.id != process or not holder.is_valid:
            self.note(f"{name} sends a {request.method} for {account} without its lease")

    def opened(self, connection: PoweredConnection) -> None:
        """Have the table and the account of each row noted that is written over that connection."""
        connection.create_function("sim_wrote", 2, connection.note_write)
        for table in _TABLES:
            for what in ("INSERT", "UPDATE"):
                connection.execute(
                    f"CREATE TEMP TRIGGER sim_{table}_{what} AFTER {what} ON main.{table}"
                    f" BEGIN SELECT sim_wrote('{table}', NEW.account); END"
                )

    def committed(self, name: str, process: str, written: Iterable[tuple[str, str]]) -> None:
        """A process has written rows of these tables and accounts."""
        for table, account in sorted(written):
            if self.holder(AccountId(account)).id != process:
                self.note(f"{name} writes {table} of {account}, which it does not hold")

    def look_at_spread(self) -> None:
        """When nothing has happened for a while: no process has two accounts more than another one."""
        now, loads = trio.current_time(), dict[str, int]()
        for member in self.members():
            if member.is_well and now - member.ready_since > _SPREAD_SECONDS:
                loads[member.id] = sum(self.holder(account).id == member.id for account in self.accounts.values())
        if loads and max(loads.values()) - min(loads.values()) > 1:
            self.note(f"accounts are not spread evenly: {loads}")

    async def run(self) -> None:
        """Look again and again until cancelled."""
        while True:
            await trio.sleep(_LOOK_SECONDS)
            members = {member.id: member for member in self.members()}
            for account in self.accounts.values():
                self._look(account, members)

    def _look(self, account: AccountId, members: dict[str, Member]) -> None:
        holder, now = self.holder(account), trio.current_time()
        if holder.id and holder.id != self._holders.get(account):
            self.takeovers += 1
            self._holders[account], self.moved_at = holder.id, now
            self._nobody_since.pop(account, None)
        if holder.is_valid and holder.id in members and members[holder.id].is_well:
            self._nobody_since.pop(account, None)
            return
        since = max(self._nobody_since.setdefault(account, now), holder.renewed_at)
        waited = [now - max(since, member.ready_since) for member in members.values() if member.is_well]
        if max(waited, default=0.0) > TAKEOVER_SECONDS + _LOOK_SECONDS:
            self.note(f"nobody has taken {account} over for {TAKEOVER_SECONDS:g} s")
