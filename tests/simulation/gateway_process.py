"""Plays the service manager: starts the gateway, cuts its power or stops it, and starts it on the same journal again.

What the gateway does meanwhile is the gateway's.
"""

import functools
import random
import sqlite3
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import trio
from attrs import define, evolve, field, frozen

from oc_trio.agent.build import AgentSpec
from oc_trio.agent.port import Agent
from oc_trio.config.document import Document
from oc_trio.config.load import Loaded, build
from oc_trio.errors import MattermostError, StoreError
from oc_trio.ids import AccountId
from oc_trio.lease import Lease
from oc_trio.runtime.account.catchup import CatchUp
from oc_trio.runtime.account.dependencies import Dependencies
from oc_trio.runtime.clock import Clock
from oc_trio.runtime.conversation.session import Session
from oc_trio.runtime.error_boundary import ErrorBoundary
from oc_trio.runtime.process.gateway import Gateway
from oc_trio.runtime.tools.skills import SkillLibrary
from oc_trio.runtime.turn.previewer import Previewer
from oc_trio.store.engine import Engine
from oc_trio.store.inline_engine import InlineEngine
from oc_trio.store.leases import Leases
from oc_trio.store.notify import PING_SECONDS, Notices
from oc_trio.store.store import Store, open_store
from oc_trio.telemetry.metrics import Metrics
from oc_trio.wakeup import Wakeup
from tests.simulation.callback_transport import CALLED, HOOK_TOKEN, SKILLS, CallbackTransport
from tests.simulation.crash import Disk, PoweredConnection, PowerOff, PowerSwitch
from tests.simulation.database_link import DatabaseLink
from tests.simulation.files import FileServer
from tests.simulation.fleet_watch import FleetWatch
from tests.simulation.intents import Plan
from tests.simulation.journals import ImageJournal, Journal, Rows
from tests.simulation.model import Model, StreamedModel
from tests.simulation.network import Network, OpenSim, SimTransport
from tests.simulation.pauses import Pauses
from tests.simulation.scenario import now_ms
from tests.simulation.streams import ModelServer
from tests.simulation.transcript import RunTranscript

# Due once, at JOBS_DUE_SECONDS. Nobody is removed from a direct channel, so that each job can be delivered.
JOBS: dict[str, Any] = {
    "jobs": {
        name: {"expression": "14 22 14 11 *", "missed": "once", "target": f"@{who}", "message": f"{name} time"}
        for name, who in (("tea", "alice"), ("cake", "bob"), ("milk", "alice"))
    }
}
# By the bot's name.
ACCOUNTS = {"helper": AccountId("default"), "second": AccountId("second")}
# A context that trusts nobody is made in no time; nothing in a run speaks TLS.
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_RESTART_SECONDS = 1.0
# What a statement may take until its database counts as away.
STATEMENT_SECONDS = 30.0
LEASE_STATEMENT_SECONDS = 1.5


class SmallSession(Session):
    """A mailbox that a plan of a few questions can overflow."""

    mailbox = 3


@frozen
class Parts:
    """What the gateway is assembled from; a broken variant replaces one of them."""

    session: type[Session] = SmallSession
    previewer: type[Previewer] = Previewer
    catch_up: type[CatchUp] = CatchUp
    boundary: type[ErrorBoundary] = ErrorBoundary
    transport: type[SimTransport] = SimTransport
    lease: type[Lease] = Lease
    leases: "Callable[[Engine, Notices], Leases]" = lambda engine, _notices: Leases(engine)
    store: "Callable[[sqlite3.Connection], StoreOf]" = field(factory=lambda: StoreOf)


@frozen
class StoreOf:
    """Opens the journal on a connection; a broken variant changes what comes out."""

    connection: sqlite3.Connection

    def __call__(self, _location: str | sqlite3.Connection) -> AbstractAsyncContextManager[Store]:
        return open_store(self.connection)


@frozen(eq=False)
class FleetPart:
    """What a process of several has: a name, clocks of its own, and means to be paused. `is_live` is of them all."""

    letter: str
    pauses: Pauses
    watch: FleetWatch
    is_live: Callable[[], bool]
    notify: Callable[[str], None]
    offset_ms: int = 0
    drift: float = 0.0

    def now_ms(self) -> int:
        """Its wall clock."""
        return now_ms() + self.offset_ms

    def boottime(self) -> float:
        """Its local clock, in seconds, which goes on while it is paused."""
        return 1000.0 * (1 + ord(self.letter)) + trio.current_time() * (1.0 + self.drift)


