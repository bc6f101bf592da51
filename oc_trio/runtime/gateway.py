"""The root of the supervision tree: signals, notifier, journal, agents, and one branch per account.

An account's failure is its own: it is logged and started again with growing pauses, the others serve on. A crash of
the gateway itself makes the process exit non-zero.
"""

import signal
import sqlite3
from collections.abc import Mapping

import httpx
import trio
from attrs import define, field

from oc_trio.config.accounts import Account
from oc_trio.config.load import Loaded
from oc_trio.core.backoff import RetryPolicy
from oc_trio.errors import (
    ConfigError,
    MattermostError,
    MattermostRejected,
    MattermostUnavailable,
    OcTrioError,
    Problem,
)
from oc_trio.ids import AccountId
from oc_trio.mattermost.client import Api
from oc_trio.mattermost.guarded import AddressRefused
from oc_trio.mattermost.transport import Origin, Transport, open_origin
from oc_trio.runtime.account import AccountParts, run_account
from oc_trio.runtime.admin import run_admin
from oc_trio.runtime.agents import AgentTable, build_agents
from oc_trio.runtime.buttons import ButtonMaker
from oc_trio.runtime.drain import Drain
from oc_trio.runtime.edges import callback_url
from oc_trio.runtime.journal_care import run_pruning, watch_journal
from oc_trio.runtime.mcp_servers import ToolServers, open_tool_servers
from oc_trio.runtime.notifier import Notifier, serve_notifier
from oc_trio.runtime.policies import net_policy, policies
from oc_trio.runtime.signals import serve_signals
from oc_trio.runtime.strikes import Strikes
from oc_trio.runtime.token import Token
from oc_trio.runtime.wiring import Wiring
from oc_trio.store.store import Store
from oc_trio.telemetry.health import Health
from oc_trio.telemetry.log import Redactor, get_logger
from oc_trio.telemetry.metrics import Metrics

log = get_logger(part="gateway")

_RESTART = RetryPolicy(initial=2.0, maximum=300.0)
_STABLE_SECONDS = 300.0
# A process that was told twice to end has no time for a server that does not answer: the kernel ends it then, which
# costs no more than a crash, and nothing is lost by one.
_ABORT_SECONDS = 3


