"""Health of the accounts and of the process: what `/readyz`, `status`, the STATUS= line and the watchdog read.

Accounts write their state here; nothing is decided here. Times are milliseconds since the epoch. Only deadlines for
progress are in seconds of Trio's clock, so that a correction of the wall clock does not look like a hang.
"""

from collections.abc import Callable, Sequence
from typing import Any

import trio
from attrs import asdict, evolve

from oc_trio.classes import frozen
from oc_trio.ids import AccountId
from oc_trio.telemetry.account_status import (
    CallbackStatus,
    CatchUpStatus,
    CommandsStatus,
    ListenerStatus,
    SecondGateway,
)
from oc_trio.telemetry.membership_status import MembershipStatus
from oc_trio.telemetry.model_calls import ModelCalls
from oc_trio.telemetry.pauses import Pauses
from oc_trio.telemetry.reload_status import ReloadStatus


@frozen
class AccountHealth:
    """The state of one account for operators. `state` is a connection state's name, or stopped.

    `notes` are sentences about degraded functions of a running account.
    """

    account: AccountId
    state: str = "starting"
    detail: str = ""
    bot: str = ""
    since: int = 0
    last_event_at: int = 0
    last_live_at: int = 0
    notes: tuple[str, ...] = ()
    catch_up: CatchUpStatus = CatchUpStatus()
    commands: CommandsStatus = CommandsStatus()
    callbacks: CallbackStatus = CallbackStatus()
    second_gateway: tuple[SecondGateway, ...] = ()

    @property
    def is_live(self) -> bool:
        return self.state == "live"


class Health:
    """The current `AccountHealth` of every account, and the gateway's own phase."""

    def __init__(self, now_ms: Callable[[], int], clock: Callable[[], float] = trio.current_time) -> None:
        self._now_ms = now_ms
        self._clock = clock
        self._accounts: dict[AccountId, AccountHealth] = {}
        # By subject, the sentences that hold now: what was said before is not logged again.
        self._notes: dict[AccountId, dict[str, tuple[str, ...]]] = {}
        self.phase = "starting"
        self.started_at = now_ms()
        # By the name of each part that has promised progress: when it is late.
        self._due: dict[str, float] = {}
        self.pauses = Pauses(clock)
        self.models = ModelCalls(now_ms)
        self.listener = ListenerStatus()
        self.reload = ReloadStatus()
        # Where several processes may share the journal.
        self.membership: MembershipStatus | None = None

    def reload_begins(self) -> None:
        """A reload has begun; they are made one at a time."""
        self.reload = evolve(self.reload, begun=self.reload.begun + 1)

    def reload_ended(self, **outcome: Any) -> None:
        """The reload that began last has ended; `outcome` are fields of `ReloadStatus`, the others are empty."""
        begun = self.reload.begun
        self.reload = ReloadStatus(begun=begun, ended=begun, at=self._now_ms(), **outcome)

    def update(self, account: AccountId, **changes: Any) -> None:
        """Change some fields; `since` moves when `state` does."""
        old = self._accounts.get(account) or AccountHealth(account, since=self._now_ms())
        if changes.get("state", old.state) != old.state:
            changes["since"] = self._now_ms()
        if changes.get("state") == "live":
            changes["last_live_at"] = self._now_ms()
        self._accounts[account] = evolve(old, **changes)

    def note(self, account: AccountId, subject: str, texts: Sequence[str]) -> tuple[str, ...]:
        """Replace the notes about a subject; returns those that are new."""
        notes = self._notes.setdefault(account, {})
        new = tuple(text for text in texts if text not in notes.get(subject, ()))
        notes[subject] = tuple(texts)
        self.update(account, notes=tuple(f"{name}: {text}" for name in sorted(notes) for text in notes[name]))
        return new

    def called_back(self, account: AccountId, kind: str) -> None:
        """A genuine call came: `kind` is "command" or "click"."""
        callbacks = self.account(account).callbacks
        now = self._now_ms()
        callbacks = evolve(callbacks, command_at=now) if kind == "command" else evolve(callbacks, click_at=now)
        self.update(account, callbacks=callbacks)

    def refused_call(self, account: AccountId, why: str) -> None:
        """A call was refused, for the reason `why`."""
        callbacks = evolve(self.account(account).callbacks, refused_at=self._now_ms(), refused=why)
        self.update(account, callbacks=callbacks)

    def forget(self, account: AccountId) -> None:
        """Forget an account that is no longer in the configuration."""
        self._accounts.pop(account, None)
        self._notes.pop(account, None)

    def progress(self, part: str, *, within_s: float) -> None:
        """`part` made progress, and is stuck if it makes none within `within_s` seconds."""
        self._due[part] = self._clock() + within_s

    def finished(self, part: str) -> None:
        """`part` has ended regularly: no progress is expected of it any more."""
        self._due.pop(part, None)

    def stuck_parts(self) -> tuple[str, ...]:
        """Parts that are overdue; systemd's watchdog is not notified while there are any."""
        now = self._clock()
        return tuple(sorted(part for part, due in self._due.items() if due < now))

    def account(self, account: AccountId) -> AccountHealth:
        return self._accounts.get(account) or AccountHealth(account)

    @property
    def accounts(self) -> tuple[AccountHealth, ...]:
        return tuple(self._accounts[key] for key in sorted(self._accounts))

    @property
    def any_live(self) -> bool:
        return any(account.is_live for account in self._accounts.values())

    @property
    def is_ready(self) -> bool:
        """Whether people are served: by this process, or by others whom it can replace."""
        membership = self.membership
        is_standby = membership is not None and not membership.holds_any and not membership.problem
        return self.phase == "serving" and (self.any_live or is_standby)

    def status_line(self) -> str:
        """One line for systemd's STATUS=."""
        parts = [
            f"{health.account}: {health.state}" + (f" as @{health.bot}" if health.bot else "")
            for health in self.accounts
        ]
        line = f"{self.phase}; " + ", ".join(parts) if parts else self.phase
        is_cut_off = self.membership is not None and self.membership.problem
        return f"{line}; the database does not answer" if is_cut_off else line

    def snapshot(self) -> dict[str, object]:
        """The same for machines: plain JSON values."""
        return {
            "phase": self.phase,
            "startedAt": self.started_at,
            "ready": self.is_ready,
            "accounts": [asdict(health) for health in self.accounts],
            "pauses": self.pauses.current(),
            "models": self.models.current(),
            "listener": asdict(self.listener),
            "reload": asdict(self.reload),
            **({} if self.membership is None else {"membership": self.membership.to_json(self._clock())}),
        }
