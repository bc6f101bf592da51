"""Serves the public port, and registers each account's endpoints on it: slash commands, buttons, dialogs.

The server outlives the accounts: its paths are open, and answer 405 or 503, before any account runs.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from typing import Any, TypeVar

import trio
from attrs import evolve

from oc_trio.callbacks.endpoints import ButtonEndpoint, CommandEndpoint, EndpointRegistry, HookEndpoint
from oc_trio.callbacks.reply import UNAVAILABLE
from oc_trio.classes import frozen
from oc_trio.config.accounts import Account
from oc_trio.config.model import Config
from oc_trio.core.interactions import ButtonCallback
from oc_trio.core.questions import DialogAnswer
from oc_trio.core.slash import UNKNOWN_CHANNEL, SlashCall
from oc_trio.core.sourceip import ProxyTrust, parse_networks
from oc_trio.errors import CallbackRefused, MattermostUnavailable
from oc_trio.ids import AccountId
from oc_trio.runtime.handlers.button_clicks import ButtonClickHandler
from oc_trio.runtime.handlers.callback_urls import CallbackPlan, command_paths
from oc_trio.runtime.handlers.in_flight import open_in_flight
from oc_trio.runtime.handlers.model_picker import ModelPickerHandler
from oc_trio.runtime.handlers.questions import Questions
from oc_trio.runtime.handlers.slash_commands import CommandRegistration, SlashCommandHandler
from oc_trio.runtime.handlers.token_check import SlashTokenValidator
from oc_trio.runtime.inbound.request_admission import RequestAdmission
from oc_trio.telemetry.log import get_logger
from oc_trio.telemetry.metrics import Metrics

log = get_logger(part="endpoints")

T = TypeVar("T")
R = TypeVar("R")


@frozen(eq=False)
class OpenEndpoints:
    """An account's endpoints while they are registered; no `command` where native commands are off."""

    buttons: ButtonEndpoint
    command: CommandEndpoint | None = None


def build_registry(accounts: Mapping[AccountId, Account], hooks: HookEndpoint | None = None) -> EndpointRegistry:
    """The paths of these accounts, without handlers yet."""
    registry = EndpointRegistry(hooks=hooks)
    set_paths(registry, accounts)
    return registry


def set_paths(registry: EndpointRegistry, accounts: Mapping[AccountId, Account]) -> None:
    """Let the registry have the paths of these accounts from now on."""
    native = [account for account in accounts.values() if account.commands.native]
    registry.command_paths = tuple(dict.fromkeys(path for account in native for path in command_paths(account)))
    registry.click_sources = {
        name: parse_networks(account.interactions.allowed_source_ips) for name, account in accounts.items()
    }


async def serve_public(
    config: Config,
    registry: EndpointRegistry,
    metrics: Metrics,
    *,
    shutdown: trio.Event,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve `registry` until `shutdown`; started with the bound URL. Raises CallbackListenFailed."""
    # Quart and hypercorn are a fifth of what a start imports, and most gateways serve no public port.
    from oc_trio.callbacks.app import build_app
    from oc_trio.callbacks.server import TlsFiles, serve_callbacks

    gateway = config.gateway
    trust = ProxyTrust(parse_networks(gateway.trusted_proxies), allow_real_ip=gateway.allow_real_ip_fallback)
    tls = TlsFiles(gateway.tls.cert_file, gateway.tls.key_file) if gateway.tls.cert_file else None
    app = build_app(registry, metrics=metrics, trust=trust)
    await serve_callbacks(app, gateway.bind_host, gateway.port, tls, shutdown=shutdown, task_status=task_status)


@asynccontextmanager
async def open_endpoints(
    requests: RequestAdmission,
    registry: EndpointRegistry,
    plan: CallbackPlan,
    questions: Questions,
    registration: CommandRegistration,
) -> AsyncIterator[OpenEndpoints]:
    """Register an account's endpoints for as long as the block runs, and keep its slash commands on the server."""
    async with trio.open_nursery() as nursery:
        buttons = questions.buttons
        models = ModelPickerHandler(requests, buttons, nursery)
        clicks = ButtonClickHandler(requests, models, questions)
        harmless = requests.services.api.harmless
        # At the end: refuse new requests first, let those in flight finish, then close what they use.
        async with open_in_flight(requests.is_held) as in_flight:
            track = in_flight.track
            with ExitStack() as stack:
                refused = partial(requests.services.health.refused_call, plan.account)
                endpoint = ButtonEndpoint(
                    buttons.bot_token, track(clicks.click), track(clicks.dialog), harmless, refused
                )
                stack.enter_context(registry.clicks(plan.account, _relaying_clicks(endpoint, registry, plan.account)))
                command: CommandEndpoint | None = None
                if plan.native:
                    handler = SlashCommandHandler(
                        requests, registration.commands, plan.specs, SlashTokenValidator(requests.services.api), models
                    )
                    command = CommandEndpoint(registration.commands.current, track(handler.call), harmless, refused)
                    for path in plan.command_paths:
                        relaying = _relaying_commands(command, registry, plan.account, path)
                        stack.enter_context(registry.commands(plan.account, path, relaying))
                    await nursery.start(registration.run)
                else:
                    # Beside the account: it need not wait for the server to delete commands.
                    nursery.start_soon(registration.remove_all)
                yield OpenEndpoints(endpoint, command)
        nursery.cancel_scope.cancel()


def _relaying_clicks(endpoint: ButtonEndpoint, registry: EndpointRegistry, account: AccountId) -> ButtonEndpoint:
    """The endpoint, which leaves to other processes what it can't finish because the account stops here."""

    def click() -> Callable[[ButtonCallback], Awaitable[Mapping[str, Any]]] | None:
        relayed = registry.relayed_clicks_of(account)
        return relayed.click if relayed is not None else None

    def dialog() -> Callable[[DialogAnswer], Awaitable[Mapping[str, Any]]] | None:
        relayed = registry.relayed_clicks_of(account)
        return relayed.dialog if relayed is not None else None

    return evolve(endpoint, click=_or_relayed(endpoint.click, click), dialog=_or_relayed(endpoint.dialog, dialog))


def _relaying_commands(
    endpoint: CommandEndpoint, registry: EndpointRegistry, account: AccountId, path: str
) -> CommandEndpoint:
    """As above, of commands; where the server can't say who calls, its caller is told to try again."""

    def call() -> Callable[[SlashCall], Awaitable[str]] | None:
        relayed = registry.relayed_commands_of(account, path)
        return relayed.call if relayed is not None else None

    answered = _or_relayed(endpoint.call, call)

    async def in_words(slash_call: SlashCall) -> str:
        try:
            return await answered(slash_call)
        except MattermostUnavailable:
            return UNKNOWN_CHANNEL

    return evolve(endpoint, call=in_words)


def _or_relayed(
    call: Callable[[T], Awaitable[R]], relayed: Callable[[], Callable[[T], Awaitable[R]] | None]
) -> Callable[[T], Awaitable[R]]:
    async def answered(request: T) -> R:
        try:
            return await call(request)
        except CallbackRefused as refusal:
            elsewhere = relayed()
            # Of what an account refuses while it stops, nothing was admitted: see `in_flight`.
            if elsewhere is None or refusal.reason != UNAVAILABLE:
                raise
        return await elsewhere(request)

    return answered
