"""A sandbox, an account's request handlers without a gateway, and the public port between them: one process, no socket.

The sandbox calls the port through Quart's test client; what they admit is recorded instead of answered.
"""

import json
import random
import sqlite3
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import trio
from attrs import define, field
from quart_trio import QuartTrio

from oc_trio.callbacks.app import build_app
from oc_trio.callbacks.endpoints import EndpointRegistry
from oc_trio.config.accounts import Account
from oc_trio.config.document import Document
from oc_trio.config.load import Loaded, build
from oc_trio.core.backoff import RetryPolicy
from oc_trio.core.chat_commands import ChatCommand
from oc_trio.core.entities import NewPost, User
from oc_trio.core.events import Post
from oc_trio.core.inbound import InboundMessage
from oc_trio.core.ledger import Obligation
from oc_trio.core.ratelimit import Lane, RatePolicy
from oc_trio.core.second_gateway import Installation
from oc_trio.core.turn_events import Button
from oc_trio.ids import AccountId, AgentId, PostId, UserId
from oc_trio.mattermost.budget import RateBudget
from oc_trio.mattermost.client import Api
from oc_trio.mattermost.directory import Directory
from oc_trio.mattermost.files import FileService
from oc_trio.mattermost.post_creator import PostCreator
from oc_trio.mattermost.transport import Transport, open_server
from oc_trio.runtime.agents import AgentTable
from oc_trio.runtime.clock import Clock
from oc_trio.runtime.conversation.context import ConversationContext
from oc_trio.runtime.delivery.attachments import MediaLoader
from oc_trio.runtime.delivery.buttons import ButtonMaker
from oc_trio.runtime.delivery.delivery import Delivery
from oc_trio.runtime.delivery.fetch import Fetcher
from oc_trio.runtime.delivery.late_edits import LateEditGuard
from oc_trio.runtime.delivery.uploads import FileUploader
from oc_trio.runtime.earlier_answers import EarlierAnswers
from oc_trio.runtime.error_boundary import ErrorBoundary
from oc_trio.runtime.handlers.callback_urls import plan_callbacks
from oc_trio.runtime.handlers.command_shares import CommandShares
from oc_trio.runtime.handlers.endpoints import build_registry, open_endpoints
from oc_trio.runtime.handlers.questions import Questions
from oc_trio.runtime.handlers.slash_commands import CommandRegistration
from oc_trio.runtime.inbound.request_admission import RequestAdmission
from oc_trio.runtime.people import People
from oc_trio.runtime.policies import policies
from oc_trio.runtime.second_gateway import SecondGatewayAlarm
from oc_trio.runtime.services import AccountServices, BotUser
from oc_trio.sandbox import records
from oc_trio.sandbox.http_transport import SandboxTransport
from oc_trio.sandbox.outgoing import IntegrationRequest, IntegrationResponse, IntegrationUnreachable, PostOut
from oc_trio.sandbox.world import SandboxBot, World
from oc_trio.store.store import Store, open_store
from oc_trio.telemetry.health import Health
from oc_trio.telemetry.metrics import Metrics
from tests.journals import template

MAIN = AccountId("default")
BASE_URL = "http://mm.test"
START_MS = 1_700_000_000_000


def now_ms() -> int:
    return START_MS + int(trio.current_time() * 1000)


