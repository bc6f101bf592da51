"""Watches several gateways while they run: who holds which lease, who writes, and how long an account is nobody's.

What it finds are broken promises, each as a sentence. It knows the database's clock, and who is alive.
"""

from collections.abc import Callable

import httpx
import trio
from attrs import define, field, frozen

from oc_trio.ids import AccountId
from tests.simulation.crash import PoweredConnection
from tests.simulation.journals import SharedJournal
from tests.simulation.scenario import now_ms

# The bound of a takeover, from the moment at which the holder was last well.
TAKEOVER_SECONDS = 10.0
_LOOK_SECONDS = 0.25
# What only the holder of an account's lease writes, each with the account in its rows.
_TABLES = (
    "seen",
    "obligations",
    "turns",
    "outbox",
    "watermarks",
    "resume_points",
    "sessions",
    "participation",
    "doubts",
)
# Asked before a process serves anything: whether the token is any good.
_FREE = ("GET", "/api/v4/users/me")


@frozen
class _Holder:
    """Who has a lease by the database; `is_valid` by its clock."""

    id: str
    is_valid: bool


@define(eq=False)
class FleetWatch:
    """`accounts` by the names of their bots. `is_well` tells of a process's id whether it proceeds and reaches the
    database, `candidates` since when each of those has been well that may serve an account.
    """

    journal: SharedJournal
    accounts: dict[str, AccountId]
    is_well: Callable[[str], bool]
    candidates: Callable[[], list[float]]
    problems: list[str] = field(factory=list)
    takeovers: int = 0
    _holders: dict[AccountId, str] = field(factory=dict)
    _nobody_since: dict[AccountId, float] = field(factory=dict)

    def note(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(f"{problem} at {trio.current_time():.1f} s")

    def holder(self, account: AccountId) -> _Holder:
        rows = self.journal.rows("SELECT holder, deadline FROM leases WHERE account = ?", account)
        return _Holder(rows[0][0], rows[0][1] > now_ms()) if rows else _Holder("", False)

    def requested(self, name: str, process: str, request: httpx.Request) -> None:
        """A process is about to send a request to Mattermost: nothing begins after its lease's end."""
        account = self.accounts.get(request.headers.get("Authorization", "").rpartition("-")[2])
        if account is None or (request.method, request.url.path) == _FREE:
            return
        holder = self.holder(account)
        if holder.id != process or not holder.is_valid:
            what = f"{request.method} {request.url.path.removeprefix('/api/v4')}"
            self.note(f"{name} sends {what} for {account} without its lease")

    def opened(self, connection: PoweredConnection) -> None:
        """Note the table and the account of each row that is written over that connection."""
        connection.create_function("sim_wrote", 2, connection.note_write)
        for table in _TABLES:
            for what in ("INSERT", "UPDATE"):
                connection.execute(
                    f"CREATE TEMP TRIGGER sim_{table}_{what} AFTER {what} ON main.{table}"
                    f" BEGIN SELECT sim_wrote('{table}', NEW.account); END"
                )

    def committed(self, name: str, process: str, written: set[tuple[str, str]]) -> None:
        """A process has written rows of these tables and accounts."""
        for table, account in sorted(written):
            holder = self.holder(AccountId(account))
            if holder.id != process:
                self.note(f"{name} writes {table} of {account}, which another process holds")

    async def run(self) -> None:
        """Look again and again until cancelled."""
        while True:
            await trio.sleep(_LOOK_SECONDS)
            for account in self.accounts.values():
                self._look(account)

    def _look(self, account: AccountId) -> None:
        holder, now = self.holder(account), trio.current_time()
        if holder.id and holder.id != self._holders.get(account):
            self.takeovers += 1
            self._holders[account] = holder.id
        if holder.is_valid and self.is_well(holder.id):
            self._nobody_since.pop(account, None)
            return
        since = self._nobody_since.setdefault(account, now)
        longest = max((now - max(since, each) for each in self.candidates()), default=0.0)
        if longest > TAKEOVER_SECONDS + _LOOK_SECONDS:
            self.note(f"nobody has taken {account} over")