@define(eq=False)
class Gateway:
    """A gateway that serves until `drain` is over. Make one, then `await gateway.run()`."""

    loaded: Loaded
    store_location: str | sqlite3.Connection
    wiring: Wiring = field(factory=Wiring)
    metrics: Metrics = field(factory=Metrics)
    drain: Drain = field(factory=Drain)
    environ: Mapping[str, str] = field(factory=dict)
    redactor: Redactor = field(factory=Redactor)
    has_admin: bool = False
    health: Health = field(init=False)
    ready: trio.Event = field(init=False, factory=trio.Event)
    _servers: ToolServers = field(init=False, factory=ToolServers)
    _strikes: Strikes = field(init=False, factory=Strikes)
    _scope: trio.CancelScope = field(init=False, factory=trio.CancelScope)

    def __attrs_post_init__(self) -> None:
        self.health = Health(self.wiring.env.now_ms)
        self.drain.seconds = self.loaded.config.gateway.drain

    def stop(self, why: str) -> None:
        """Begin the drain; the first call counts."""
        if not self.drain.requested.is_set():
            log.info("stopping", why=why, budget=self.drain.seconds)
            self.health.phase = "draining"
            self.drain.start()

    def abort(self) -> None:
        """End at once; the journal keeps what is unfinished."""
        self._scope.cancel()

    async def run(
        self, *, with_signals: bool = True, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve until drained; started when the accounts have been started, live or not."""
        notifier = Notifier(self.environ)
        with self._scope:
            async with self.wiring.open_store(self.store_location) as store, _open_models(self.wiring) as http:
                agents = build_agents(self.loaded.config, http, make=self.wiring.make_agent)
                await self._preflight()
                async with open_tool_servers(self.loaded.config.mcp) as self._servers, trio.open_nursery() as nursery:
                    if with_signals:
                        await nursery.start(self._signals)
                    await nursery.start(serve_notifier, notifier, self.health, self.ready)
                    nursery.start_soon(run_pruning, store, self.loaded.config.store, self.wiring.env.now_ms)
                    nursery.start_soon(watch_journal, store, self.health)
                    if self.has_admin:
                        nursery.start_soon(self._admin, store)
                    self.health.phase = "serving"
                    async with trio.open_nursery() as accounts:
                        for account in self.loaded.accounts.values():
                            accounts.start_soon(self._keep_account, account, store, agents)
                        for broken, problems in self.loaded.broken.items():
                            self.health.update(broken, state="misconfigured", detail="; ".join(map(str, problems)))
                        accounts.start_soon(self._announce_stop, notifier)
                        task_status.started()
                    nursery.cancel_scope.cancel()
        self.health.phase = "stopped"

    async def _admin(self, store: Store) -> None:
        now_ms = self.wiring.env.now_ms
        await run_admin(self.loaded, self.health, self.metrics, store, ready=self.ready, now_ms=now_ms)

    async def _preflight(self) -> None:
        """Fail at once, and in words, where no account could be served; one that can is reason enough to go on."""
        failures: list[OcTrioError] = []
        async with trio.open_nursery() as nursery:
            for account in self.loaded.accounts.values():
                nursery.start_soon(self._probe, account, failures)
        if failures and len(failures) == len(self.loaded.accounts):
            raise failures[0]

    async def _probe(self, account: Account, failures: list[OcTrioError]) -> None:
        transport = self.wiring.transport(account.base_url, net_policy(account))
        async with open_origin(account.base_url, self.wiring.ssl_context, http_transport=transport) as origin:
            try:
                await Api(Transport(origin, account.bot_token.reveal)).users.me()
            except AddressRefused as refusal:
                path = f"channels.mattermost.baseUrl of account {account.id}"
                failures.append(ConfigError(Problem(path, str(refusal))))
            except MattermostRejected as refusal:
                failures.append(
                    MattermostRejected(
                        f"{account.base_url} refuses the token of account {account.id}: {refusal}",
                        status=refusal.status,
                        code=refusal.code,
                    )
                )
            except MattermostError as problem:
                failures.append(MattermostUnavailable(f"{account.base_url} can't be reached: {problem}"))

    async def _signals(self, task_status: trio.TaskStatus[None]) -> None:
        async def reload() -> None:
            log.warning("changes of the configuration need a restart")

        def abort() -> None:
            signal.alarm(_ABORT_SECONDS)
            self.abort()

        await serve_signals(drain=self.stop, abort=abort, reload=reload, task_status=task_status)

    async def _announce_stop(self, notifier: Notifier) -> None:
        await self.drain.requested.wait()
        notifier.stopping(self.drain.seconds + self.drain.seal_seconds)

    async def _keep_account(self, account: Account, store: Store, agents: AgentTable) -> None:
        """Run an account until the drain; a failure is logged and the account started again."""
        failures = 0
        while not self.drain.requested.is_set():
            began = trio.current_time()
            try:
                await self._run_account(account, store, agents)
                return
            except (Exception, ExceptionGroup) as problem:
                stable = trio.current_time() - began > _STABLE_SECONDS
                failures = 0 if stable else failures + 1
                wait = _RESTART.delay(failures, self.wiring.env.random.random())
                self.metrics.restarts.labels(account.id).inc()
                self.health.update(account.id, state="failed", detail=str(problem))
                log.error(
                    "account failed; starting it again",
                    account=account.id,
                    seconds=round(wait, 1),
                    exc_info=problem if not isinstance(problem, OcTrioError) else None,
                    problem=str(problem),
                )
            with trio.move_on_after(wait):
                await self.drain.requested.wait()

    async def _run_account(self, account: Account, store: Store, agents: AgentTable) -> None:
        transport = self.wiring.transport(account.base_url, net_policy(account))
        async with open_origin(account.base_url, self.wiring.ssl_context, http_transport=transport) as origin:
            parts = self._parts(account, origin, store, agents)
            await run_account(parts)

    def _parts(self, account: Account, origin: Origin, store: Store, agents: AgentTable) -> AccountParts:
        return AccountParts(
            id=AccountId(account.id),
            settings=account,
            policies=policies(self.loaded.config, account),
            origin=origin,
            store=store,
            agents=agents,
            wiring=self.wiring,
            token=Token(account.bot_token, self.environ, self.redactor.add),
            metrics=self.metrics,
            health=self.health,
            ready=self.ready,
            buttons=ButtonMaker(account.bot_token.reveal, callback_url(self.loaded.config, account), self.wiring.env),
            servers=self._servers,
            idle_seconds=self.loaded.config.session.idle,
            drain=self.drain,
            strikes=self._strikes,
        )


def _open_models(wiring: Wiring) -> httpx.AsyncClient:
    """One pool for all model endpoints; deadlines are the agents', and how many turns run at once is theirs too."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=50)
    verify = wiring.ssl_context if wiring.ssl_context is not None else True
    return httpx.AsyncClient(verify=verify, timeout=None, limits=limits)  # noqa: S113 - deadlines are Trio's