@functools.lru_cache(maxsize=64)
def configured(
    queue: str,
    reply_to: str,
    mode: str,
    throttle_ms: int,
    drain_seconds: int,
    *,
    has_blocks: bool = False,
    has_calls: bool = False,
    has_hooks: bool = False,
    has_jobs: bool = False,
    has_second_bot: bool = False,
    has_one_agent: bool = False,
    cap: int = 0,
    drop: str = "",
) -> Loaded:
    """The configuration of a plan."""
    coalesce = {"minChars": 30, "maxChars": 200, "idleMs": 300}
    values: dict[str, Any] = {
        "channels": {
            "mattermost": {
                "baseUrl": "http://mm.test",
                "botToken": "simulated-token-of-the-helper",
                "dmPolicy": "open",
                "allowFrom": ["*"],
                "groupPolicy": "open",
                "textChunkLimit": 400,
                "replyToMode": reply_to,
                "streaming": {
                    "throttleMs": throttle_ms,
                    "mode": mode,
                    "block": {"enabled": has_blocks, "coalesce": coalesce},
                },
                **(CALLED if has_calls else {}),
                "network": {"dangerouslyAllowPrivateNetwork": True},
            }
        },
        "messages": {"queue": {"mode": queue, **({"cap": cap, "drop": drop} if cap else {})}},
        "gateway": {"drainSeconds": drain_seconds},
        "models": {"providers": {"sim": {"api": "scripted", "models": ["one"]}}},
        "agents": {"defaults": {"model": "sim/one"}},
    }
    if has_hooks:
        values["hooks"] = {"enabled": True, "token": HOOK_TOKEN}
    if has_jobs:
        values["cron"] = JOBS
    if has_second_bot:
        # The names of slash commands are the team's: one bot can have them.
        second = {"botToken": "simulated-token-of-the-second", "commands": {"native": False}}
        values["channels"]["mattermost"]["accounts"] = {"second": second}
    if has_second_bot and not has_one_agent:
        values["models"]["providers"]["sim"]["models"].append("two")
        values["agents"]["entries"] = {"main": {}, "other": {"model": "sim/two"}}
        match = {"channel": "mattermost", "accountId": "second"}
        values["bindings"] = [{"agentId": "other", "match": match}]
    return build(Document(values), {})


