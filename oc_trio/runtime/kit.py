"""What every part of one account shares: its identity, its edges, its journal and its policies."""

import json
from collections.abc import Callable, Sequence

from attrs import asdict, evolve, frozen

from oc_trio.agent.port import Message, Role, Toolbox
from oc_trio.core import context
from oc_trio.core.access import authorise
from oc_trio.core.chat import Chat, Sender
from oc_trio.core.draft_view import ViewStyle
from oc_trio.core.entities import User
from oc_trio.core.final_plan import ReplyRules
from oc_trio.core.gating import Bot
from oc_trio.core.inbound import InboundMessage
from oc_trio.core.prefix import reply_prefix
from oc_trio.core.queueing import DropRule, QueueMode, QueueRules
from oc_trio.errors import MattermostError
from oc_trio.ids import AccountId, ChannelId, PostId, SessionKey, ThreadRoot, UserId
from oc_trio.mattermost.client import Api
from oc_trio.mattermost.directory import Directory
from oc_trio.runtime.acks import Acks
from oc_trio.runtime.agents import AgentSetup, AgentTable, SessionSettings
from oc_trio.runtime.attachments_in import AttachmentReader
from oc_trio.runtime.delivery import Delivery
from oc_trio.runtime.env import Env
from oc_trio.runtime.finale import ButtonProps
from oc_trio.runtime.late_writes import LateWrites
from oc_trio.runtime.live import LiveDrafts
from oc_trio.runtime.media import MediaDesk
from oc_trio.runtime.pace import SharedPace
from oc_trio.runtime.policies import Policies
from oc_trio.runtime.previewer import Previewer
from oc_trio.runtime.tools import ToolBench
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
    live: LiveDrafts
    late: LateWrites
    acks: Acks
    media: MediaDesk
    previewer: type[Previewer] = Previewer
    # Who acts for agents, and who reads files for them; None where neither is at hand.
    tools: ToolBench | None = None
    reader: Callable[[bool], AttachmentReader] | None = None
    # Filled where clicks can be received; without it buttons become text.
    button_props: ButtonProps = lambda _channel, _rows: ""

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
        takes_images: bool = False,
    ) -> Message:
        """What the turn answers, with what was said around it and the files, as the model reads it.

        `dropped` are messages that were too many, by one line each.
        """
        reader = self.reader(takes_images) if self.reader is not None else None
        last = messages[-1]
        policy = self.policies.context
        rows = await self.store.context.take(last.session, last.create_at)
        entries = tuple(context.Entry(**json.loads(row)) for row in rows)
        if not entries and not has_history and last.root_id and policy.limit:
            entries = await self._thread(last)
        own = frozenset(PostId(message.post_id) for message in messages)
        told = context.visible(entries, policy, until=last.create_at, without=own)
        texts = [
            context.render_message(
                message.text if reader is None else await reader.below(message.text, message.file_ids),
                name=message.user_name,
                user_id=message.user_id,
                post_id=PostId(message.post_id or message.trigger),
                channel_id=message.channel_id,
                at=message.create_at,
            )
            for message in messages
        ]
        if dropped:
            lines = "\n".join(f"- {line}" for line in dropped)
            texts.insert(0, f"[Messages that there was no room to queue]\n{lines}")
        images = tuple(reader.images) if reader is not None else ()
        return Message(Role.USER, context.render(told, "\n\n".join(texts)), images)

    async def with_images(self, asked: Message, messages: Sequence[InboundMessage]) -> Message:
        """What was asked before a restart, with its images once more: the transcript holds only text."""
        if self.reader is None or not any(message.file_ids for message in messages):
            return asked
        reader = self.reader(True)
        for message in messages:
            await reader.describe(message.file_ids)
        return evolve(asked, images=tuple(reader.images))

    def toolbox(self, here: InboundMessage, setup: AgentSetup) -> Toolbox:
        """The tools of the turn that answers `here`."""
        return setup.tools if self.tools is None else self.tools.for_turn(here, setup.rules)

    async def _thread(self, message: InboundMessage) -> tuple[context.Entry, ...]:
        """The thread so far, from the server, for a session that has no record of it; nothing where it can't be had."""
        policy = self.policies.context
        chat = Chat(message.channel_id, message.channel_type, message.team_id)
        try:
            posts = await self.api.posts.thread(PostId(message.root_id), limit=policy.limit + 1)
            authors = {post.user_id: await self.directory.user(post.user_id) for post in posts}
        except MattermostError:
            return ()

        def author(user_id: UserId) -> tuple[str, bool]:
            user = authors[user_id]
            sender = Sender(user.id, user.username, user.is_bot)
            return user.username, authorise(sender, chat, self.policies.access).allowed

        return context.from_thread(
            posts,
            policy,
            root=ThreadRoot(message.root_id),
            channel_id=message.channel_id,
            until=message.create_at,
            bot=self.user.id,
            author=author,
        )

    async def overheard(self, session: SessionKey, entry: context.Entry) -> None:
        """Keep an unaddressed post as context for the next turn of its conversation."""
        limit = self.policies.context.limit
        if limit:
            row = json.dumps(asdict(entry), ensure_ascii=False, separators=(",", ":"))
            await self.store.context.add(session, entry.post_id, row, entry.at, limit)
