"""The accounts that run: a task each, a drain each, and a restart rule that one account's failure can't leave.

A failure is logged and the account started again with growing pauses; the others serve on.
"""

from collections.abc import Awaitable, Callable, Iterable

import trio
from attrs import define, field, frozen

from oc_trio.config.accounts import Account
from oc_trio.core.backoff import RetryPolicy
from oc_trio.errors import OcTrioError, StoreError, StoreUnusable
from oc_trio.ids import AccountId
from oc_trio.runtime.clock import Clock
from oc_trio.runtime.drain import Drain
from oc_trio.runtime.policies import Policies
from oc_trio.telemetry.health import Health
from oc_trio.telemetry.log import get_logger
from oc_trio.telemetry.metrics import Metrics
from oc_trio.telemetry.tracebacks import in_words

log = get_logger(part="supervisor")

RESTART = RetryPolicy(initial=2.0, maximum=300.0)
# A full disk or an absent database is no defect of the account: people are answered soon after it is made good.
JOURNAL_RESTART = RetryPolicy(initial=2.0, maximum=30.0)
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
class _Running:
    plan: AccountPlan
    drain: Drain
    ended: trio.Event = field(factory=trio.Event)


@define(eq=False)
class AccountSupervisor:
    """Runs accounts as children of `nursery`; `serve` runs one until its drain is over."""

    nursery: trio.Nursery
    serve: Callable[[AccountPlan, Drain], Awaitable[None]]
    clock: Clock
    health: Health
    metrics: Metrics
    _members: dict[AccountId, _Running] = field(init=False, factory=dict)
    _is_open: bool = field(init=False, default=True)

    @property
    def plans(self) -> dict[AccountId, AccountPlan]:
        """What runs now, or is being started again after a failure."""
        return {name: member.plan for name, member in self._members.items()}

    def start(self, plan: AccountPlan, *, drain_seconds: float) -> None:
        """Run one more account; nothing once the fleet drains."""
        if self._is_open:
            member = self._members[plan.id] = _Running(plan, Drain(drain_seconds))
            self.health.update(plan.id, state="starting", detail="")
            self.nursery.start_soon(self._keep, member)

    async def stop(self, accounts: Iterable[AccountId]) -> None:
        """Drain these accounts, all at the same time; return when they have ended."""
        leaving = [self._members[name] for name in accounts if name in self._members]
        for member in leaving:
            member.drain.start()
        for member in leaving:
            await member.ended.wait()

    def drain(self) -> None:
        """Drain all of them and start none any more."""
        self._is_open = False
        for member in self._members.values():
            member.drain.start()

    async def _keep(self, member: _Running) -> None:
        """Run an account until its drain; a failure is logged and the account started again."""
        failures = 0
        try:
            while not member.drain.requested.is_set():
                began = trio.current_time()
                try:
                    await self.serve(member.plan, member.drain)
                    return
                except (Exception, ExceptionGroup) as problem:
                    if any(isinstance(cause, StoreUnusable) for cause in _leaves(problem)):
                        raise  # no start of the account mends the journal: the gateway ends with it
                    failures = 0 if trio.current_time() - began > STABLE_SECONDS else failures + 1
                    policy = JOURNAL_RESTART if is_journals(problem) else RESTART
                    wait = policy.delay(max(0, failures - 1), self.clock.random.random())
                    self._note_failure(member.plan.id, problem, wait)
                with trio.move_on_after(wait):
                    await member.drain.requested.wait()
        finally:
            if self._members.get(member.plan.id) is member:
                del self._members[member.plan.id]
            member.ended.set()

    def _note_failure(self, account: AccountId, problem: Exception, wait: float) -> None:
        causes = tuple(_leaves(problem))
        words = "; ".join(dict.fromkeys(map(in_words, causes)))
        is_foreign = any(not isinstance(cause, OcTrioError) for cause in causes)
        self.metrics.restarts.labels(account).inc()
        self.health.update(account, state="failed", detail=words)
        log.error(
            "the journal failed; starting the account again"
            if is_journals(problem)
            else "account failed; starting it again",
            account=account,
            seconds=round(wait, 1),
            exc_info=problem if is_foreign else None,
            problem=words,
        )


def is_journals(problem: BaseException) -> bool:
    """Whether the journal alone is to blame: that says nothing about the account, nor about the program."""
    return all(isinstance(cause, StoreError) for cause in _leaves(problem))


def _leaves(problem: BaseException) -> Iterable[BaseException]:
    if isinstance(problem, BaseExceptionGroup):
        for inner in problem.exceptions:
            yield from _leaves(inner)
    else:
        yield problem
