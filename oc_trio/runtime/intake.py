"""The way in: each post, live or caught up, is looked up, decided, admitted in one transaction, and then worked on.

Owns the order of those steps and nothing of the decisions (`core.gating`, `core.routing`). A fact that the server
can't give right now raises MattermostUnavailable: the post is told again after the reconnect, its watermark unmoved.
"""

from collections.abc import Awaitable, Callable

from attrs import evolve, frozen

from oc_trio.core import context
from oc_trio.core.access import authorise, refuse_post
from oc_trio.core.chat import Chat, Sender
from oc_trio.core.chat_commands import ChatCommand, parse_command
from oc_trio.core.events import ChannelType, Post
from oc_trio.core.gating import Decision, Inbound, Verdict, decide, spoken_text
from oc_trio.core.inbound import InboundMessage
from oc_trio.core.obligations import Obligation, Source
from oc_trio.core.routing import Route, route
from oc_trio.errors import MattermostError, MattermostRejected
from oc_trio.ids import ChannelId, ThreadRoot, UserId
from oc_trio.runtime.kit import AccountKit
from oc_trio.store.admission import ADMIT, CONTEXT, DENY, IGNORE, Admission
from oc_trio.telemetry.log import get_logger

log = get_logger(part="intake")

_DECISIONS = {Verdict.ADDRESSED: ADMIT, Verdict.CONTEXT: CONTEXT}


@frozen
class Admitted:
    """A message that this call made an obligation of; `command` is set where the text is a chat command."""

    obligation: Obligation
    message: InboundMessage
    command: ChatCommand | None


