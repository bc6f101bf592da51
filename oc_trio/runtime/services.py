"""What every part of one account shares: its identity, its edges, its journal and its policies."""

from collections.abc import Callable, Sequence

from attrs import evolve, frozen

from oc_trio.agent.image_bounds import ImageBounds
from oc_trio.agent.port import Message, Toolbox
from oc_trio.core.chat_commands import LONGEST_DEBOUNCE, MOST_QUEUED
from oc_trio.core.context import Entry
from oc_trio.core.draft_view import ViewStyle
from oc_trio.core.entities import User
from oc_trio.core.final_plan import ReplyRules
from oc_trio.core.gating import Bot
from oc_trio.core.inbound import InboundMessage
from oc_trio.core.queueing import DropRule, QueueMode, QueueRules
from oc_trio.core.response_prefix import reply_prefix
from oc_trio.ids import AccountId, ChannelId, SessionKey
from oc_trio.mattermost.client import Api
from oc_trio.mattermost.directory import Directory
from oc_trio.runtime.agents import AgentSetup, AgentTable, SessionSettings
from oc_trio.runtime.clock import Clock
from oc_trio.runtime.conversation.attachments import AttachmentReader
from oc_trio.runtime.conversation.context import ConversationContext
from oc_trio.runtime.delivery.ack_reactions import AckReactions
from oc_trio.runtime.delivery.delivery import Delivery
from oc_trio.runtime.delivery.late_edits import LateEditGuard
from oc_trio.runtime.delivery.uploads import FileUploader
from oc_trio.runtime.error_boundary import ErrorBoundary
from oc_trio.runtime.local_time import time_line
from oc_trio.runtime.policies import Policies
from oc_trio.runtime.tools.asker_places import Asked
from oc_trio.runtime.tools.post_names import PostNames
from oc_trio.runtime.tools.turn_tools import TurnTools
from oc_trio.runtime.turn.edit_pacer import EditPacer
from oc_trio.runtime.turn.live_drafts import LiveDrafts
from oc_trio.runtime.turn.previewer import Previewer
from oc_trio.runtime.turn.result import ButtonProps
from oc_trio.store.damage import reading
from oc_trio.store.store import Store
from oc_trio.telemetry.health import Health
from oc_trio.telemetry.metrics import Metrics


@frozen(eq=False)
class AccountServices:
    """One account's tools, handed to each of its parts."""

    account: AccountId
    user: User
    api: Api
    directory: Directory
    store: Store
    clock: Clock
    metrics: Metrics
    health: Health
    policies: Policies
    agents: AgentTable
    delivery: Delivery
    pace: EditPacer
    live: LiveDrafts
    late: LateEditGuard
    acks: AckReactions
    media: FileUploader
    previewer: type[Previewer] = Previewer
    border_type: type[ErrorBoundary] = ErrorBoundary
    # What people call the account.
    name: str = ""
    # Who acts for agents, and who reads files for them; None where neither is at hand.
    tools: TurnTools | None = None
    reader: Callable[[ImageBounds | None], AttachmentReader] | None = None
    # Filled where clicks can be received; without it buttons become text.
    button_props: ButtonProps = lambda _channel, _rows: ""

    @property
    def boundary(self) -> ErrorBoundary:
        """Where defects of one message end."""
        return self.border_type(self.account, self.metrics)

    @property
    def bot(self) -> Bot:
        return Bot(self.user.id, self.user.username)

    def reply_rules(self, message: InboundMessage, settings: SessionSettings) -> ReplyRules:
        """How the answer to `message` is prepared."""
        return evolve(self.policies.reply, response_prefix=self._prefix(message, settings))

    async def typing(self, channel_id: ChannelId, root_id: str) -> object:
        return await self.api.typing(channel_id, root_id)

    async def session_settings(self, session: SessionKey) -> SessionSettings:
        """What was set for a conversation by commands."""
        settings = await self.store.sessions.settings(session)
        with reading("sessions", f"key {session}"):
            return SessionSettings.from_json(settings)

    def queue_rules(self, settings: SessionSettings) -> QueueRules:
        """The conversation's queue rules: the configured ones, as far as `/queue` did not change them."""
        own = dict(settings.queue)
        rules = self.policies.queue
        return QueueRules(
            mode=QueueMode(str(own.get("mode", rules.mode.value))),
            cap=min(int(str(own.get("cap", rules.cap))), MOST_QUEUED),
            drop=DropRule(str(own.get("drop", rules.drop.value))),
            debounce=min(float(str(own.get("debounce", rules.debounce))), LONGEST_DEBOUNCE),
        )

    def view_style(self, message: InboundMessage, settings: SessionSettings) -> ViewStyle:
        seed = f"{self.account}:{message.channel_id}"
        style = evolve(self.policies.view, seed=seed, reasoning=settings.reasoning, verbose=settings.verbose)
        return evolve(style, response_prefix=self._prefix(message, settings))

    def _prefix(self, message: InboundMessage, settings: SessionSettings) -> str:
        identity = self.policies.identities.get(message.agent, "")
        model = settings.model or self.agents.primary.get(message.agent, "")
        thinking = self.agents.setup(message.agent, settings).thinking
        return reply_prefix(self.policies.prefix, identity=identity, model=model, thinking=thinking)

    async def asked(
        self,
        messages: Sequence[InboundMessage],
        *,
        has_history: bool,
        dropped: Sequence[str] = (),
        image_bounds: ImageBounds | None = None,
    ) -> Message:
        """What the turn answers, with what was said around it and the files, as the model reads it.

        `dropped` are messages that were too many, by one line each; without `image_bounds` the model takes no images.
        """
        reader = self.reader(image_bounds) if self.reader is not None else None
        return await self.context.asked(messages, has_history=has_history, dropped=dropped, reader=reader)

    async def with_images(
        self, messages: Sequence[Message], *, current: int, image_bounds: ImageBounds | None
    ) -> tuple[Message, ...]:
        """A conversation with its images, of which the transcript holds only ids; `current` as in `again`."""
        if self.reader is None or not any(message.images for message in messages):
            return tuple(evolve(message, images=()) for message in messages)
        return await self.reader(image_bounds).again(messages, current)

    def toolbox(self, here: InboundMessage, setup: AgentSetup, asked: Asked, names: PostNames) -> Toolbox:
        """The tools of the turn that runs where `here` was written and answers what `asked` gives."""
        if self.tools is None:
            return setup.tools
        return self.tools.for_turn(here, setup.rules, setup.skills, asked=asked, names=names)

    def system_prompt(self, setup: AgentSetup) -> str:
        """The agent's own, what is to be said of its tools, and last, so that all before it stays cached, the time."""
        tools = self.tools.prompt(setup.skills) if self.tools is not None and setup.takes_tools else ""
        parts = (setup.system_prompt, tools, time_line(self.clock.now_ms(), setup.timezone))
        return "\n\n".join(part for part in parts if part)

    async def overheard(self, session: SessionKey, entry: Entry) -> None:
        """Keep an unaddressed post as context for the next turn of its conversation."""
        await self.context.overheard(session, entry)

    @property
    def context(self) -> ConversationContext:
        return ConversationContext(self.account, self.user.id, self.api, self.directory, self.store, self.policies)
