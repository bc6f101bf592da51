"""Builds the parts of one account: what they share, what its turns need, and how its messages are sent.

Building waits for nothing, starts no task and sends no request. `runtime.account.account` runs what is built here.
"""

from functools import partial

import trio
from attrs import field

from oc_trio.classes import frozen
from oc_trio.config.accounts import Account
from oc_trio.core.backoff import RetryPolicy
from oc_trio.core.entities import NewPost, User
from oc_trio.core.events import Post
from oc_trio.core.post_marker import INSTALLATION
from oc_trio.core.ratelimit import Lane
from oc_trio.core.second_gateway import Installation
from oc_trio.ids import AccountId, ChannelId, PostId, UserId
from oc_trio.lease import Lease
from oc_trio.mattermost.client import Api
from oc_trio.mattermost.direct import DirectChannels
from oc_trio.mattermost.directory import Directory
from oc_trio.mattermost.post_creator import PostCreator
from oc_trio.mattermost.transport import MattermostServer
from oc_trio.runtime.account.dependencies import Dependencies
from oc_trio.runtime.account.live_accounts import LiveAccounts
from oc_trio.runtime.account.outbound_client import outbound_client_of
from oc_trio.runtime.account.token import Token
from oc_trio.runtime.agents import AgentTable
from oc_trio.runtime.conversation.attachments import AttachmentReader
from oc_trio.runtime.conversation.context import ConversationContext
from oc_trio.runtime.conversation.dispatcher import Dispatcher
from oc_trio.runtime.delivery.ack_reactions import AckReactions
from oc_trio.runtime.delivery.buttons import ButtonMaker
from oc_trio.runtime.delivery.compose import OutboundClient
from oc_trio.runtime.delivery.delivery import Delivery
from oc_trio.runtime.delivery.late_edits import LateEditGuard
from oc_trio.runtime.delivery.message_sender import MessageSender
from oc_trio.runtime.drain import Drain
from oc_trio.runtime.earlier_answers import EarlierAnswers
from oc_trio.runtime.handlers.ask_tools import ASK, AskTools
from oc_trio.runtime.handlers.public_port import PublicPort
from oc_trio.runtime.handlers.questions import ASK_SECONDS, Questions
from oc_trio.runtime.handlers.slash_commands import CommandRegistration
from oc_trio.runtime.inbound.admission import AdmissionPipeline
from oc_trio.runtime.inbound.bot_loop_guard import BotLoops
from oc_trio.runtime.inbound.chat_commands import ChatCommandHandler
from oc_trio.runtime.inbound.denials import Denials
from oc_trio.runtime.inbound.event_handler import EventHandler
from oc_trio.runtime.inbound.event_tries import EventTries
from oc_trio.runtime.inbound.post_handler import PostHandler
from oc_trio.runtime.people import People
from oc_trio.runtime.policies import Policies
from oc_trio.runtime.schedule.job_table import JobTable
from oc_trio.runtime.second_gateway import SecondGatewayAlarm
from oc_trio.runtime.services import AccountServices, BotUser
from oc_trio.runtime.tools.mcp_servers import ToolServers
from oc_trio.runtime.tools.message_permissions import MessagePermissions
from oc_trio.runtime.tools.message_tool import MessageTool
from oc_trio.runtime.tools.turn_tools import TurnTools
from oc_trio.runtime.turn.edit_pacer import EditPacer
from oc_trio.runtime.turn.live_drafts import LiveDrafts
from oc_trio.runtime.turn.services import TurnServices
from oc_trio.store.store import Store
from oc_trio.telemetry.health import Health
from oc_trio.telemetry.metrics import Metrics

# Commands are quick, but each writes to the journal and may wait for it.
# So many that one which waits does not hold up the others, so few that a flood of them leaves answers their turn.
_COMMANDS_AT_ONCE = 8
# However long the server was away: half a minute after it is back, posts go out again.
RETRIES = RetryPolicy(initial=0.5, maximum=30.0)


@frozen(eq=False)
class AccountInputs:
    """What the gateway gives an account. `server`, `agents`, `port` and `tool_servers` are shared with other accounts;
    `ready` is set whenever the account goes live. `store` refuses what is written after the loss of the `lease`.
    """

    id: AccountId
    settings: Account
    policies: Policies
    server: MattermostServer
    store: Store
    agents: AgentTable
    dependencies: Dependencies
    token: Token
    metrics: Metrics
    health: Health
    ready: trio.Event
    buttons: ButtonMaker
    port: PublicPort
    jobs: JobTable
    lease: Lease
    tool_servers: ToolServers = field(factory=ToolServers)
    idle_seconds: float = 900.0
    installation: Installation = Installation("")
    drain: Drain = field(factory=Drain)
    live: LiveAccounts = field(factory=LiveAccounts)


@frozen(eq=False)
class AccountParts:
    """What one run of an account is made of, apart from its tasks."""

    services: AccountServices
    turns: TurnServices
    outbound: OutboundClient
    sender: MessageSender
    questions: Questions
    registration: CommandRegistration


