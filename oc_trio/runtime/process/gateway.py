"""The root of the supervision tree: starts journal, agents, signals, notifier, public port and the accounts.

A crash of the gateway itself makes the process exit non-zero. What an account is run with is up to `AccountRunner`.
"""

import math
import os
import secrets
import signal
import socket
import sqlite3
from collections.abc import Mapping

import httpx
import trio
from attrs import evolve, field

from oc_trio import __version__
from oc_trio.agent.http_client import open_model_client
from oc_trio.classes import define
from oc_trio.config.known_secrets import secrets_of
from oc_trio.config.load import Loaded
from oc_trio.core.membership import ProcessInfo
from oc_trio.core.relayed import NoticeKind
from oc_trio.core.second_gateway import Installation
from oc_trio.runtime.account.dependencies import Dependencies
from oc_trio.runtime.account.live_accounts import LiveAccounts
from oc_trio.runtime.account.round_trips import RoundTrip, run_round_trips
from oc_trio.runtime.agents import AgentTable, build_agents
from oc_trio.runtime.drain import Drain
from oc_trio.runtime.handlers.public_port import PublicPort
from oc_trio.runtime.handlers.relay import Relay
from oc_trio.runtime.process.account_runner import AccountRunner
from oc_trio.runtime.process.admin import AdminInputs, run_admin
from oc_trio.runtime.process.journal_maintenance import catchup_reach_ms, run_pruning, watch_journal
from oc_trio.runtime.process.lease_keeper import LeaseKeeper
from oc_trio.runtime.process.lease_status import LeaseStatus
from oc_trio.runtime.process.placement import Changes, Placement, SoleProcess, plans
from oc_trio.runtime.process.preflight import run_preflight
from oc_trio.runtime.process.refunds import Refunds
from oc_trio.runtime.process.reload import Reloader, Reread, rereader
from oc_trio.runtime.process.signals import reload_when_wanted, serve_signals
from oc_trio.runtime.process.supervisor import AccountSupervisor
from oc_trio.runtime.process.systemd import Notifier, serve_notifier
from oc_trio.runtime.schedule.job_table import JobTable
from oc_trio.runtime.tools.mcp_servers import ToolServers, open_tool_servers
from oc_trio.store.leases import Leases
from oc_trio.store.notify import LEASES, Notices
from oc_trio.store.store import Store
from oc_trio.telemetry.account_status import ListenerStatus
from oc_trio.telemetry.health import Health
from oc_trio.telemetry.log import Redactor, get_logger
from oc_trio.telemetry.log_tail import LogTail
from oc_trio.telemetry.metrics import Metrics
from oc_trio.wakeup import Wakeup

log = get_logger(part="gateway")

# After a second signal the kernel ends a process that still waits, as for a server that does not answer. That is no
# worse than a crash, by which nothing is lost.
_ABORT_SECONDS = 3
# One of several processes begins after so long to stand by, also where Mattermost is silent: it may be the only one
# that can take over from another.
STANDBY_SECONDS = 3.0


