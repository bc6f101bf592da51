"""The gateway's public port: made from the configuration, served beside the accounts, opened by each of them.

port = PublicPort.of(loaded, env)
url = await nursery.start(port.serve, metrics)           # only if `port.is_wanted`
async with port.open(requests, settings, questions, registration): # in each account
    ...
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import trio
from attrs import evolve, field

from oc_trio.callbacks.endpoints import EndpointRegistry, HookEndpoint
from oc_trio.classes import define
from oc_trio.config.accounts import Account
from oc_trio.config.load import Loaded
from oc_trio.core.entities import Channel
from oc_trio.core.relayed import RelayedHook
from oc_trio.core.targets import Target
from oc_trio.errors import CallbackRefused
from oc_trio.ids import AccountId, SessionKey
from oc_trio.runtime.clock import Clock
from oc_trio.runtime.delivery.buttons import ButtonMaker
from oc_trio.runtime.delivery.targets import TargetResolver
from oc_trio.runtime.handlers.callback_urls import (
    CallbackPlan,
    is_called_back,
    plan_callbacks,
    warn_unreachable,
)
from oc_trio.runtime.handlers.command_shares import CommandShares, native_order
from oc_trio.runtime.handlers.endpoints import build_registry, open_endpoints, serve_public, set_paths
from oc_trio.runtime.handlers.hooks import HookDelivery, HookHandler, HookTarget
from oc_trio.runtime.handlers.in_flight import open_in_flight
from oc_trio.runtime.handlers.questions import Questions
from oc_trio.runtime.handlers.relay import Relay
from oc_trio.runtime.handlers.relay_endpoints import RelayEndpoints, set_relayed
from oc_trio.runtime.handlers.relayed_requests import RelayedHandlers, open_relayed_requests
from oc_trio.runtime.handlers.shared_checks import SharedChecks
from oc_trio.runtime.handlers.slash_commands import CommandRegistration
from oc_trio.runtime.inbound.request_admission import RequestAdmission
from oc_trio.runtime.services import AccountServices
from oc_trio.runtime.tools.skills import SkillLibrary, find_skills
from oc_trio.telemetry.health import Health
from oc_trio.telemetry.log import get_logger
from oc_trio.telemetry.metrics import Metrics

log = get_logger(part="public_port")


@define(eq=False)
class PublicPort:
    """`skills` are those of the configuration; `bound` is the port that is served where 0 is configured. `shutdown`
    ends the serving, after the accounts have ended. `url` is empty until it is served.
    """

    loaded: Loaded
    registry: EndpointRegistry
    hooks: HookHandler
    clock: Clock
    skills: SkillLibrary = SkillLibrary()
    shares: CommandShares = field(factory=CommandShares)
    bound: int = 0
    url: str = field(init=False, default="")
    # Where other processes take part.
    checks: SharedChecks | None = field(init=False, default=None)
    shutdown: trio.Event = field(init=False, factory=trio.Event)
    _relay: RelayEndpoints | None = field(init=False, default=None)

    @classmethod
    def of(cls, loaded: Loaded, clock: Clock) -> "PublicPort":
        """The port that a configuration asks for. Blocking: skills are read from disk."""
        hooks = HookHandler(loaded.default_account, clock.new_id)
        folders: Iterable[Path] = (loaded.document.folder / folder for folder in loaded.config.skills.dirs)
        shares = CommandShares(native_order(loaded))
        return cls(
            loaded,
            build_registry(loaded.accounts, _hook_endpoint(loaded, hooks)),
            hooks,
            clock,
            find_skills(folders),
            shares,
        )

    @property
    def is_wanted(self) -> bool:
        """Whether anything would be called back."""
        return is_called_back(self.loaded.config, self.loaded.accounts)

    async def serve(self, metrics: Metrics, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until `shutdown`; started with the bound URL. Raises CallbackListenFailed."""
        await serve_public(self.loaded.config, self.registry, metrics, shutdown=self.shutdown, task_status=task_status)

    def opened(self, url: str) -> None:
        """It is served at `url`."""
        self.url, self.bound = url, urlsplit(url).port or 0

    def reload(self, fresh: Loaded) -> None:
        """Serve the accounts and hooks of a changed configuration. What was bound stays, as do skills: they are read at
        the start.
        """
        old = self.loaded.config
        gateway = old.gateway if self.url else fresh.config.gateway
        self.loaded = evolve(fresh, config=evolve(fresh.config, gateway=gateway, skills=old.skills))
        set_paths(self.registry, fresh.accounts)
        self._set_relayed()
        self.hooks.default_account = fresh.default_account
        self.registry.hooks = _hook_endpoint(fresh, self.hooks)

    def relay_by(self, relay: Relay, health: Health) -> None:
        """From now on leave requests for accounts that don't run here to the process that serves them."""
        self._relay = RelayEndpoints.of(relay, health)
        self.hooks.relay = self._relay_hook
        self.checks = SharedChecks(relay.store.claims, self.clock)
        self.registry.expected.elsewhere = self.checks.answer
        self._set_relayed()

    def _set_relayed(self) -> None:
        if self._relay is not None:
            set_relayed(self.registry, self.loaded.accounts, self._relay)

    async def _relay_hook(self, account: AccountId, hook: RelayedHook) -> None:
        assert self._relay is not None, "hooks are relayed by it"
        if account not in self.loaded.accounts:
            raise CallbackRefused(503, f"Account {account} is not running.")
        await self._relay.hook(account, hook)

    def plan(self, account: Account) -> CallbackPlan:
        return plan_callbacks(self.loaded.config, account, port=self.bound, skills=self.skills.commands)

    def buttons(self, account: Account, bot_token: Callable[[], str]) -> ButtonMaker:
        """Makes the buttons whose clicks come back to `account`."""
        return ButtonMaker(bot_token, self.plan(account).click_url, self.clock, has_listener=lambda: bool(self.url))

    def registration(self, services: AccountServices, account: Account) -> CommandRegistration:
        """Registers the account's slash commands, as soon as it is on the port."""
        plan = self.plan(account)
        audit_seconds = account.connection.audit_interval
        return CommandRegistration(services, plan.command_url, plan.specs, self.shares, audit_seconds=audit_seconds)

    @asynccontextmanager
    async def open(
        self,
        requests: RequestAdmission,
        settings: Account,
        questions: Questions,
        registration: CommandRegistration,
        stop: Callable[[SessionKey], bool],
    ) -> AsyncIterator[None]:
        """Serve an account's commands, clicks and hooks for as long as the block runs; also those that arrived at other
        processes, and wishes to `stop` a conversation.
        """
        plan, services = self.plan(settings), requests.services
        if self.url:
            command_url = plan.command_url if plan.native else ""
            log.info("callbacks", account=plan.account, listener=self.url, clicks=plan.click_url, commands=command_url)
            warn_unreachable(plan, settings)
            callbacks = services.health.account(plan.account).callbacks
            callbacks = evolve(callbacks, command_url=command_url, click_url=plan.click_url)
            services.health.update(plan.account, callbacks=callbacks)
        async with (
            open_endpoints(requests, self.registry, plan, questions, registration) as endpoints,
            trio.open_nursery() as nursery,
        ):
            delivery = HookDelivery(requests, questions.buttons, nursery)
            async with open_in_flight(requests.is_held) as in_flight:
                account = HookTarget(requests, locator(requests.services), delivery.deliver, in_flight)
                handlers = RelayedHandlers(
                    endpoints.buttons, endpoints.command, partial(self.hooks.handle, plan.account), stop
                )
                relay = self._relay.relay if self._relay is not None else None
                with self.hooks.account(plan.account, account):
                    async with open_relayed_requests(relay, services, handlers):
                        yield
            # Posts that are still to be sent are in the outbox.
            nursery.cancel_scope.cancel()


def _hook_endpoint(loaded: Loaded, hooks: HookHandler) -> HookEndpoint | None:
    settings = loaded.config.hooks
    return HookEndpoint(settings.path, settings.token.reveal, hooks.take) if settings.enabled else None


def locator(services: AccountServices) -> Callable[[Target], Awaitable[Channel]]:
    """Finds the channel of a target; a person's direct channel is opened. Raises TargetError, MattermostError."""
    resolver = TargetResolver(services.directory, services.user)

    async def locate(target: Target) -> Channel:
        place = await resolver.resolve(target)
        if place.channel is not None:
            return place.channel
        return await services.api.channels.direct(services.user.id, place.user_id)

    return locate