def build_parts(
    inputs: AccountInputs, api: Api, user: User, direct: DirectChannels, workers: trio.Nursery
) -> AccountParts:
    """The parts of the account that is `user` on the server; deliveries of tools and schedules run in `workers`."""
    clock, store, policies = inputs.dependencies.clock, inputs.store, inputs.policies
    directory = Directory(api)
    people = People(inputs.id, user.id, directory, store.pairing, policies.access)
    post_creator = PostCreator(api, user.id, clock.random.random, {INSTALLATION: inputs.installation.id})
    outbound = outbound_client_of(
        inputs.settings,
        api,
        user,
        direct,
        post_creator,
        policies.reply,
        inputs.buttons,
        directory,
        dependencies=inputs.dependencies,
    )
    delivery = _delivery(inputs, api, user, direct, post_creator)
    bot = BotUser(user)
    services = AccountServices(
        account=inputs.id,
        bot=bot,
        name=inputs.settings.name,
        api=api,
        directory=directory,
        people=people,
        store=store,
        clock=clock,
        metrics=inputs.metrics,
        health=inputs.health,
        policies=policies,
        agents=inputs.agents,
        delivery=delivery,
        late_edits=LateEditGuard(delivery, api),
        uploader=outbound.uploader,
        context=ConversationContext(people, api, store, policies),
        boundary=inputs.dependencies.boundary(inputs.id, inputs.metrics),
        second_gateway=SecondGatewayAlarm(
            inputs.id, inputs.installation, lambda: bot.user, clock, inputs.metrics, inputs.health
        ),
        earlier_answers=EarlierAnswers(api, user.id, inputs.installation.restored_at),
    )
    questions = Questions(services, inputs.buttons)
    sender = MessageSender(delivery, workers, services.boundary)
    message_tool = MessageTool(outbound, sender, MessagePermissions.of(inputs.settings), policies, people)
    turns = TurnServices(
        pacer=EditPacer(policies.pacing, partial(inputs.server.budget.wait_for_capacity, Lane.EDIT)),
        live=LiveDrafts(),
        acks=AckReactions(api, user.id, policies.acks),
        previewer=inputs.dependencies.previewer,
        tracer=inputs.dependencies.tracer,
        tools=_turn_tools(inputs, message_tool, questions),
        reader=lambda bounds: AttachmentReader(
            outbound.uploader.files,
            outbound.uploader.media.limit,
            inputs.dependencies.pictures,
            # The model's, which is known only when a turn has chosen it.
            bounds,
            services.clock.random.random,
        ),
        # Without a public port no click could come back, so an agent's buttons become text.
        button_props=inputs.buttons.final_props,
    )
    registration = inputs.port.registration(services, inputs.settings)
    return AccountParts(services, turns, outbound, sender, questions, registration)


def build_event_handler(parts: AccountParts, dispatcher: Dispatcher, nursery: trio.Nursery) -> EventHandler:
    """What takes in the account's events; chat commands, refusals and notices run in `nursery`."""
    services = parts.services
    admission = AdmissionPipeline(
        services,
        Denials(services, nursery).explain,
        BotLoops(services.account, services.store.claims, services.clock),
    )
    tries, live = EventTries(services.boundary), parts.turns.live
    posts = PostHandler(
        services,
        admission,
        dispatcher,
        ChatCommandHandler(services, dispatcher, nursery, trio.CapacityLimiter(_COMMANDS_AT_ONCE)),
        live,
        tries,
        nursery,
        take_text=parts.questions.take_text,
    )
    return EventHandler(services, posts, admission, dispatcher, live, tries, on_each=parts.registration.note)


def _delivery(
    inputs: AccountInputs, api: Api, user: User, direct: DirectChannels, post_creator: PostCreator
) -> Delivery:
    """The account's posts and edits over its edges; the edge's keyword arguments become plain ones here."""

    async def send(new: NewPost, lane: Lane, in_doubt: bool) -> Post:
        return await post_creator.create(new, lane=lane, in_doubt=in_doubt)

    async def patch(post_id: PostId, message: str, lane: Lane) -> Post:
        return await api.posts.patch(post_id, message=message, lane=lane)

    async def open_direct(user_id: UserId) -> ChannelId:
        return (await direct.channel(user_id)).id

    return Delivery(
        inputs.id,
        user.id,
        inputs.store,
        inputs.dependencies.clock,
        inputs.metrics,
        send,
        patch,
        api.posts.delete,
        RETRIES,
        open_direct=open_direct,
        read=api.posts.get,
    )


def _turn_tools(inputs: AccountInputs, message_tool: MessageTool, questions: Questions) -> TurnTools:
    """The tools that agents have here; those that ask people are left out while no click could come back."""
    asks = AskTools(questions, inputs.buttons)
    # The question has a deadline of its own, which comes first: people may take their time.
    limits = {ASK.name: ASK_SECONDS + 30}
    return TurnTools(
        message_tool,
        inputs.tool_servers,
        inputs.port.skills,
        (asks.tools,),
        limits,
        asks.approval,
        inputs.buttons.has_listener,
    )