@frozen(eq=False)
class Intake:
    """Decides and admits posts of one account; `refused` tells a sender, where a refusal is to be explained."""

    kit: AccountKit
    refused: Callable[[Post, Sender, Decision], Awaitable[None]]

    async def admit(
        self, post: Post, chat_type: ChannelType | None, source: Source, *, watermark: bool = True
    ) -> Admitted | None:
        """The obligation that `post` makes, None if it makes none or was admitted before."""
        kit = self.kit
        if post.user_id == kit.user.id:
            # Our own words need no decision, but catch-up must not read them again and again.
            await kit.store.watermarks.advance(kit.account, post.channel_id, post.id, post.create_at)
            return None
        facts, command = await self._facts(post, chat_type, edited=source is Source.EDIT)
        decision = decide(facts, kit.policies.access, kit.policies.chat)
        if source is Source.EDIT and decision.verdict is not Verdict.ADDRESSED:
            return None  # not noted: the post itself may still be on its way, and is then judged as a post
        way = route(post, facts.chat, kit.policies.routing, account=kit.account) if facts.chat.kind else None
        message = self._message(facts, way, source) if way is not None else None
        if message is not None and command is not None:
            message = evolve(message, command=type(command).__name__)
        is_admitted = decision.verdict is Verdict.ADDRESSED and message is not None
        known = await kit.store.admission.admit(
            Admission(
                account=kit.account,
                trigger=post.id,
                channel_id=post.channel_id,
                user_id=post.user_id,
                root_id=post.root_id,
                create_at=post.create_at,
                source=source,
                decision=_decision_word(decision, post, kit.user.id),
                reason=decision.reason,
                session=way.session if way else None,
                payload=message.to_json() if is_admitted and message else "",
                at=kit.env.now_ms(),
                watermark=watermark,
            )
        )
        if not known.fresh and known.obligation is None:
            kit.metrics.dedupe_hits.labels(kit.account).inc()
            return None
        kit.metrics.admissions.labels(kit.account, decision.verdict.value, decision.reason).inc()
        log.info(
            "decided",
            account=kit.account,
            channel=post.channel_id,
            post=post.id,
            verdict=decision.verdict.value,
            reason=decision.reason,
            source=source.value,
        )
        if known.obligation is not None and message is not None:
            return Admitted(known.obligation, message, command)
        if decision.verdict is Verdict.CONTEXT and way is not None:
            name = facts.sender.username
            entry = context.entry_of(post, name=name, trusted=decision.trusted, bot=kit.user.id)
            await kit.overheard(way.session, entry)
        if decision.explain and facts.chat.is_direct and source is not Source.EDIT:
            await self.refused(post, facts.sender, decision)
        return None

    async def pass_over(self, post: Post, reason: str) -> None:
        """Note a post as seen and not to be answered."""
        kit = self.kit
        await kit.store.admission.admit(
            Admission(
                account=kit.account,
                trigger=post.id,
                channel_id=post.channel_id,
                user_id=post.user_id,
                root_id=post.root_id,
                create_at=post.create_at,
                source=Source.CATCHUP,
                decision=DENY,
                reason=reason,
                session=None,
                payload="",
                at=kit.env.now_ms(),
            )
        )

    def reread(self, post: Post, facts: Inbound, source: Source) -> InboundMessage:
        """`post` as a message once more, after its text was changed."""
        return self._message(
            facts, route(post, facts.chat, self.kit.policies.routing, account=self.kit.account), source
        )

    async def facts(self, post: Post, chat_type: ChannelType | None) -> Inbound:
        """Everything a decision on `post` needs; unknown facts are None."""
        return (await self._facts(post, chat_type, edited=False))[0]

    async def _facts(
        self, post: Post, chat_type: ChannelType | None, *, edited: bool
    ) -> tuple[Inbound, ChatCommand | None]:
        kit, bot = self.kit, self.kit.bot
        chat = await self._chat(post, chat_type)
        sender = await self._sender(post)
        command = parse_command(post.message, (bot.username,)) if kit.policies.text_commands else None
        facts = Inbound(
            post,
            chat,
            sender,
            bot,
            paired=await kit.store.pairing.approved(kit.account) if chat.is_direct else frozenset(),
            participated_at=await self._participated(post, chat),
            is_command=command is not None and self._wakes_by_command(post),
            edited=edited,
        )
        return facts, command

    async def may_ask(self, user_id: UserId, channel_id: ChannelId) -> bool:
        """Whether a person could ask the bot something in that channel; false where it can't be told."""
        kit = self.kit
        try:
            user, channel = await kit.directory.user(user_id), await kit.directory.channel(channel_id)
        except MattermostError:
            return False
        sender, chat = Sender(user.id, user.username, user.is_bot), Chat(channel.id, channel.type, channel.team_id)
        paired = await kit.store.pairing.approved(kit.account) if chat.is_direct else frozenset()
        return authorise(sender, chat, kit.policies.access, paired=paired).allowed

    def _wakes_by_command(self, post: Post) -> bool:
        """A bare "stop" or `/new` without a mention is meant for us only where it is written like a command."""
        return post.message.lstrip().startswith(("!", "/"))

    async def _chat(self, post: Post, chat_type: ChannelType | None) -> Chat:
        try:
            channel = await self.kit.directory.channel(post.channel_id)
        except MattermostRejected:
            return Chat(post.channel_id, chat_type)
        return Chat(post.channel_id, channel.type, channel.team_id)

    async def _sender(self, post: Post) -> Sender:
        try:
            user = await self.kit.directory.user(post.user_id)
        except MattermostRejected:
            return Sender(post.user_id)
        return Sender(user.id, user.username, user.is_bot)

    async def _participated(self, post: Post, chat: Chat) -> int:
        kit, rules = self.kit, self.kit.policies.chat
        if not post.root_id or chat.is_direct or not rules.thread_participation:
            return 0
        since = post.create_at - rules.participation_ms
        root = ThreadRoot(post.root_id)
        is_active = await kit.store.participation.active(kit.account, post.channel_id, root, since)
        return post.create_at if is_active else 0

    def _message(self, facts: Inbound, way: Route, source: Source) -> InboundMessage:
        post = facts.post
        assert facts.chat.type is not None, "a chat without a type was refused before"
        return InboundMessage(
            account=self.kit.account,
            trigger=post.id,
            source=source,
            channel_id=post.channel_id,
            channel_type=facts.chat.type,
            user_id=post.user_id,
            user_name=facts.sender.username,
            text=spoken_text(facts, self.kit.policies.chat),
            session=way.session,
            agent=way.agent,
            reply_root=way.reply_root or "",
            root_id=post.root_id,
            post_id=post.id,
            team_id=facts.chat.team_id,
            file_ids=post.file_ids,
            create_at=post.create_at,
        )


def _decision_word(decision: Decision, post: Post, bot: UserId) -> str:
    """How the journal files it: refused people are `deny`, which no later edit turns into an answer."""
    word = _DECISIONS.get(decision.verdict)
    if word is not None:
        return word
    return IGNORE if decision.trusted or refuse_post(post, bot) else DENY
