"""Callers and endpoints for tests of the public port: they record what they are asked."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from attrs import define, field
from quart_trio import QuartTrio

from oc_trio.callbacks.app import build_app
from oc_trio.callbacks.endpoints import ButtonEndpoint, CommandEndpoint, EndpointRegistry, HookEndpoint
from oc_trio.callbacks.request_limiter import Limits
from oc_trio.core.entities import SlashCommand
from oc_trio.core.hooks import Hook, HookKind
from oc_trio.core.interactions import ButtonCallback
from oc_trio.core.questions import DialogAnswer
from oc_trio.core.slash import SlashCall
from oc_trio.core.sourceip import ProxyTrust
from oc_trio.ids import AccountId, CommandId, TeamId
from oc_trio.telemetry.metrics import Metrics

COMMAND_PATH = "/api/channels/mattermost/command"
CLICK_PATH = "/mattermost/interactions/default"
BOT_TOKEN = "test-bot-token"
HOOK_TOKEN = "hook-secret-0123456789"
MAIN = AccountId("default")

STATUS = SlashCommand(CommandId("c1"), TeamId("team1"), "oc_status", url="http://gw/", token="tok-status")
MODEL = SlashCommand(CommandId("c2"), TeamId("team1"), "oc_model", url="http://gw/", token="tok-model")

FORM = {
    "token": "tok-status",
    "team_id": "team1",
    "channel_id": "chan1",
    "user_id": "user1",
    "command": "/oc_status",
    "text": "",
}


@define(eq=False)
class RecordingHandler:
    """Answers everything and remembers it; `fail` is raised instead, once it is set."""

    known: tuple[SlashCommand, ...] | None = (STATUS, MODEL)
    calls: list[SlashCall] = field(factory=list)
    clicks: list[ButtonCallback] = field(factory=list)
    dialogs: list[DialogAnswer] = field(factory=list)
    hooks: list[tuple[HookKind, Hook]] = field(factory=list)
    fail: Exception | None = None

    async def call(self, call: SlashCall) -> str:
        self.calls.append(call)
        self._perhaps_fail()
        return "Processing..."

    async def click(self, callback: ButtonCallback) -> Mapping[str, Any]:
        self.clicks.append(callback)
        self._perhaps_fail()
        return {}

    async def dialog(self, answer: DialogAnswer) -> Mapping[str, Any]:
        self.dialogs.append(answer)
        return {}

    async def take(self, kind: HookKind, hook: Hook) -> str:
        self.hooks.append((kind, hook))
        self._perhaps_fail()
        return f"hook:{kind.value}:1"

    def _perhaps_fail(self) -> None:
        if self.fail is not None:
            raise self.fail


@define(eq=False)
class Port:
    """An app with one account behind it, as tests call it."""

    app: QuartTrio
    registry: EndpointRegistry
    handler: RecordingHandler
    metrics: Metrics
    stack: ExitStack  # holds the account in its place for as long as the port lives

    async def post(
        self,
        path: str,
        body: bytes = b"",
        *,
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
        peer: str = "127.0.0.1",
    ) -> tuple[int, bytes, Mapping[str, str]]:
        client: Any = self.app.test_client()
        response = await client.open(
            path, method=method, data=body, headers=dict(headers or {}), scope_base={"client": (peer, 4000)}
        )
        return response.status_code, bytes(await response.get_data(as_text=False)), dict(response.headers)


def open_port(
    *,
    known: tuple[SlashCommand, ...] | None = (STATUS, MODEL),
    limits: Limits | None = None,
    trust: ProxyTrust | None = None,
    arrange: Callable[[EndpointRegistry, RecordingHandler, ExitStack], None] | None = None,
) -> Port:
    """A port whose account is there, unless `arrange` puts something else behind the paths."""
    handler, metrics, stack = RecordingHandler(known), Metrics(), ExitStack()
    registry = EndpointRegistry((COMMAND_PATH,), {MAIN: ()}, HookEndpoint("/hooks", lambda: HOOK_TOKEN, handler.take))
    if arrange is not None:
        arrange(registry, handler, stack)
    else:
        stack.enter_context(registry.commands(MAIN, COMMAND_PATH, CommandEndpoint(lambda: handler.known, handler.call)))
        stack.enter_context(registry.clicks(MAIN, ButtonEndpoint(lambda: BOT_TOKEN, handler.click, handler.dialog)))
    return Port(build_app(registry, metrics=metrics, trust=trust, limits=limits), registry, handler, metrics, stack)