@define(eq=False)
class Gateway:
    """A gateway that serves until `drain` is over. Make one, then `await gateway.run()`.

    `reread` gives the configuration as it is now, by default from the same file.
    """

    loaded: Loaded
    store_location: str | sqlite3.Connection
    dependencies: Dependencies = field(factory=Dependencies)
    metrics: Metrics = field(factory=Metrics)
    drain: Drain = field(factory=Drain)
    environ: Mapping[str, str] = field(factory=dict)
    redactor: Redactor = field(factory=Redactor)
    has_admin: bool = False
    tail: LogTail | None = None
    reread: Reread | None = None
    health: Health = field(init=False)
    ready: trio.Event = field(init=False, factory=trio.Event)
    # Whether the process is to begin anew when `run` has returned.
    is_restarting: bool = field(init=False, default=False)
    live: LiveAccounts = field(init=False, factory=LiveAccounts)
    notices: Notices = field(init=False, factory=Notices)
    port: PublicPort = field(init=False)
    jobs: JobTable = field(init=False)
    _scope: trio.CancelScope = field(init=False, factory=trio.CancelScope)
    # None until the accounts have been started.
    _reloader: Reloader | None = field(init=False, default=None)
    process: ProcessInfo = field(init=False)
    # The way to the other processes of the journal, where it has several.
    relay: Relay | None = field(init=False, default=None)
    _reload_wanted: Wakeup = field(init=False, factory=Wakeup)

    def __attrs_post_init__(self) -> None:
        self.health = Health(self.dependencies.clock.now_ms)
        # Another id at each start: what an earlier run held ends by itself. Not from `clock.random`: see `run`.
        self.process = ProcessInfo(
            secrets.token_hex(8), socket.gethostname(), os.getpid(), __version__, self.health.started_at
        )
        self.health.models.count = lambda model, result: self.metrics.model_requests.labels(model, result).inc()
        self.drain.seconds = self.loaded.config.gateway.drain
        self.port = PublicPort.of(self.loaded, self.dependencies.clock)
        self.jobs = JobTable(lambda: self.loaded)

    def stop(self, reason: str) -> None:
        """Begin the drain; the first call counts, but for a restart: that becomes a stop."""
        self.is_restarting = False
        if not self.drain.requested.is_set():
            log.info("stopping", why=reason, budget=self.drain.seconds)
            self.health.phase = "draining"
            self.drain.start()

    def restart(self) -> None:
        """Begin the drain, to start anew after it. A gateway that stops already goes on stopping."""
        if not self.drain.requested.is_set():
            self.stop("restart")
            self.is_restarting = True

    def abort(self) -> None:
        """End at once; the journal keeps what is unfinished."""
        self._scope.cancel()

    async def run(
        self, *, with_signals: bool = True, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve until drained; started when the accounts have been started, live or not."""
        notifier = Notifier(self.environ)
        with self._scope:
            async with (
                self.dependencies.open_store(self.store_location) as store,
                self.dependencies.open_leases(self.store_location) as leases,
                open_model_client(self.dependencies.ssl_context) as http,
            ):
                # Not from `clock.random`, whose draws tests depend on.
                installation = await store.installation.ensure(secrets.token_hex(13), self.dependencies.clock.now_ms())
                installation = evolve(installation, restored_at=await store.restored.at())
                agents = self._agents(self.loaded, http)
                # Before signals and systemd: a configuration that can't work should fail the start, and not look like a
                # running service.
                await run_preflight(
                    [plan.account for plan in plans(self.loaded).values()],
                    self.dependencies,
                    at_most=math.inf if leases is None else STANDBY_SECONDS,
                )
                async with open_tool_servers(self.loaded.config.mcp) as servers, trio.open_nursery() as nursery:
                    if with_signals:
                        await nursery.start(self._signals)
                    await nursery.start(serve_notifier, notifier, self.health, self.ready)
                    nursery.start_soon(
                        run_pruning,
                        store,
                        self.loaded.config.store,
                        self.dependencies.clock.now_ms,
                        lambda: catchup_reach_ms(self.loaded.accounts.values()),
                    )
                    nursery.start_soon(watch_journal, store, self.health, self.metrics)
                    # Raises if the journal breaks for good, which ends the gateway.
                    nursery.start_soon(store.wait_unusable)
                    nursery.start_soon(self.dependencies.tracer.export, self.metrics)
                    nursery.start_soon(self.dependencies.run_notices, self.store_location, self.notices)
                    if self.has_admin:
                        nursery.start_soon(self._admin, store)
                    if leases is not None:
                        self._join_others(store, nursery)
                    if self.port.is_wanted:
                        await self._open_port(nursery)
                    self.health.phase = "serving"
                    runner = self._account_runner(store, installation, agents, servers)
                    async with trio.open_nursery() as accounts:
                        supervisor = AccountSupervisor(
                            accounts, runner.serve, self.dependencies.clock, self.health, self.metrics
                        )
                        placement = await self._place_accounts(supervisor, runner, nursery, leases)
                        self._reloader = self._make_reloader(placement, agents, http, nursery)
                        nursery.start_soon(reload_when_wanted, self._reload_wanted, self.reload)
                        self._report_left_out()
                        accounts.start_soon(self._announce_stop, notifier, placement)
                        task_status.started()
                    if isinstance(placement, LeaseKeeper):
                        await placement.leave()
                    # After the accounts: until then their endpoints answer, if only with 503.
                    self.port.shutdown.set()
                    await self.dependencies.tracer.flush(self.metrics)
                    nursery.cancel_scope.cancel()
        self.health.phase = "stopped"

    def _account_runner(
        self, store: Store, installation: Installation, agents: AgentTable, servers: ToolServers
    ) -> AccountRunner:
        return AccountRunner(
            store=store,
            installation=installation,
            agents=agents,
            tool_servers=servers,
            dependencies=self.dependencies,
            port=self.port,
            jobs=self.jobs,
            live=self.live,
            health=self.health,
            metrics=self.metrics,
            ready=self.ready,
            refunds=Refunds(self.dependencies.lease_clock),
            environ=lambda: self.loaded.environ or self.environ,
            keep_secret=self.redactor.add,
        )

    async def _place_accounts(
        self, supervisor: AccountSupervisor, runner: AccountRunner, nursery: trio.Nursery, leases: Leases | None
    ) -> Placement:
        """Start the accounts that this process serves now."""
        wanted = plans(self.loaded)
        if leases is None:
            for plan in wanted.values():
                supervisor.start(plan, drain_seconds=self.drain.seconds)
            return SoleProcess(supervisor)
        clock = self.dependencies.lease_clock
        keeper = LeaseKeeper(
            leases,
            self.process,
            supervisor,
            runner.store,
            self.health,
            LeaseStatus(self.process.id, self.health, self.metrics, clock, self.ready),
            clock,
            self.drain,
            runner.refunds,
            wanted,
            make_lease=self.dependencies.lease,
            journal_failed=runner.journal_failed,
        )
        self.notices.follow(LEASES, keeper.changed.set)
        await nursery.start(keeper.run)
        return keeper

    def _join_others(self, store: Store, nursery: trio.Nursery) -> None:
        """Leave requests to the processes that they are for, and do what others want all to do."""
        relay = self.relay = Relay(store, self.dependencies.clock, self.metrics, self.process.id, self.notices)
        relay.follow(NoticeKind.RELOAD, self._reload_wanted.set)
        relay.follow(NoticeKind.JOBS, self.jobs.changed)
        self.port.relay_by(relay, self.health)
        nursery.start_soon(relay.run)

    def _jobs_changed(self) -> None:
        self.jobs.changed()
        if self.relay is not None:
            self.relay.announce(NoticeKind.JOBS)

    def _agents(self, loaded: Loaded, http: httpx.AsyncClient) -> AgentTable:
        return build_agents(
            loaded.config,
            http,
            make=self.dependencies.make_agent,
            pauses=self.health.pauses,
            calls=self.health.models,
            random=self.dependencies.clock.random,
            personas=loaded.personas,
        )

    async def _open_port(self, nursery: trio.Nursery) -> None:
        """Serve the public port in `nursery`. Raises CallbackListenFailed."""
        url: str = await nursery.start(self.dependencies.serve_port, self.port, self.metrics)
        self.port.opened(url)
        self.health.listener = ListenerStatus(url)
        log.info("public port", at=url)

    def _report_left_out(self) -> None:
        """Say which accounts of the configuration are not served, and why."""
        loaded = self.loaded
        for broken, problems in loaded.broken.items():
            detail = "; ".join(map(str, problems))
            self.health.update(broken, state="misconfigured", detail=detail)
            log.error("an account can't be started", account=broken, problem=detail)
        for name in loaded.switched_off:
            log.warning("an account is switched off: enabled = false", account=name)

    async def _admin(self, store: Store) -> None:
        await run_admin(self.admin_inputs(store))

    def admin_inputs(self, store: Store) -> AdminInputs:
        """What the admin API needs of this gateway."""
        return AdminInputs(
            self.health,
            self.metrics,
            store,
            self.dependencies,
            loaded=lambda: self.loaded,
            ready=self.ready,
            accounts=self.live,
            tail=self.tail,
            keep_secret=self.redactor.add,
            round_trips=self.round_trips,
            jobs_changed=self._jobs_changed,
            relay=self.relay,
        )

    async def round_trips(self) -> tuple[RoundTrip, ...]:
        """Makes Mattermost call back for each account, where anything is called back at all."""
        accounts = self.loaded.accounts.values() if self.port.is_wanted else ()
        return await run_round_trips(self.port, accounts, self.dependencies)

    async def reload(self) -> Changes | None:
        """See `Reloader.reload`."""
        if self._reloader is None:
            self.health.reload_begins()
            self.health.reload_ended(problems=("the gateway is still starting: try again when it serves",))
            return None
        return await self._reloader.reload()

    async def reload_everywhere(self) -> Changes | None:
        """As `reload`; where that changed anything or found nothing to change, the other processes do it as well."""
        changes = await self.reload()
        if changes is not None and self.relay is not None:
            self.relay.announce(NoticeKind.RELOAD)
        return changes

    def _make_reloader(
        self, placement: Placement, agents: AgentTable, http: httpx.AsyncClient, nursery: trio.Nursery
    ) -> Reloader:
        async def reread() -> Loaded:
            return await (self.reread or rereader(self.loaded, self.environ))()

        return Reloader(
            loaded=lambda: self.loaded,
            take=self._take,
            reread=reread,
            build_agents=lambda loaded: self._agents(loaded, http),
            agents=agents,
            placement=placement,
            health=self.health,
            port=self.port,
            open_port=lambda: self._open_port(nursery),
            jobs=self.jobs,
        )

    def _take(self, fresh: Loaded) -> None:
        """From now on `fresh` is the configuration in effect."""
        # Before anything uses the new secrets, so that no line of the log can have one of them.
        self.redactor.add(*secrets_of(fresh))
        self.drain.seconds = fresh.config.gateway.drain
        self.loaded = fresh

    async def _signals(self, task_status: trio.TaskStatus[None]) -> None:
        def abort() -> None:
            # First, since cancelling runs clean-up that may not come to its end.
            signal.alarm(_ABORT_SECONDS)
            self.abort()

        await serve_signals(
            drain=self.stop, abort=abort, reload=self.reload_everywhere, restart=self.restart, task_status=task_status
        )

    async def _announce_stop(self, notifier: Notifier, placement: Placement) -> None:
        await self.drain.requested.wait()
        placement.drain()
        # A process that replaces itself has not stopped, for its service manager: READY comes again.
        if not self.is_restarting:
            notifier.stopping(self.drain.seconds + self.drain.seal_seconds)
