"""One account's branch of the supervision tree: services outlive the workers that use them.

services (HTTP, pace, direct channels)
└─ workers: listener, catch-up, audit, dispatcher's sessions, chat commands
"""

from collections.abc import Callable, Mapping
from functools import partial

import trio
from attrs import field, frozen

from oc_trio.config.accounts import Account
from oc_trio.config.services import CronJob
from oc_trio.core.backoff import RetryPolicy
from oc_trio.core.entities import NewPost, User
from oc_trio.core.events import Post
from oc_trio.core.mention_escape import clean, defuse
from oc_trio.core.queueing import QueueRules
from oc_trio.core.ratelimit import Lane
from oc_trio.ids import AccountId, ChannelId, PostId, SessionKey, UserId
from oc_trio.mattermost.client import Api
from oc_trio.mattermost.direct import DirectChannels, open_direct_channels
from oc_trio.mattermost.directory import Directory
from oc_trio.mattermost.post_creator import PostCreator
from oc_trio.mattermost.transport import Origin, Transport
from oc_trio.runtime.account.connection import STOPPED, AccountConnection, show_state
from oc_trio.runtime.account.dependencies import Dependencies
from oc_trio.runtime.account.login import cancel_on, fetch_own_user
from oc_trio.runtime.account.outbound_client import direct_retry, outbound_client_of
from oc_trio.runtime.account.recovery import Recovery
from oc_trio.runtime.account.schedule import Schedule
from oc_trio.runtime.account.token import Token
from oc_trio.runtime.agents import AgentTable
from oc_trio.runtime.conversation.attachments import AttachmentReader
from oc_trio.runtime.conversation.cancel_reason import CancelReason
from oc_trio.runtime.conversation.context import ConversationContext
from oc_trio.runtime.conversation.dispatcher import Dispatcher
from oc_trio.runtime.conversation.session import Session
from oc_trio.runtime.conversation.settings import load_settings, queue_rules
from oc_trio.runtime.delivery.ack_reactions import AckReactions
from oc_trio.runtime.delivery.buttons import ButtonMaker
from oc_trio.runtime.delivery.delivery import Delivery
from oc_trio.runtime.delivery.fetch import Fetcher
from oc_trio.runtime.delivery.late_edits import LateEditGuard
from oc_trio.runtime.delivery.message_sender import MessageSender
from oc_trio.runtime.delivery.uploads import FileUploader
from oc_trio.runtime.drain import Drain
from oc_trio.runtime.error_boundary import DEFECT
from oc_trio.runtime.handlers.ask_tools import ASK, AskTools
from oc_trio.runtime.handlers.public_port import PublicPort
from oc_trio.runtime.handlers.questions import ASK_SECONDS, Questions
from oc_trio.runtime.handlers.request_context import RequestContext
from oc_trio.runtime.handlers.slash_commands import CommandRegistration
from oc_trio.runtime.inbound.admission import AdmissionPipeline
from oc_trio.runtime.inbound.bot_loop_guard import BotLoops
from oc_trio.runtime.inbound.chat_commands import ChatCommandHandler
from oc_trio.runtime.inbound.denials import Denials
from oc_trio.runtime.inbound.event_handler import EventHandler
from oc_trio.runtime.inbound.event_tries import EventTries
from oc_trio.runtime.policies import Policies
from oc_trio.runtime.services import AccountServices
from oc_trio.runtime.task_slot import TaskSlot
from oc_trio.runtime.tools.mcp_servers import ToolServers
from oc_trio.runtime.tools.message_permissions import MessagePermissions
from oc_trio.runtime.tools.message_tool import MessageTool
from oc_trio.runtime.tools.turn_tools import TurnTools
from oc_trio.runtime.turn.edit_pacer import EditPacer
from oc_trio.runtime.turn.end_without_agent import settle
from oc_trio.runtime.turn.live_drafts import LiveDrafts
from oc_trio.runtime.turn.services import TurnServices
from oc_trio.runtime.turn.turn import TurnRunner
from oc_trio.store.store import Store
from oc_trio.telemetry.health import Health
from oc_trio.telemetry.log import get_logger
from oc_trio.telemetry.metrics import Metrics

log = get_logger(part="account")

_COMMANDS_AT_ONCE = 8
RETRIES = RetryPolicy(initial=0.5, maximum=30.0)


