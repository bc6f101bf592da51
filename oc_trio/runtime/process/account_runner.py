"""Runs an account with what the accounts of this process share; called again by the supervisor after a failure."""

from collections.abc import Callable, Mapping

import trio
from attrs import field

from oc_trio.classes import frozen
from oc_trio.core.second_gateway import Installation
from oc_trio.errors import StoreError
from oc_trio.ids import AccountId
from oc_trio.lease import Lease
from oc_trio.mattermost.budget import RateBudget
from oc_trio.mattermost.transport import open_server
from oc_trio.runtime.account.account import run_account
from oc_trio.runtime.account.dependencies import Dependencies
from oc_trio.runtime.account.live_accounts import LiveAccounts
from oc_trio.runtime.account.parts import AccountInputs
from oc_trio.runtime.account.token import Token
from oc_trio.runtime.agents import AgentTable
from oc_trio.runtime.drain import Drain
from oc_trio.runtime.handlers.public_port import PublicPort
from oc_trio.runtime.policies import net_policy
from oc_trio.runtime.process.refunds import Refunds
from oc_trio.runtime.process.supervisor import AccountPlan, is_journal_failure
from oc_trio.runtime.schedule.job_table import JobTable
from oc_trio.runtime.tools.mcp_servers import ToolServers
from oc_trio.store.store import Store
from oc_trio.telemetry.health import Health
from oc_trio.telemetry.metrics import Metrics


@frozen(eq=False)
class AccountRunner:
    """One for the process. `store` is the journal without any account's fence; `ready` is set whenever an account goes
    live, `environ` gives the variables that a token may come from, `keep_secret` keeps what it is given out of the log.
    """

    store: Store
    installation: Installation
    agents: AgentTable
    tool_servers: ToolServers
    dependencies: Dependencies
    port: PublicPort
    jobs: JobTable
    live: LiveAccounts
    health: Health
    metrics: Metrics
    ready: trio.Event
    refunds: Refunds
    environ: Callable[[], Mapping[str, str]]
    keep_secret: Callable[[str], None]
    # Accounts whose last run was ended by a failure of the journal, or lost its lease.
    journal_failed: set[AccountId] = field(init=False, factory=set)
    # By base URL, and kept when an account is started anew: what the server has said of its limits still holds.
    _budgets: dict[str, RateBudget] = field(init=False, factory=dict)

    async def serve(self, plan: AccountPlan, drain: Drain, lease: Lease) -> None:
        """Serve an account until it is drained, fails, or loses its lease. Turns that were ended by the journal's
        failure, or the loss of the lease, count no try.
        """
        store = self.store if lease.is_unlimited else self.store.fenced(lease.fence)
        if plan.id in self.journal_failed:
            await store.obligations.refund_attempt(plan.id)
            # Only now: a journal that fails again leaves it to the next run.
            self.journal_failed.discard(plan.id)
        try:
            await self._run(plan, drain, lease, store)
        except (StoreError, ExceptionGroup) as problem:
            if lease.is_sure and is_journal_failure(problem):
                self.journal_failed.add(plan.id)
            raise
        finally:
            if not lease.is_sure and self.refunds.take(plan.id):
                self.journal_failed.add(plan.id)

    async def _run(self, plan: AccountPlan, drain: Drain, lease: Lease, store: Store) -> None:
        account = plan.account
        transport = self.dependencies.transport(account.base_url, net_policy(account))
        # The server counts calls by address, so accounts on one server share what it allows.
        budget = self._budgets.setdefault(account.base_url, RateBudget())
        self.health.pauses.watch(f"Mattermost at {account.base_url}", lambda: budget.pause_left)
        tls = self.dependencies.ssl_context
        async with open_server(account.base_url, tls, budget=budget, http_transport=transport) as server:
            token = account.bot_token
            await run_account(
                AccountInputs(
                    id=plan.id,
                    settings=account,
                    policies=plan.policies,
                    server=server,
                    store=store,
                    agents=self.agents,
                    dependencies=self.dependencies,
                    token=Token(token, self.environ(), self.keep_secret),
                    metrics=self.metrics,
                    health=self.health,
                    ready=self.ready,
                    buttons=self.port.buttons(account, token.reveal),
                    tool_servers=self.tool_servers,
                    jobs=self.jobs,
                    lease=lease,
                    port=self.port,
                    idle_seconds=plan.idle_seconds,
                    installation=self.installation,
                    drain=drain,
                    live=self.live,
                )
            )
