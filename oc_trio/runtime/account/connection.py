"""An account's connection to its server, by websocket or by polling, and what people and the watchdog see of it.

Owns the listener's hooks. How the connection is kept is the listener's, what its events mean is the inbox's.
"""

from functools import partial

import trio
from attrs import define

from oc_trio.config.accounts import Account
from oc_trio.config.mattermost import ConnectionMode
from oc_trio.core.backoff import RetryPolicy
from oc_trio.core.connection import Link, Phase, ResumePoint
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

log = get_logger(part="uplink")

AUTH_FAILED = "auth_failed"
UNREACHABLE = "unreachable"
STOPPED = "stopped"
# What an operator sees of a connection; a refused token is apart from a lost network.
_STATES = {
    Phase.WAITING: "reconnecting",
    Phase.DIALING: "connecting",
    Phase.GREETING: "connecting",
    Phase.CATCHING_UP: "catching_up",
    Phase.LIVE: "live",
}
_SHOWN = (*dict.fromkeys(_STATES.values()), AUTH_FAILED, UNREACHABLE)
# A live connection shows a sign of life every 40 s at most (a heartbeat and its answer) or with every poll, and an
# event is handled in seconds; beyond several times that, the part is stuck.
CONNECTION_SECONDS = 120.0
EVENT_SECONDS = 300.0


def show_state(health: Health, metrics: Metrics, account: AccountId, state: str, detail: str) -> None:
    """Put an account's state where people and machines look for it."""
    for other in _SHOWN:
        metrics.ws_state.labels(account, other).set(other == state)
    health.update(account, state=state, detail=detail)


@define(eq=False)
class AccountConnection:
    """Runs the connection in `slot`, so that it can be dialled anew and stopped; `ready` is set when it goes live."""

    kit: AccountServices
    settings: Account
    wiring: Dependencies
    token: Token
    ready: trio.Event
    inbox: EventHandler
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
        """What the server has and the socket did not bring is read over REST, and the deaf socket dialled anew."""
        if not self.is_polling:
            await self.catch_up.audit(self.settings.connection.audit_interval, self._dial_again)

    async def _dial_again(self) -> None:
        # One that is not live is dialling already, at its own pace.
        if self.kit.health.account(self.kit.account).is_live:
            await self.start(replacing="the audit found a loss")

    async def _listen(self) -> None:
        try:
            await self._connect()
        finally:
            # What has ended, in good order or not, is not stuck.
            self.kit.health.finished(self._connection)

    async def _connect(self) -> None:
        kit, connection, random = self.kit, self.settings.connection, self.kit.env.random.random
        hooks = partial(ListenerHooks, on_event=self._on_event, on_state=self._on_state, save_resume=self._save_resume)
        if self.is_polling:
            polling = hooks(on_connected=self.catch_up.poll)
            token, interval = kit.api.transport.token, connection.reconnect_interval
            await run_poller(polling, interval=interval, random=random, token=token)
        saved = await kit.store.resume.load(kit.account)
        await run_listener(
            kit.api,
            hooks(on_connected=self.catch_up.on_connected),
            random=random,
            policy=RetryPolicy(initial=connection.reconnect_interval),
            resume=ResumePoint(saved.connection_id, saved.next_seq) if saved and saved.connection_id else None,
            ssl_context=self.wiring.ssl_context,
            open_stream=self.wiring.stream_opener(net_policy(self.settings)),
        )

    async def _on_event(self, event: Event) -> None:
        """Only what has begun can be stuck: a quiet channel promises nothing."""
        part = f"{self.kit.account}: events"
        self.kit.health.progress(part, within_s=EVENT_SECONDS)
        try:
            await self.inbox.on_event(event)
        finally:
            self.kit.health.finished(part)

    async def _on_state(self, link: Link, detail: str) -> None:
        kit = self.kit
        state = AUTH_FAILED if link.auth_failed and link.phase is Phase.WAITING else _STATES[link.phase]
        show_state(kit.health, kit.metrics, kit.account, state, detail)
        if link.phase is Phase.LIVE:
            self._promise()
            self.ready.set()
            who = f"connected as @{kit.user.username}"
            log.info(who, account=kit.account, name=kit.name, server=self.settings.base_url)
            return
        # How long reconnecting takes is the server's affair.
        kit.health.finished(self._connection)
        if state == AUTH_FAILED:
            log.error("the server refuses the token", account=kit.account, problem=detail)
            await self.token.reread()
        elif link.phase is Phase.WAITING:
            kit.metrics.reconnects.labels(kit.account, "lost").inc()
            log.warning("connection lost", account=kit.account, problem=detail)

    async def _save_resume(self, point: ResumePoint | None) -> None:
        """The row doubles as the account's sign of life: from its time on, new channels are caught up."""
        kit, now = self.kit, self.kit.env.now_ms()
        self._promise()
        if point is None:
            await kit.store.resume.save(kit.account, "", 0, now)
        else:
            await kit.store.resume.save(kit.account, point.connection_id, point.next_seq, now)

    @property
    def _connection(self) -> str:
        return f"{self.kit.account}: connection"

    def _promise(self) -> None:
        """The connection is alive, and will be seen to be."""
        period = self.settings.connection.reconnect_interval if self.is_polling else 0.0
        self.kit.health.progress(self._connection, within_s=CONNECTION_SECONDS + period)