@frozen(eq=False)
class AccountParts:
    """What the gateway gives to an account; `origin` and `agents` are shared."""

    id: AccountId
    settings: Account
    policies: Policies
    origin: Origin
    store: Store
    agents: AgentTable
    dependencies: Dependencies
    token: Token
    metrics: Metrics
    health: Health
    ready: trio.Event
    buttons: ButtonMaker
    port: PublicPort
    servers: ToolServers = field(factory=ToolServers)
    jobs: Mapping[str, CronJob] = field(factory=dict)
    idle_seconds: float = 900.0
    drain: Drain = field(factory=Drain)


async def run_account(parts: AccountParts) -> None:
    """Serve one account until the drain is over. `parts.ready` is set whenever it goes live."""
    harmless = clean if parts.settings.delivery.allow_channel_mentions else defuse
    api = Api(Transport(parts.origin, parts.token.reveal), harmless)
    user: User | None = None
    retry, random = direct_retry(parts.settings), parts.dependencies.clock.random.random
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cancel_on, parts.drain.requested, nursery.cancel_scope)
        show = partial(show_state, parts.health, parts.metrics, parts.id)
        user = await fetch_own_user(parts.id, api, parts.token, show, random, RETRIES)
        nursery.cancel_scope.cancel()
    if user is not None:
        parts.health.update(parts.id, bot=user.username)
        # Workers are stopped first: an answer that is being sealed still needs the services.
        async with (
            open_direct_channels(api, user.id, retry=retry, random=random) as direct,
            trio.open_nursery() as workers,
        ):
            account = _Account(parts, api, user, direct, workers)
            await account.serve(workers)
    show_state(parts.health, parts.metrics, parts.id, STOPPED, "")