@define(eq=False)
class CallbackHarness:
    """Everything a test touches. `admitted` records what was handed over."""

    world: World
    team: records.TeamRecord
    alice: records.UserRecord
    mallory: records.UserRecord
    bot: SandboxBot
    square: records.ChannelRecord
    loaded: Loaded
    database: sqlite3.Connection
    # Opened in the place of `database`, with the writer's thread of a real gateway.
    journal: Path | None = None
    metrics: Metrics = field(factory=Metrics)
    admitted: list[tuple[InboundMessage, ChatCommand | None]] = field(factory=list)
    answers: list[IntegrationResponse] = field(factory=list)
    app: QuartTrio | None = None
    send: PostOut | None = None  # what the sandbox calls instead of `post_out`
    stack: AsyncExitStack = field(init=False)  # of the current run
    requests: RequestAdmission = field(init=False)
    registry: EndpointRegistry = field(init=False)
    buttons: ButtonMaker = field(init=False)
    questions: Questions = field(init=False)
    registration: CommandRegistration = field(init=False)
    store: Store = field(init=False)

    @property
    def account(self) -> Account:
        return self.loaded.accounts[MAIN]

    async def post_out(self, call: IntegrationRequest) -> IntegrationResponse:
        """The sandbox's way to the port."""
        if self.app is None:
            raise IntegrationUnreachable("nobody listens")
        client: Any = self.app.test_client()
        response = await client.open(
            urlsplit(call.url).path,
            method=call.method,
            data=call.body,
            headers=dict(call.headers),
            scope_base={"client": ("127.0.0.1", 4000)},
        )
        body = bytes(await response.get_data(as_text=False))
        answer = IntegrationResponse(response.status_code, response.headers.get("content-type", ""), body)
        self.answers.append(answer)
        return answer

    async def execute(
        self,
        line: str,
        *,
        by: records.UserRecord | None = None,
        where: records.ChannelRecord | None = None,
        root_id: str = "",
    ) -> dict[str, Any]:
        """Type a slash command; gives what its caller is shown."""
        channel = where or self.square
        body = {"channel_id": channel.id, "team_id": self.team.id, "command": line, "root_id": root_id}
        return await self.world.slash.execute(by or self.alice, body)

    async def press(
        self, post_id: str, action: str, *, by: records.UserRecord | None = None, selected: str = ""
    ) -> Mapping[str, Any]:
        """Press a button (by the name it shows) of a post; gives the port's answer."""
        await self.world.interactions.press(by or self.alice, post_id, self.action_id(post_id, action), selected, "")
        answer: Mapping[str, Any] = json.loads(self.answers[-1].body)
        return answer

    def actions(self, post_id: str) -> list[dict[str, Any]]:
        attachments = self.world.posts.live(post_id).props.get("attachments", [])
        return [action for attachment in attachments for action in attachment.get("actions", [])]

    def action_id(self, post_id: str, name: str) -> str:
        return next(str(action["id"]) for action in self.actions(post_id) if action["name"] == name)

    def shown(self, post_id: str) -> list[str]:
        """The texts of a post's attachments."""
        return [each.get("text", "") for each in self.world.posts.live(post_id).props.get("attachments", [])]

    def texts(self, channel: records.ChannelRecord | None = None) -> list[str]:
        return [entry.message for entry in self.world.transcript(channel or self.square)]

    def posts(self, channel: records.ChannelRecord | None = None) -> list[records.PostRecord]:
        return [post for post in self.world.posts.of_channel((channel or self.square).id) if not post.type]

    async def post_buttons(self, *labels: str, channel: records.ChannelRecord | None = None, root_id: str = "") -> str:
        """The bot offers buttons whose callback data are their labels in lower case."""
        where = channel or self.square
        rows = (tuple(Button(label, label.lower()) for label in labels),)
        props = self.buttons.props(where.id, rows)  # type: ignore[arg-type]
        return self.world.post_as(self.bot, where, "Choose", root_id=root_id, props=props).id

    @asynccontextmanager
    async def running(self) -> AsyncGenerator["CallbackHarness", None]:
        """The account is up: one run of the gateway."""
        async with AsyncExitStack() as stack:
            self.stack = stack
            if self.journal is None and not self.database.execute("SELECT 1 FROM sqlite_master").fetchone():
                self.database.deserialize(await template())
            self.store = await stack.enter_async_context(open_store(self.journal or self.database))
            budget = RateBudget(RatePolicy(rate=1000.0, burst=1000.0))
            transport = SandboxTransport(self.world)
            server = await stack.enter_async_context(
                open_server(BASE_URL, None, budget=budget, http_transport=transport)
            )
            services = self._services(Api(Transport(server, lambda: self.bot.token)))

            def submit(_: Obligation, message: InboundMessage, command: ChatCommand | None) -> None:
                self.admitted.append((message, command))

            self.requests = RequestAdmission(services, submit)
            self.registry = build_registry(self.loaded.accounts)
            plan = plan_callbacks(self.loaded.config, self.account)
            self.buttons = ButtonMaker(lambda: self.bot.token, plan.click_url, services.clock)
            self.app = build_app(self.registry, metrics=self.metrics)
            self.questions = Questions(services, self.buttons)
            shares = CommandShares((plan.account,))
            self.registration = CommandRegistration(services, plan.command_url, plan.specs, shares)
            endpoints = open_endpoints(self.requests, self.registry, plan, self.questions, self.registration)
            await stack.enter_async_context(endpoints)
            try:
                yield self
            finally:
                self.app = None

    async def registered(self) -> None:
        """Until the first round of registration is over."""
        with trio.fail_after(5):
            await self.registration.tried.wait()

    def _services(self, api: Api) -> AccountServices:
        user_id, clock = UserId(self.bot.id), Clock(now_ms, random.Random(3))
        sender = PostCreator(api, user_id, clock.random.random)

        async def send(new: NewPost, lane: Lane, in_doubt: bool) -> Post:
            return await sender.create(new, lane=lane, in_doubt=in_doubt)

        async def patch(post_id: PostId, message: str, lane: Lane) -> Post:
            return await api.posts.patch(post_id, message=message, lane=lane)

        delivery = Delivery(
            MAIN, user_id, self.store, clock, self.metrics, send, patch, api.posts.delete, RetryPolicy(0.1, 1.0)
        )
        rules, directory = policies(self.loaded.config, self.account), Directory(api)
        people = People(MAIN, user_id, directory, self.store.pairing, rules.access)
        names = [f"big/m{number}" for number in range(1, 11)] + ["small/one"]
        agents = AgentTable({}, {name: {} for name in names}, {AgentId("main"): "big/m1"}, AgentId("main"))
        files = FileService(api)
        health = Health(now_ms)
        return AccountServices(
            account=MAIN,
            bot=BotUser(User(user_id, self.bot.username, is_bot=True)),
            api=api,
            name="",
            directory=directory,
            people=people,
            store=self.store,
            clock=clock,
            metrics=self.metrics,
            health=health,
            policies=rules,
            agents=agents,
            delivery=delivery,
            late_edits=LateEditGuard(delivery, api),
            context=ConversationContext(people, api, self.store, rules),
            boundary=ErrorBoundary(MAIN, self.metrics),
            second_gateway=SecondGatewayAlarm(
                MAIN,
                Installation("ours"),
                lambda: User(user_id, self.bot.username, is_bot=True),
                clock,
                self.metrics,
                health,
            ),
            earlier_answers=EarlierAnswers(api, user_id),
            uploader=FileUploader(files, MediaLoader(8 * 1024 * 1024, files, Fetcher()), clock, RetryPolicy(0.1, 1.0)),
        )


