"""What operators do on the status page or over the admin socket: stop a turn, let people in or dismiss them.

Each does what its command or chat command does, by the same function, and is logged with its result.
"""

from collections.abc import Callable, Mapping

from oc_trio.admin.operator_page import ActionRefused, PerformAction
from oc_trio.classes import frozen
from oc_trio.config.load import Loaded
from oc_trio.errors import CallbackRefused, StoreError
from oc_trio.ids import AccountId, SessionKey
from oc_trio.runtime.account.dependencies import Dependencies
from oc_trio.runtime.account.live_accounts import LiveAccounts
from oc_trio.runtime.account.pairing_decision import approve, dismiss
from oc_trio.runtime.handlers.relay import Relay, stop_elsewhere
from oc_trio.store.store import Store
from oc_trio.telemetry.log import get_logger

log = get_logger(part="operator_actions")

STOP, APPROVE, DISMISS = "stop", "approve", "dismiss"
NOTIFY = "notify"


@frozen(eq=False)
class OperatorActions:
    """`loaded` gives the configuration as it is now, `relay` the way to accounts that other processes serve."""

    accounts: LiveAccounts
    store: Store
    loaded: Callable[[], Loaded]
    dependencies: Dependencies
    now_ms: Callable[[], int]
    relay: Relay | None = None

    def by_name(self) -> Mapping[str, PerformAction]:
        return {STOP: self.stop, APPROVE: self.approve, DISMISS: self.dismiss}

    async def stop(self, fields: Mapping[str, str]) -> str:
        """`session`, `account` (may be empty): stop the running turn, and drop what waits. Raises ActionRefused."""
        session, account = _required(fields, "session"), _account(fields)
        stopped = self.accounts.stop(SessionKey(session), account)
        if not stopped and not await self._stop_elsewhere(SessionKey(session), account):
            raise ActionRefused("Nothing is running there any more.")
        log.info("an operator stopped a turn", by="local", session=session, accounts=stopped)
        return f"Stopped: {session}"

    async def _stop_elsewhere(self, session: SessionKey, account: AccountId | None) -> bool:
        """Whether another process had anything to stop. Raises ActionRefused."""
        if self.relay is None or any(live.id == account for live in self.accounts):
            return False
        try:
            is_stopped = await stop_elsewhere(self.relay, session, account)
        except (StoreError, CallbackRefused) as problem:
            raise ActionRefused(f"The journal failed, and nothing was stopped: {problem}") from problem
        if is_stopped is None:
            raise ActionRefused("No process that serves the account answers now, and nothing was stopped: try again.")
        return is_stopped

    async def approve(self, fields: Mapping[str, str]) -> str:
        """`code`, `account` (may be empty), `notify`: let somebody in. Raises ActionRefused."""
        code, is_notified = _required(fields, "code"), bool(fields.get(NOTIFY))
        try:
            approval = await approve(
                self.store,
                self.loaded(),
                _account(fields),
                code,
                self.now_ms(),
                notify=is_notified,
                dependencies=self.dependencies,
            )
        except StoreError as problem:
            raise ActionRefused(f"The journal failed, and nobody was let in: {problem}") from problem
        if approval is None:
            raise ActionRefused("That request does not wait any more: it was answered, or is void.")
        row = approval.row
        log.info(
            "an operator let somebody in",
            by="local",
            account=row.account,
            user=row.user_id,
            notified=is_notified and not approval.problem,
        )
        done = f"@{row.name} may write to account {row.account} now"
        return f"{done}, but could not be told: {approval.problem}" if approval.problem else f"{done}."

    async def dismiss(self, fields: Mapping[str, str]) -> str:
        """`code`, `account` (may be empty): refuse a request. Raises ActionRefused."""
        code = _required(fields, "code")
        try:
            row = await dismiss(self.store, _account(fields), code)
        except StoreError as problem:
            raise ActionRefused(f"The journal failed, and nothing was changed: {problem}") from problem
        if row is None:
            raise ActionRefused("That request does not wait any more: it was answered, or is void.")
        log.info("an operator dismissed a request", by="local", account=row.account, user=row.user_id)
        return f"@{row.name} was not let in, and may ask again."


def _required(fields: Mapping[str, str], name: str) -> str:
    value = fields.get(name, "").strip()
    if not value:
        raise ActionRefused(f"The field {name} is missing.")
    return value


def _account(fields: Mapping[str, str]) -> AccountId | None:
    return AccountId(fields["account"].strip().lower()) if fields.get("account", "").strip() else None
