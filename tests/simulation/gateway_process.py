"""Plays the service manager: starts the gateway, cuts its power or stops it, and starts it on the same journal again.

What the gateway does meanwhile is the gateway's.
"""

import functools
import random
import sqlite3
import ssl
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import trio
from attrs import define, field, frozen

from oc_trio.agent.build import AgentSpec
from oc_trio.agent.port import Agent
from oc_trio.config.document import Document
from oc_trio.config.load import Loaded, build
from oc_trio.errors import MattermostError, StoreError
from oc_trio.ids import AccountId
from oc_trio.runtime.account.catchup import CatchUp
from oc_trio.runtime.account.dependencies import Dependencies
from oc_trio.runtime.clock import Clock
from oc_trio.runtime.conversation.session import Session
from oc_trio.runtime.error_boundary import ErrorBoundary
from oc_trio.runtime.process.gateway import Gateway
from oc_trio.runtime.tools.skills import SkillLibrary
from oc_trio.runtime.turn.previewer import Previewer
from oc_trio.store.store import Store, open_store
from oc_trio.telemetry.metrics import Metrics
from tests.simulation.callback_transport import CALLED, HOOK_TOKEN, SKILLS, CallbackTransport
from tests.simulation.crash import Disk, PoweredConnection, PowerOff, PowerSwitch, open_disk
from tests.simulation.files import FileServer
from tests.simulation.intents import Plan
from tests.simulation.model import Model
from tests.simulation.network import Network, OpenSim, SimTransport
from tests.simulation.scenario import now_ms
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
    store: "Callable[[sqlite3.Connection], StoreOf]" = field(factory=lambda: StoreOf)


@frozen
class StoreOf:
    """Opens the journal on a connection; a broken variant changes what comes out."""

    connection: sqlite3.Connection

    def __call__(self, _location: str | sqlite3.Connection) -> AbstractAsyncContextManager[Store]:
        return open_store(self.connection)


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
    second: Model | None = None
    down: float = 1.0
    incarnations: int = 0
    live_since: float = 0.0
    is_closing: bool = False
    image: bytes | None = None
    gateway: Gateway | None = None
    power: PowerSwitch | None = None
    was_live: trio.Event = field(factory=trio.Event)
    failures: list[str] = field(factory=list)
    disk: Disk = field(init=False)
    file_server: FileServer = field(init=False)
    _pending_fuse: int = 0
    _disk: PoweredConnection | None = None

    def __attrs_post_init__(self) -> None:
        self.disk = Disk(random.Random(f"disk {self.seed}"), self.transcript)
        self.file_server = FileServer(random.Random(f"shelf {self.seed}"), self.transcript)

    async def serve(self, nursery: trio.Nursery) -> None:
        """Keep a gateway running until `close`."""
        while not self.is_closing:
            ended = trio.Event()
            nursery.start_soon(self._live, *self._prepare(), ended)
            await ended.wait()
            self._take_image()
            if not self.is_closing:
                await trio.sleep(self.down)
            self.down = _RESTART_SECONDS

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

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        """A look into the journal from outside."""
        disk = self._disk
        return [] if disk is None else sqlite3.Connection.execute(disk, sql).fetchall()

    def _prepare(self) -> tuple[Gateway, PowerSwitch]:
        number = self.incarnations = self.incarnations + 1
        power = self.power = PowerSwitch(f"gateway {number}", self.transcript)
        power.on_cut.append(self.network.sender_died)
        disk = self._disk = open_disk(power, self.disk, self.image)
        rng = random.Random(f"gateway {self.seed} {number}")
        dependencies = Dependencies(
            clock=Clock(now_ms, rng),
            ssl_context=_NO_TLS,
            http_transport=lambda _url: self.parts.transport(self.network, power),
            open_stream=OpenSim(self.network, power),
            make_agent=self._agent,
            open_store=self.parts.store(disk),
            session=self.parts.session,
            previewer=self.parts.previewer,
            catch_up=self.parts.catch_up,
            boundary=self.parts.boundary,
            serve_port=self.callbacks.served_by(power),
            fetch_transport=self.file_server.seen_by(power),
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
        gateway.port.skills = SKILLS if plan.has_calls else SkillLibrary()
        self.transcript.note("operator", f"starts gateway {number}")
        return gateway, power

    def _agent(self, spec: AgentSpec, _http: httpx.AsyncClient) -> Agent:
        return self.second if self.second is not None and spec.model == "two" else self.model

    async def _live(self, gateway: Gateway, power: PowerSwitch, ended: trio.Event) -> None:
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
            self.network.sender_died()
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
        while not (self.was_live.is_set() or self.is_live):  # noqa: ASYNC110 - health has no event for it
            await trio.sleep(0.01)
        self.transcript.note("gateway", "is live")
        self.live_since = trio.current_time()
        self.was_live.set()

    def _take_image(self) -> None:
        disk = self._disk
        assert disk is not None
        if disk.in_transaction:
            disk.rollback()
        self.image = disk.serialize()
