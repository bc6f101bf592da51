"""The way from Mattermost to the gateway's public port, without a socket: calls that travel, get lost, arrive twice.

What an incarnation answers is its own; what of it was said for certain is remembered with each call, for the checks.
"""

import contextvars
import json
import random
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import trio
from attrs import define, field
from quart_trio import QuartTrio

from oc_trio.callbacks.app import build_app
from oc_trio.callbacks.server import GRACEFUL_SECONDS
from oc_trio.core.relayed import CLICK_ACCEPTED, COMMAND_ACCEPTED
from oc_trio.core.slash import PROCESSING
from oc_trio.runtime.handlers.public_port import PublicPort
from oc_trio.runtime.inbound.request_admission import once
from oc_trio.runtime.tools.skills import Skill, SkillLibrary
from oc_trio.sandbox.outgoing import IntegrationRequest, IntegrationResponse, IntegrationUnreachable
from oc_trio.sandbox.settings import INTEGRATION_SECONDS
from oc_trio.telemetry.metrics import Metrics
from tests.simulation.crash import PowerSwitch
from tests.simulation.network import Network
from tests.simulation.scenario import Question
from tests.simulation.transcript import RunTranscript

URL = "http://gateway.test:18789"
HOOK_TOKEN = "simulated-token-of-the-hooks"
# What an account needs to be called, and a command for what the model is to answer.
CALLED = {
    "commands": {"native": True, "nativeSkills": True, "callbackUrl": f"{URL}/api/channels/mattermost/command"},
    "capabilities": ["inlineButtons"],
    "interactions": {"callbackBaseUrl": URL},
}
SKILLS = SkillLibrary((Skill("tell", "Tells about something.", Path("/nowhere/SKILL.md")),))
ServePort = Callable[..., Awaitable[None]]


@define(eq=False)
class Asking:
    """A question that is asked by calls: `open` ones may be taken in, `promised` ones were, `refused` ones were not."""

    question: Question
    promised: int = 0
    open: int = 0

    def settle(self) -> None:
        self.question.addressed = "yes" if self.promised else "perhaps" if self.open else "no"


# Set in the task of the person who calls: the sandbox's server does not know of questions.
ASKING: contextvars.ContextVar[Asking | None] = contextvars.ContextVar("asking", default=None)


@define(eq=False)
class _Exchange:
    """One delivery of a call: `gone` when the caller hung up, `done` when the gateway will say no more."""

    gone: trio.Event = field(factory=trio.Event)
    done: trio.Event = field(factory=trio.Event)
    is_whole: bool = False
    status: int = 0
    content_type: str = ""
    body: bytes = b""

    @property
    def is_promise(self) -> bool:
        """Whether it was answered as taken in."""
        if self.status != 200:
            return self.status == 202
        answer = json.loads(self.body)
        return answer.get("text") in (PROCESSING, COMMAND_ACCEPTED) or "update" in answer

    @property
    def is_open(self) -> bool:
        """Whether it may be taken in later: by the process that serves the account next, which may have had another
        click of the same post before, or although a process that lost its database could not say so.
        """
        if self.status != 200:
            return self.status == 503
        return bool(json.loads(self.body).get("ephemeral_text") == CLICK_ACCEPTED)

    @property
    def answer(self) -> IntegrationResponse:
        return IntegrationResponse(self.status, self.content_type, self.body)


@define(eq=False)
class _OpenPort:
    """The public port that one incarnation of the gateway has opened."""

    app: QuartTrio
    power: PowerSwitch
    nursery: trio.Nursery