class _Account:
    """The parts of a running account, put together."""

    def __init__(
        self, parts: AccountParts, api: Api, user: User, direct: DirectChannels, workers: trio.Nursery
    ) -> None:
        self.parts = parts
        clock, store = parts.dependencies.clock, parts.store
        post_sender = PostCreator(api, user.id, clock.random.random)

        async def send(new: NewPost, lane: Lane, in_doubt: bool) -> Post:
            return await post_sender.create(new, lane=lane, in_doubt=in_doubt)

        async def patch(post_id: PostId, message: str, lane: Lane) -> Post:
            return await api.posts.patch(post_id, message=message, lane=lane)

        async def open_direct(user_id: UserId) -> ChannelId:
            return (await direct.channel(user_id)).id

        remove = api.posts.delete
        delivery = Delivery(
            parts.id,
            user.id,
            store,
            clock,
            parts.metrics,
            send,
            patch,
            remove,
            RETRIES,
            open_direct=open_direct,
            read=api.posts.get,
        )
        directory = Directory(api)
        self.outbound = outbound = outbound_client_of(
            parts.settings, api, user, direct, post_sender, parts.policies.reply, parts.buttons, directory
        )
        self.postbox = MessageSender(delivery, workers)
        message_tool = MessageTool(outbound, self.postbox, MessagePermissions.of(parts.settings), parts.policies)
        self.services = AccountServices(
            account=parts.id,
            user=user,
            name=parts.settings.name,
            api=api,
            directory=directory,
            store=store,
            clock=clock,
            metrics=parts.metrics,
            health=parts.health,
            policies=parts.policies,
            agents=parts.agents,
            delivery=delivery,
            late_edits=LateEditGuard(delivery, api),
            uploader=FileUploader(
                outbound.files,
                Fetcher(parts.dependencies.ssl_context, parts.dependencies.fetch_transport),
                clock,
                RETRIES,
            ),
            context=ConversationContext(parts.id, user.id, api, directory, store, parts.policies),
            boundary=parts.dependencies.boundary(parts.id, parts.metrics),
        )
        self.questions = Questions(self.services, parts.buttons)
        self.turns = TurnServices(
            pacer=EditPacer(parts.policies.pacing, partial(parts.origin.budget.room, Lane.EDIT)),
            live=LiveDrafts(),
            acks=AckReactions(api, user.id, parts.policies.acks),
            previewer=parts.dependencies.previewer,
            tools=self._tools(message_tool),
            reader=lambda bounds: AttachmentReader(
                outbound.files, outbound.media.limit, parts.dependencies.pictures, bounds
            ),
            button_props=parts.buttons.final_props if parts.port.is_wanted else lambda _channel, _rows: "",
        )

    def _tools(self, message_tool: MessageTool) -> TurnTools:
        """What agents may use here; what asks people is left out where no click could come back."""
        parts = self.parts
        if not parts.port.is_wanted:
            return TurnTools(message_tool, parts.servers, parts.port.skills)
        asks = AskTools(self.questions, parts.buttons)
        # A person may take their time; the question's own deadline comes first.
        limits = {ASK.name: ASK_SECONDS + 30}
        return TurnTools(message_tool, parts.servers, parts.port.skills, (asks.tools,), limits, asks.approval)

    async def serve(self, workers: trio.Nursery) -> None:
        services, turns, parts = self.services, self.turns, self.parts
        runner = TurnRunner(services, turns)
        recovery: Recovery

        def make_session(key: SessionKey) -> Session:
            return parts.dependencies.session(
                key,
                run_turn=runner,
                settle=partial(settle, services),
                reload=lambda session: recovery.open_jobs(session),
                load_rules=self._queue_rules,
                idle_seconds=parts.idle_seconds,
                gather_seconds=parts.policies.gather,
            )

        async with trio.open_nursery() as sessions:
            dispatcher = Dispatcher(sessions, make_session, self._keep)
            services.metrics.sessions.labels(services.account).set_function(lambda: len(dispatcher))
            services.metrics.live_drafts.labels(services.account).set_function(lambda: turns.pacer.live)
            intake = AdmissionPipeline(
                services,
                Denials(services, sessions).explain,
                BotLoops(services.account, services.store.claims, services.clock),
            )
            desk = ChatCommandHandler(services, dispatcher, sessions, trio.CapacityLimiter(_COMMANDS_AT_ONCE))
            registration = parts.port.registration(services, parts.settings)
            inbox = EventHandler(
                services,
                intake,
                dispatcher,
                desk,
                turns.live,
                EventTries(services.boundary),
                note=registration.note,
                take_text=self.questions.take_text,
            )
            recovery = Recovery(services, inbox, sessions)
            await services.late_edits.restore()
            await recovery.run()
            # Whatever brings in messages ends before the nursery of those who answer them does.
            async with trio.open_nursery() as feeders:
                await self._feed(feeders, inbox, registration)
                feeders.cancel_scope.cancel()
            sessions.cancel_scope.deadline = trio.current_time() + parts.drain.seal_seconds
        workers.cancel_scope.cancel()

    async def _feed(self, feeders: trio.Nursery, inbox: EventHandler, registration: CommandRegistration) -> None:
        """Take messages in until the drain is requested, and let turns end by themselves for as long as it allows."""
        services, parts, dispatcher = self.services, self.parts, inbox.dispatcher
        catch_up = parts.dependencies.catch_up(services, inbox, parts.settings.catchup, feeders)
        uplink = AccountConnection(
            services, parts.settings, parts.dependencies, parts.token, parts.ready, inbox, catch_up, TaskSlot(feeders)
        )
        front = RequestContext.of(services, inbox)
        async with parts.port.open(front, parts.settings, self.questions, registration):
            await uplink.start()
            feeders.start_soon(uplink.run_audit)
            feeders.start_soon(Schedule(front, self.outbound, self.postbox, parts.jobs).run)
            await parts.drain.requested.wait()
            dispatcher.stop_intake()
            # Until here answers to open questions still come in.
            await parts.drain.idle(lambda: dispatcher.is_idle)
        dispatcher.cancel_all(reason=CancelReason.DRAIN.value)
        await uplink.stop()

    async def _queue_rules(self, key: SessionKey) -> QueueRules:
        rules = self.services.policies.queue

        async def load() -> None:
            nonlocal rules
            rules = queue_rules(self.services.policies.queue, await load_settings(self.services.store, key))

        await self.services.boundary.contain(load, "queue rules", {"session": key})
        return rules

    async def _keep(self, session: Session, on_idle: Callable[[], object]) -> None:
        """Run a conversation's task. A defect of it fails the messages that it held; the next one begins it anew."""
        work = partial(session.run, on_idle=on_idle)
        if await self.services.boundary.contain(work, "conversation", {"session": session.key}) is not None:
            on_idle()
            if jobs := session.abandon():
                await settle(self.services, jobs, DEFECT)
