"""An account's connection to its server, by websocket or by polling, and what people and the watchdog see of it.

Owns the listener's hooks. How the connection is kept is the listener's, what its events mean is the event handler's.
"""

from functools import partial

import trio

from oc_trio.classes import define
from oc_trio.config.accounts import Account
from oc_trio.config.mattermost import ConnectionMode
from oc_trio.core.backoff import RetryPolicy
from oc_trio.core.connection import ConnectionPhase, ConnectionState, ResumePoint
from oc_trio.core.events import Event
from oc_trio.ids import AccountId
from oc_trio.mattermost.listener import ListenerHooks, run_listener, run_poller
from oc_trio.runtime.account.catchup import CatchUp
from oc_trio.runtime.account.dependencies import Dependencies
from oc_trio.runtime.account.token import Token
from oc_trio.runtime.inbound.event_handler import EventHandler
from oc_trio.runtime.policies import net_policy
from oc_trio.runtime.services import AccountServices
from oc_trio.runtime.task_slot import TaskSlot
from oc_trio.telemetry.health import Health
from oc_trio.telemetry.log import get_logger
from oc_trio.telemetry.metrics import Metrics

log = get_logger(part="connection")

AUTH_FAILED = "auth_failed"
UNREACHABLE = "unreachable"
STOPPED = "stopped"
# Another process serves the account, or may.
STANDBY = "standby"
# The states that operators see. A refused token is a state of its own, as no reconnect helps.
_STATES = {
    ConnectionPhase.WAITING: "reconnecting",
    ConnectionPhase.DIALING: "connecting",
    ConnectionPhase.GREETING: "connecting",
    ConnectionPhase.CATCHING_UP: "catching_up",
    ConnectionPhase.LIVE: "live",
}
_ALL_STATES = (*dict.fromkeys(_STATES.values()), AUTH_FAILED, UNREACHABLE)
# A live connection shows a sign of life every 40 s at most (a heartbeat and its answer) or with every poll, and an
# event is handled in seconds; beyond several times that, the part is stuck.
CONNECTION_SECONDS = 120.0
EVENT_SECONDS = 300.0


def show_state(health: Health, metrics: Metrics, account: AccountId, state: str, detail: str) -> None:
    """Set an account's state in the health report and in the metrics."""
    for other in _ALL_STATES:
        # Each of them, so that the state before goes back to 0.
        metrics.ws_state.labels(account, other).set(other == state)
    health.update(account, state=state, detail=detail)


@define(eq=False)
class AccountConnection:
    """Runs the connection in `slot`, so that it can be dialled anew and stopped; `ready` is set when it goes live."""

    services: AccountServices
    settings: Account
    dependencies: Dependencies
    token: Token
    ready: trio.Event
    event_handler: EventHandler
    catch_up: CatchUp
    slot: TaskSlot

    @property
    def is_polling(self) -> bool:
        return self.settings.connection.mode is ConnectionMode.POLL

    async def start(self, *, replacing: str = "replaced") -> None:
        await self.slot.start(self._listen, replacing=replacing)

    async def stop(self) -> None:
        """End the connection; a live one saves where it can be resumed."""
        await self.slot.cancel_and_join(reason="shutdown")

    async def run_audit(self) -> None:
        """Read over REST what the websocket did not bring, and dial anew where it lost something; not with polling."""
        if not self.is_polling:
            await self.catch_up.audit(self.settings.connection.audit_interval, self._reconnect)

    async def _reconnect(self) -> None:
        # A connection that is not live is being dialled already, with its own pauses.
        if self.services.health.account(self.services.account).is_live:
            await self.start(replacing="the audit found a loss")

    async def _listen(self) -> None:
        try:
            await self._connect()
        finally:
            # A connection that has ended, in good order or not, is not stuck.
            self.services.health.finished(self._health_part)

    async def _connect(self) -> None:
        services, connection, random = self.services, self.settings.connection, self.services.clock.random.random
        hooks = partial(
            ListenerHooks, on_events=self._on_events, on_state=self._on_state, save_resume=self._save_resume
        )
        # Neither poller nor listener returns: they end by an error, or by cancellation.
        if self.is_polling:
            poll_hooks = hooks(on_connected=self.catch_up.poll)
            token, interval = services.api.transport.token, connection.reconnect_interval
            await run_poller(poll_hooks, interval=interval, random=random, token=token)
        saved = await services.store.resume.load(services.account)
        await run_listener(
            services.api,
            hooks(on_connected=self.catch_up.on_connected),
            random=random,
            # Its maximum is the policy's: the setting says how soon, not how seldom.
            policy=RetryPolicy(initial=connection.reconnect_interval),
            resume=ResumePoint(saved.connection_id, saved.next_seq) if saved and saved.connection_id else None,
            ssl_context=self.dependencies.ssl_context,
            open_stream=self.dependencies.stream_opener(net_policy(self.settings)),
        )

    async def _on_events(self, events: tuple[Event, ...]) -> None:
        """Handle events that came together.

        The watchdog counts only events whose handling has begun: none may come for days.
        """
        part = f"{self.services.account}: events"
        self.services.health.progress(part, within_s=EVENT_SECONDS)
        try:
            await self.event_handler.on_events(events)
        finally:
            self.services.health.finished(part)

    async def _on_state(self, link: ConnectionState, detail: str) -> None:
        services = self.services
        state = AUTH_FAILED if link.auth_failed and link.phase is ConnectionPhase.WAITING else _STATES[link.phase]
        show_state(services.health, services.metrics, services.account, state, detail)
        if link.phase is ConnectionPhase.LIVE:
            self._report_progress()
            self.ready.set()
            log.info(
                f"connected as @{services.user.username}",
                account=services.account,
                name=services.name,
                server=self.settings.base_url,
            )
            return
        # Reconnecting may take as long as the server is away: it is not stuck by that.
        services.health.finished(self._health_part)
        if state == AUTH_FAILED:
            log.error("the server refuses the token", account=services.account, problem=detail)
            # The file or password manager may have the new token already; the listener then dials at once.
            await self.token.reread()
        elif link.phase is ConnectionPhase.WAITING:
            services.metrics.reconnects.labels(services.account, "lost").inc()
            log.warning("connection lost", account=services.account, problem=detail)

    async def _save_resume(self, point: ResumePoint | None) -> None:
        """Save where the websocket can be resumed. The row's time is also when the account was last alive: new channels
        are caught up from then on.
        """
        services, now = self.services, self.services.clock.now_ms()
        self._report_progress()
        if point is None:
            # Without a connection id: polling can't resume, but the time still says when the account was alive.
            await services.store.resume.save(services.account, "", 0, now)
        else:
            await services.store.resume.save(services.account, point.connection_id, point.next_seq, now)

    @property
    def _health_part(self) -> str:
        return f"{self.services.account}: connection"

    def _report_progress(self) -> None:
        """Tell the watchdog that the connection is alive, and by when it has to show that again."""
        period = self.settings.connection.reconnect_interval if self.is_polling else 0.0
        self.services.health.progress(self._health_part, within_s=CONNECTION_SECONDS + period)