@define(eq=False)
class CallbackTransport:
    """Makes the calls of the sandbox's server. An incarnation answers each, anyone of those that serve, or nobody."""

    rng: random.Random
    transcript: RunTranscript
    network: Network = field(init=False)
    # Whether a process may leave a call to another one.
    is_relayed: bool = False
    _open_ports: list[_OpenPort] = field(factory=list)

    def served_by(self, power: PowerSwitch) -> ServePort:
        """An incarnation's way to open its port, for `Dependencies`."""

        async def serve(
            port: PublicPort, metrics: Metrics, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
        ) -> None:
            app = build_app(port.registry, metrics=metrics)
            async with trio.open_nursery() as nursery:
                open_port = _OpenPort(app, power, nursery)
                self._open_ports.append(open_port)
                try:
                    task_status.started(URL)
                    await port.shutdown.wait()
                finally:
                    self._open_ports.remove(open_port)
                nursery.cancel_scope.deadline = trio.current_time() + GRACEFUL_SECONDS

        return serve

    async def __call__(self, call: IntegrationRequest) -> IntegrationResponse:
        """Deliver a call, some twice: a proxy in between tries again what it heard nothing of."""
        asking = ASKING.get()
        if asking is not None and asking.question.post.id == "":
            asking.question.post.id = _trigger(call)
        if self.rng.random() < 0.1:
            if asking is not None:
                asking.open += 1
            self.network.nursery.start_soon(self._again, call, asking, self.rng.choice((0.0, 0.02, 0.5, 20.0)))
        return await self._deliver(call, asking)

    async def _again(self, call: IntegrationRequest, asking: Asking | None, after: float) -> None:
        self.network.waiting += 1
        try:
            await trio.sleep(after)
            with trio.move_on_after(INTEGRATION_SECONDS):
                await self._deliver(call, asking)
        except IntegrationUnreachable:
            self.transcript.detail("callbacks", "a second delivery fails")
        finally:
            if asking is not None:
                asking.open -= 1
                asking.settle()
            self.network.waiting -= 1

    async def _deliver(self, call: IntegrationRequest, asking: Asking | None) -> IntegrationResponse:
        rng, fault_rates = self.rng, self.network.fault_rates
        await trio.sleep(rng.uniform(0.001, 0.05))
        if rng.random() < fault_rates.unreachable:
            raise IntegrationUnreachable("connection refused")
        if rng.random() < fault_rates.lost_request:
            await trio.sleep_forever()
        open_port, exchange = self._some_port(), _Exchange()
        if open_port is None:
            self.transcript.note("callbacks", "nobody answers the call")
            raise IntegrationUnreachable("connection refused")
        if asking is not None:
            asking.open += 1
            asking.settle()
        open_port.nursery.start_soon(self._handle, open_port, call, exchange, asking)
        open_port.power.on_cut.append(exchange.done.set)
        try:
            await exchange.done.wait()
        finally:
            exchange.gone.set()
        if not exchange.is_whole or rng.random() < fault_rates.lost_answer:
            raise IntegrationUnreachable("connection reset")
        await trio.sleep(rng.uniform(0.001, 0.05))
        return exchange.answer

    def _some_port(self) -> _OpenPort | None:
        """What a load balancer chooses; it does not know of pauses."""
        ports = [each for each in self._open_ports if not each.power.is_off]
        return self.rng.choice(ports) if len(ports) > 1 else next(iter(ports), None)

    async def _handle(
        self, open_port: _OpenPort, call: IntegrationRequest, exchange: _Exchange, asking: Asking | None
    ) -> None:
        pending = [call.body]

        async def receive() -> MutableMapping[str, Any]:
            if pending:
                return {"type": "http.request", "body": pending.pop(), "more_body": False}
            await exchange.gone.wait()
            return {"type": "http.disconnect"}

        async def send(event: MutableMapping[str, Any]) -> None:
            await trio.lowlevel.checkpoint()
            if event["type"] == "http.response.start":
                open_port.power.before("an HTTP answer")
                headers = {key.decode(): value.decode() for key, value in event["headers"]}
                exchange.status, exchange.content_type = event["status"], headers.get("content-type", "")
                return
            exchange.body += event.get("body", b"")
            if not event.get("more_body", False):
                exchange.is_whole = True
                self._said(exchange, asking)
                exchange.done.set()
                open_port.power.after("an HTTP answer")

        try:
            await open_port.app(_scope(call), receive, send)  # type: ignore[arg-type]
        finally:
            exchange.done.set()

    def _said(self, exchange: _Exchange, asking: Asking | None) -> None:
        self.transcript.note("gateway", f"answers a call: {exchange.status} {exchange.body.decode()[:80]}")
        if asking is not None:
            asking.open -= not (self.is_relayed and exchange.is_open)
            asking.promised += exchange.is_promise
            asking.settle()


def _trigger(call: IntegrationRequest) -> str:
    """The id under which the journal has a use of a command."""
    return once("command", dict(parse_qsl(call.body.decode())).get("trigger_id", ""))


def _scope(call: IntegrationRequest) -> MutableMapping[str, Any]:
    path = urlsplit(call.url).path
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": call.method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [
            (b"host", b"gateway.test"),
            (b"content-length", str(len(call.body)).encode()),
            *((name.encode(), value.encode()) for name, value in call.headers),
        ],
        "client": ("127.0.0.1", 40000),
        "server": ("127.0.0.1", 18789),
        "extensions": {},
    }
