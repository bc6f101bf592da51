"""What every part of one account shares: its identity, its edges, its journal and its policies."""

from collections.abc import Sequence

from attrs import evolve, frozen

from oc_trio.agent.port import Message
from oc_trio.core.draft_view import ViewStyle
from oc_trio.core.entities import User
from oc_trio.core.final_plan import ReplyRules
from oc_trio.core.gating import Bot
from oc_trio.core.inbound import InboundMessage
from oc_trio.core.preview import PreviewRules
from oc_trio.core.queueing import DropRule, QueueMode, QueueRules
from oc_trio.ids import AccountId, AgentId, ChannelId, SessionKey
from oc_trio.mattermost.client import Api
from oc_trio.mattermost.directory import Directory
from oc_trio.runtime.agents import AgentTable, SessionSettings
from oc_trio.runtime.context_room import ContextRoom
from oc_trio.runtime.delivery import Delivery
from oc_trio.runtime.env import Env
from oc_trio.runtime.pace import SharedPace
from oc_trio.runtime.policies import Policies
from oc_trio.store.store import Store
from oc_trio.telemetry.health import Health
from oc_trio.telemetry.metrics import Metrics


@frozen(eq=False)
class AccountKit:
    """One account's tools, handed to each of its parts."""

    account: AccountId
    user: User
    api: Api
    directory: Directory
    store: Store
    env: Env
    metrics: Metrics
    health: Health
    policies: Policies
    agents: AgentTable
    delivery: Delivery
    pace: SharedPace

    @property
    def bot(self) -> Bot:
        return Bot(self.user.id, self.user.username)

    def reply_rules(self, agent: AgentId) -> ReplyRules:
        """How that agent's answers go out."""
        return self.policies.reply_for(agent)

    @property
    def preview_rules(self) -> PreviewRules:
        return self.policies.preview

    async def typing(self, channel_id: ChannelId, root_id: str) -> object:
        return await self.api.typing(channel_id, root_id)

    async def session_settings(self, session: SessionKey) -> SessionSettings:
        """What was set for a conversation by commands."""
        return SessionSettings.from_json(await self.store.sessions.settings(session))

    def queue_rules(self, settings: SessionSettings) -> QueueRules:
        """The conversation's queue rules: the configured ones, as far as `/queue` did not change them."""
        own = dict(settings.queue)
        rules = self.policies.queue
        return QueueRules(
            mode=QueueMode(str(own.get("mode", rules.mode.value))),
            cap=int(str(own.get("cap", rules.cap))),
            drop=DropRule(str(own.get("drop", rules.drop.value))),
            debounce=float(str(own.get("debounce", rules.debounce))),
        )

    def view_style(self, message: InboundMessage, settings: SessionSettings) -> ViewStyle:
        seed = f"{self.account}:{message.channel_id}"
        return evolve(
            self.policies.view_for(message.agent), seed=seed, reasoning=settings.reasoning, verbose=settings.verbose
        )

    @property
    def context(self) -> ContextRoom:
        return ContextRoom(self.account, self.user.id, self.api, self.directory, self.store, self.policies)

    async def asked(self, messages: Sequence[InboundMessage], *, has_history: bool) -> Message:
        """What the turn answers, with what was said around it, as the model reads it."""
        return await self.context.asked(messages, has_history=has_history)