class _Database(sqlite3.Connection):
    """A harness may run its account several times: the journal lasts as long as the harness."""

    def __del__(self) -> None:
        self.close()


def callback_harness(*, admin: bool = True, rules: Mapping[str, Any] | None = None, **settings: Any) -> CallbackHarness:
    """Alice (who may use the bot) and mallory (who may not) in a channel `square`.

    `settings` are the account's, `rules` the table `commands`.
    """
    callbacks: CallbackHarness

    async def out(call: IntegrationRequest) -> IntegrationResponse:
        return await (callbacks.send or callbacks.post_out)(call)

    world = World(now_ms, random.Random(7), post_out=out)
    alice = world.create_user("alice", "Passw0rd!x")
    team = world.create_team("town", alice)
    mallory = world.create_user("mallory", "Passw0rd!x", team=team)
    bot = world.create_bot("helper", team=team, admin=admin)
    square = world.create_channel(team, "square", alice, bot, mallory)
    account = {
        "enabled": True,
        "botToken": bot.token,
        "baseUrl": BASE_URL,
        "commands": {"native": True},
        "groupAllowFrom": [alice.id],
        "allowFrom": [alice.id],
        "dmPolicy": "allowlist",
        **settings,
    }
    commands = {"commands": rules} if rules else {}
    values = {**commands, "channels": {"mattermost": account}, "models": {"providers": {"demo": {"api": "scripted"}}}}
    loaded = build(Document(values), {}, connect=False)
    database = sqlite3.connect(":memory:", check_same_thread=False, factory=_Database)
    callbacks = CallbackHarness(world, team, alice, mallory, bot, square, loaded, database)
    return callbacks
