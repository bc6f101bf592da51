"""Supervises the accounts: runs each in a task with a drain of its own, and restarts those that fail.

A failure is logged, and the account is started again after a pause that grows; the other accounts serve on. An account
whose lease is lost is cancelled where it stands, and that is no failure.
"""

from collections.abc import Awaitable, Callable, Iterable

import trio
from attrs import field

from oc_trio.classes import define, frozen
from oc_trio.config.accounts import Account
from oc_trio.core.backoff import RetryPolicy
from oc_trio.core.exception_groups import leaves
from oc_trio.errors import FenceRefused, LeaseLost, OcTrioError, RowRefused, StoreError, StoreUnusable
from oc_trio.ids import AccountId
from oc_trio.lease import Lease
from oc_trio.runtime.clock import Clock
from oc_trio.runtime.drain import Drain
from oc_trio.runtime.policies import Policies
from oc_trio.telemetry.health import Health
from oc_trio.telemetry.log import get_logger
from oc_trio.telemetry.metrics import Metrics
from oc_trio.telemetry.tracebacks import in_words

log = get_logger(part="supervisor")

# What failed by a defect will likely fail again: five minutes keep the log readable and the server undisturbed.
RESTART = RetryPolicy(initial=2.0, maximum=300.0)
# A full disk or an absent database is no defect of the account: people are to be answered soon after it is repaired.
JOURNAL_RESTART = RetryPolicy(initial=2.0, maximum=30.0)
# An account that ran for longer begins with the shortest pause again.
STABLE_SECONDS = 300.0


@frozen
class AccountPlan:
    """Everything that the configuration says about one account: equal plans mean that nothing has to change."""

    account: Account
    policies: Policies
    idle_seconds: float

    @property
    def id(self) -> AccountId:
        return AccountId(self.account.id)


@frozen(eq=False)
class _RunningAccount:
    plan: AccountPlan
    drain: Drain
    lease: Lease
    ended: trio.Event = field(factory=trio.Event)


@define(eq=False)
class AccountSupervisor:
    """Runs accounts as children of `nursery`; `serve` runs one until its drain is over."""

    nursery: trio.Nursery
    serve: Callable[[AccountPlan, Drain, Lease], Awaitable[None]]
    clock: Clock
    health: Health
    metrics: Metrics
    # Also during the pause before a restart: an account leaves it with its drain or its lease.
    _running: dict[AccountId, _RunningAccount] = field(init=False, factory=dict)
    _is_open: bool = field(init=False, default=True)

    @property
    def plans(self) -> dict[AccountId, AccountPlan]:
        """What runs now, or is being started again after a failure."""
        return {name: running.plan for name, running in self._running.items()}

    def start(self, plan: AccountPlan, *, drain_seconds: float, lease: Lease | None = None) -> trio.Event | None:
        """Run one more account, for as long as its `lease` lasts; the event is set when all its tasks have ended.

        Does nothing and returns None once `drain` was called.
        """
        if not self._is_open:
            return None
        lease = lease or Lease.unlimited(plan.id)
        running = self._running[plan.id] = _RunningAccount(plan, Drain(drain_seconds), lease)
        self.health.update(plan.id, state="starting", detail="")
        self.nursery.start_soon(self._supervise, running)
        return running.ended

    async def stop(self, accounts: Iterable[AccountId]) -> None:
        """Drain these accounts, all at the same time; return when they have ended."""
        # All drains begin before the first wait, so that they run at the same time.
        leaving = [self._running[name] for name in accounts if name in self._running]
        for running in leaving:
            running.drain.start()
        for running in leaving:
            await running.ended.wait()

    def begin_drain(self, account: AccountId, *, at_most: float) -> None:
        """Drain one account, whose turns have `at_most` that many seconds; returns at once."""
        running = self._running.get(account)
        if running is not None and not running.drain.requested.is_set():
            running.drain.seconds = min(running.drain.seconds, at_most)
            running.drain.start()

    def drain(self) -> None:
        """Drain all of them and start none any more."""
        self._is_open = False
        for running in self._running.values():
            running.drain.start()

    async def _supervise(self, running: _RunningAccount) -> None:
        """Run an account until its drain or the end of its lease; after a failure, which is logged, again."""
        try:
            with running.lease.hold():
                await self._run_until_drained(running)
        except Exception as problem:
            # What clean-up met that still wanted the server or the journal, when both were another process's.
            if running.lease.is_sure or _is_unusable(problem):
                raise
            log.debug("an account ended with its lease", account=running.plan.id, problem=in_words(problem))
        finally:
            if self._running.get(running.plan.id) is running:
                del self._running[running.plan.id]
            running.ended.set()

    # Not `retry.retrying`, which repeats a call after errors of one kind until it has a value: here any failure counts,
    # a long run makes the earlier ones forgotten, and a drain ends the pause.
    async def _run_until_drained(self, running: _RunningAccount) -> None:
        failures = 0
        while not running.drain.requested.is_set():
            began = trio.current_time()
            try:
                await self.serve(running.plan, running.drain, running.lease)
                return
            # Not an error boundary for one task: whatever failed, the account as a whole is started again.
            except Exception as problem:
                if _is_unusable(problem):
                    raise  # no restart of the account repairs the journal: the gateway ends
                if any(isinstance(cause, (FenceRefused, LeaseLost)) for cause in leaves(problem)):
                    running.lease.lose("another process serves the account by now")
                if not running.lease.is_sure:
                    return
                failures = 0 if trio.current_time() - began > STABLE_SECONDS else failures + 1
                policy = JOURNAL_RESTART if is_journal_failure(problem) else RESTART
                wait = policy.delay(max(0, failures - 1), self.clock.random.random())
                self._note_failure(running.plan.id, problem, wait)
            # The pause ends early with the drain: a stop must not wait for a restart that is not wanted any more.
            with trio.move_on_after(wait):
                await running.drain.requested.wait()

    def _note_failure(self, account: AccountId, problem: Exception, wait: float) -> None:
        causes = tuple(leaves(problem))
        error_text = "; ".join(dict.fromkeys(map(in_words, causes)))
        is_foreign = any(not isinstance(cause, OcTrioError) for cause in causes)
        self.metrics.restarts.labels(account).inc()
        self.health.update(account, state="failed", detail=error_text)
        log.error(
            "the journal failed; starting the account again"
            if is_journal_failure(problem)
            else "account failed; starting it again",
            account=account,
            seconds=round(wait, 1),
            exc_info=problem if is_foreign else None,
            problem=error_text,
        )


def is_journal_failure(problem: BaseException) -> bool:
    """Whether the journal failed and nothing else did: no defect of the account or of the program.

    A row that a working journal refuses for what it holds (`RowRefused`) is such a defect.
    """
    return all(isinstance(cause, StoreError) and not isinstance(cause, RowRefused) for cause in leaves(problem))


def _is_unusable(problem: BaseException) -> bool:
    return any(isinstance(cause, StoreUnusable) for cause in leaves(problem))