@define(eq=False)
class GatewayProcess:
    """One gateway at a time serves; `image` is the journal as the last one left it."""

    network: Network
    model: Model
    plan: Plan
    seed: int
    transcript: RunTranscript
    parts: Parts
    callbacks: CallbackTransport
    file_server: FileServer
    second: Model | None = None
    journal: Journal = field(factory=ImageJournal)
    fleet: "FleetPart | None" = None
    down: float = 1.0
    incarnations: int = 0
    live_since: float = 0.0
    # Until then it gets no notices of the database.
    deaf_until: float = 0.0
    notices_lost: Wakeup = field(factory=Wakeup)
    is_closing: bool = False
    gateway: Gateway | None = None
    power: PowerSwitch | None = None
    was_live: trio.Event = field(factory=trio.Event)
    failures: list[str] = field(factory=list)
    disk: Disk = field(init=False)
    _connection: PoweredConnection | None = None
    _task: trio.lowlevel.Task | None = None

    def __attrs_post_init__(self) -> None:
        self.disk = Disk(random.Random(f"disk {self._source}"), self.transcript)

    @property
    def _source(self) -> str:
        """What its random sources are drawn from."""
        return f"{self.seed}" if self.fleet is None else f"{self.seed} {self.fleet.letter}"

    @property
    def name(self) -> str:
        return "the gateway" if self.power is None else self.power.name

    @property
    def holder_id(self) -> str:
        """The id under which it holds leases."""
        return "" if self.gateway is None else self.gateway.process.id

    @property
    def is_well(self) -> bool:
        """Whether it proceeds and reaches the database."""
        power = self.power
        is_running = self.gateway is not None and power is not None and not power.is_off and power.resumed is None
        return is_running and not self.disk.is_away

    def of(self, _number: int) -> "GatewayProcess":
        """The process that an intent is about."""
        return self

    async def serve(self, nursery: trio.Nursery) -> None:
        """Keep a gateway running until `close`."""
        while not self.is_closing:
            ended = trio.Event()
            nursery.start_soon(self._live, *self._prepare(), ended)
            await ended.wait()
            assert self._connection is not None
            self.journal.left(self._connection)
            if not self.is_closing:
                await trio.sleep(self.down)
            self.down = _RESTART_SECONDS

    def each(self, _number: int) -> list["GatewayProcess"]:
        """The processes that an intent is about."""
        return [self]

    def crash(self, operations: int, down: float) -> None:
        self.down = down
        if self.power is None or self.power.is_off:
            return
        if operations:
            self.power.arm(operations)
        else:
            self.power.cut("now")

    def stop(self, down: float) -> None:
        """Begin an orderly stop; `serve` starts the gateway again unless `close` was called."""
        self.down = down
        if self.gateway is not None:
            self.transcript.note("operator", "asks the gateway to stop")
            self.gateway.stop("restart")

    def close(self) -> None:
        self.is_closing = True
        self.stop(0.0)

    @property
    def is_live(self) -> bool:
        if self.power is None or self.power.is_off:
            return False
        names = [ACCOUNTS["helper"], *([ACCOUNTS["second"]] if self.second is not None else [])]
        return self.gateway is not None and all(self.gateway.health.account(name).is_live for name in names)

    def rows(self, sql: str, *values: object) -> Rows:
        """A look into the journal from outside."""
        return self.journal.rows(sql, *values)

    def pause(self, operations: int, seconds: float) -> None:
        """As SIGSTOP and SIGCONT do: now, where `operations` is 0, else after so many half operations."""
        fleet, power = self.fleet, self.power
        if fleet is None or power is None or power.is_off or power.resumed is not None:
            return
        power.on_pause = functools.partial(self._pause, power, seconds)
        if operations:
            power.arm_pause(operations)
        else:
            self.transcript.note("power", f"{power.name} is paused")
            self._pause(power, seconds)

    def _pause(self, power: PowerSwitch, seconds: float) -> None:
        fleet, task = self.fleet, self._task
        if fleet is None or task is None or power.is_off or power.resumed is not None:
            return
        power.resumed = trio.Event()
        fleet.pauses.begin(task)
        self.network.nursery.start_soon(self._resume, power, task, power.resumed, seconds)

    async def _resume(self, power: PowerSwitch, task: trio.lowlevel.Task, resumed: trio.Event, seconds: float) -> None:
        assert self.fleet is not None
        try:
            with trio.move_on_after(seconds):
                await power.gone.wait()
        finally:  # else a run that is ended from outside would wait for it for ever
            self.transcript.note("power", f"{power.name} goes on")
            power.resumed = None
            resumed.set()
            self.fleet.pauses.end(task)

    def _prepare(self) -> tuple[Gateway, PowerSwitch]:
        number, fleet = self.incarnations + 1, self.fleet
        self.incarnations = number
        letter = "" if fleet is None else fleet.letter
        power = self.power = PowerSwitch(f"gateway {letter}{number}", self.transcript)
        power.on_cut.append(functools.partial(self._sender_died, power))
        disk = self._connection = self.journal.open(power, self.disk)
        if fleet is not None:
            fleet.watch.opened(disk)
            disk.on_notice = fleet.notify
            disk.on_commit = lambda written: fleet.watch.committed(power.name, self.holder_id, written)
            power.on_request = lambda request: fleet.watch.requested(power.name, self.holder_id, request)
        rng = random.Random(f"gateway {self._source} {number}")
        dependencies = Dependencies(
            clock=Clock(now_ms if fleet is None else fleet.now_ms, rng),
            ssl_context=_NO_TLS,
            http_transport=lambda _url: self.parts.transport(self.network, power),
            open_stream=OpenSim(self.network, power),
            make_agent=functools.partial(self._agent, ModelServer.beside(self.plan.other_streams, self.transcript)),
            open_store=self.parts.store(disk) if fleet is None else self._over_a_link(disk, power),
            session=self.parts.session,
            previewer=self.parts.previewer,
            catch_up=self.parts.catch_up,
            boundary=self.parts.boundary,
            serve_port=self.callbacks.served_by(power),
            fetch_transport=self.file_server.seen_by(power),
            **self._shared(power),
        )
        plan = self.plan
        loaded = configured(
            *(plan.queue, plan.reply_to, plan.mode, plan.throttle_ms, plan.drain_seconds),
            has_blocks=plan.has_blocks,
            has_calls=plan.has_calls,
            has_hooks=plan.has_hooks,
            has_jobs=plan.has_jobs,
            has_second_bot=plan.has_second_bot,
            has_one_agent=plan.has_one_agent,
            cap=plan.cap,
            drop=plan.drop,
        )
        gateway = self.gateway = Gateway(loaded, "", dependencies, metrics=Metrics())
        gateway.process = evolve(gateway.process, id=power.name)
        gateway.port.skills = SKILLS if plan.has_calls else SkillLibrary()
        self.transcript.note("operator", f"starts {power.name}")
        return gateway, power

    def _over_a_link(self, disk: PoweredConnection, power: PowerSwitch) -> Callable[..., Any]:
        """Opens the journal, which is a database of several processes."""

        @asynccontextmanager
        async def opening(location: str | sqlite3.Connection) -> AsyncIterator[Store]:
            async with self.parts.store(disk)(location) as store, trio.open_nursery() as nursery:
                DatabaseLink(self.disk, power, nursery, STATEMENT_SECONDS).attach(store._engine)
                yield store
                nursery.cancel_scope.cancel()

        return opening

    def _shared(self, power: PowerSwitch) -> dict[str, Any]:
        """What one of several processes needs besides."""
        fleet = self.fleet
        if fleet is None:
            return {}
        return {
            "open_leases": self._leases_over_a_link(power),
            "lease_clock": fleet.boottime,
            "lease": self.parts.lease,
            "run_notices": self._listen,
        }

    async def _listen(self, _location: str | sqlite3.Connection, notices: Notices) -> None:
        """A connection that notices come over; a silent one is found by a ping, after which there is a new one."""
        if self.plan.has_pooler:
            return
        while True:
            notices.is_listening = True
            notices.deliver_all()
            await self.notices_lost.wait()
            with trio.move_on_at(self.deaf_until):
                await trio.sleep(PING_SECONDS)
                notices.is_listening = False
                await trio.sleep_forever()

    def hear(self, topic: str) -> None:
        """Another process, or this one, has notified all."""
        if self.gateway is not None and self.gateway.notices.is_listening and trio.current_time() >= self.deaf_until:
            self.gateway.notices.deliver(topic)

    def lose_notices(self, seconds: float) -> None:
        """No notices come for so many seconds, and the gateway is not told so."""
        self.deaf_until = trio.current_time() + seconds
        self.notices_lost.set()

    def _leases_over_a_link(self, power: PowerSwitch) -> Callable[..., Any]:
        """Opens the leases on a connection of their own."""

        @asynccontextmanager
        async def opening(_location: str | sqlite3.Connection) -> AsyncIterator[Leases]:
            connection = self.journal.open(power, self.disk)
            connection.on_notice = None if self.fleet is None else self.fleet.notify
            engine = InlineEngine(connection)
            async with trio.open_nursery() as nursery:
                DatabaseLink(self.disk, power, nursery, LEASE_STATEMENT_SECONDS).attach(engine)
                assert self.gateway is not None
                yield self.parts.leases(engine, self.gateway.notices)
                nursery.cancel_scope.cancel()
            connection.close()

        return opening

    def _agent(self, server: ModelServer | None, spec: AgentSpec, _http: httpx.AsyncClient) -> Agent:
        model = self.second if self.second is not None and spec.model == "two" else self.model
        return model if server is None else StreamedModel(model, server)

    def _sender_died(self, power: PowerSwitch) -> None:
        self.network.sender_died(None if self.fleet is None else power)

    async def _live(self, gateway: Gateway, power: PowerSwitch, ended: trio.Event) -> None:
        self._task = trio.lowlevel.current_task()
        power.on_cut.append(ended.set)
        try:
            with power.scope:
                await self._run(gateway, power)
        except* PowerOff:
            pass
        except* (MattermostError, StoreError) as group:
            if not power.is_off:
                self.transcript.note("gateway", f"exits: {group.exceptions[0]}")
        except* Exception as group:
            if not power.is_off:
                self.failures.append(f"the gateway crashed: {group.exceptions!r}")
                raise
        if not power.is_off:
            self.transcript.note("gateway", "has stopped")
            self._sender_died(power)
        ended.set()

    async def _run(self, gateway: Gateway, power: PowerSwitch) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._note_live, gateway)
            await gateway.run(with_signals=False)
            nursery.cancel_scope.cancel()

    async def _note_live(self, gateway: Gateway) -> None:
        await gateway.ready.wait()
        # `ready` is the first account's. What is posted before the very first connection of an account is not its to
        # answer, so people begin when all are connected.
        while not (self.was_live.is_set() or (self.is_live if self.fleet is None else self.fleet.is_live())):  # noqa: ASYNC110 - health has no event for it
            await trio.sleep(0.01)
        self.transcript.note("gateway", "is live")
        self.live_since = trio.current_time()
        self.was_live.set()
