"""The way in: each post, live or caught up, is looked up, decided, admitted in one transaction, and then worked on.

Owns the order of those steps and nothing of the decisions (`core.gating`, `core.routing`). A fact that the server
can't give right now raises MattermostUnavailable: the post is told again after the reconnect, its watermark unmoved.
"""

from collections.abc import Awaitable, Callable

from attrs import evolve, frozen

from oc_trio.core import context
from oc_trio.core.access import COMMAND_NOT_ALLOWED, authorise, refuse_post
from oc_trio.core.agent_names import is_named
from oc_trio.core.chat import Chat, Sender
from oc_trio.core.chat_commands import ChatCommand, NewSession, parse_command
from oc_trio.core.entities import Channel, User
from oc_trio.core.events import ChannelType, Post
from oc_trio.core.freshness import Freshness, stale_since
from oc_trio.core.gating import Bot, Decision, Inbound, Verdict, decide, spoken_text
from oc_trio.core.inbound import InboundMessage
from oc_trio.core.ledger import Obligation, OutboxRow, Source
from oc_trio.core.mentions import agent_text, is_mentioned_in
from oc_trio.core.routing import Route, route
from oc_trio.errors import MattermostError, MattermostRejected
from oc_trio.ids import ChannelId, SessionKey, ThreadRoot, UserId
from oc_trio.runtime.inbound.bot_loop_guard import BotLoops
from oc_trio.runtime.services import AccountServices
from oc_trio.store.admission import ADMIT, CONTEXT, DENY, IGNORE, Admission
from oc_trio.store.damage import ODD_SHAPE, reading
from oc_trio.telemetry.log import get_logger

log = get_logger(part="admission")

_DECISIONS = {Verdict.ADDRESSED: ADMIT, Verdict.CONTEXT: CONTEXT}


@frozen
class Admitted:
    """A message that this call made an obligation of; `command` is set where the text is a chat command."""

    obligation: Obligation
    message: InboundMessage
    command: ChatCommand | None


@frozen
class Candidate:
    """One post as far as it is known: its facts, the way of an answer (None in an unknown place), and what the agent or
    the command reads of it.
    """

    facts: Inbound
    way: Route | None
    text: str
    command: ChatCommand | None


@frozen(eq=False)
class AdmissionPipeline:
    """Decides and admits posts of one account; `explain` tells a sender, where a refusal is to be explained."""

    services: AccountServices
    explain: Callable[[Post, Sender, Decision], Awaitable[None]]
    bots: BotLoops

    async def admit(
        self, post: Post, chat_type: ChannelType | None, source: Source, *, watermark: bool = True
    ) -> Admitted | None:
        """The obligation that `post` makes, None if it makes none or was admitted before.

        An edit (`Source.EDIT`) that doesn't wake us leaves no trace: should the post itself never have come, catch-up
        still finds it.
        """
        services = self.services
        if post.user_id == services.user.id:
            # Our own words need no decision, but catch-up must not read them again and again.
            await services.store.watermarks.advance(services.account, post.channel_id, post.id, post.create_at)
            return None
        case = await self._case(post, chat_type, edited=source is Source.EDIT)
        decision = self._decide(case)
        if source is Source.EDIT and decision.verdict is not Verdict.ADDRESSED:
            await self._reworded(post)
            return None
        decision = await self._consider_seen(case, decision, source)
        message = self._message(case, source) if case.way is not None else None
        is_admitted = decision.verdict is Verdict.ADDRESSED and message is not None
        if is_admitted and message is not None:
            await self._begin_afresh(message.session)
        known = await services.store.admission.admit(
            Admission(
                account=services.account,
                trigger=post.id,
                channel_id=post.channel_id,
                user_id=post.user_id,
                root_id=post.root_id,
                create_at=post.create_at,
                source=source,
                decision=_decision_word(decision, post, services.user.id),
                reason=decision.reason,
                session=case.way.session if case.way else None,
                payload=message.to_json() if is_admitted and message else "",
                at=services.clock.now_ms(),
                watermark=watermark,
            )
        )
        if not known.fresh and known.obligation is None:
            services.metrics.dedupe_hits.labels(services.account).inc()
            return None
        self._tell(post, decision, source)
        if known.obligation is not None and message is not None:
            return Admitted(known.obligation, message, case.command)
        if decision.verdict is Verdict.CONTEXT and case.way is not None:
            name = case.facts.sender.username
            entry = context.entry_of(post, name=name, trusted=decision.trusted, bot=services.user.id)
            await services.context.overheard(case.way.session, entry)
        return None

    async def pass_over(self, post: Post, reason: str, notice: OutboxRow | None = None) -> bool:
        """Note a post as seen and not to be answered, and queue words about it; false where it was seen before."""
        services = self.services
        admitted = await services.store.admission.admit(
            Admission(
                account=services.account,
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
                at=services.clock.now_ms(),
                notice=notice,
            )
        )
        return admitted.fresh

    async def reworded(self, post: Post, obligation: Obligation) -> InboundMessage:
        """An admitted message with the words that its post has now; where the answer goes stays as it was."""
        with reading("obligations", f"id {obligation.id}", ODD_SHAPE):
            before = InboundMessage.from_json(obligation.payload)
        case = await self._case(post, before.channel_type, edited=False)
        # Behind /new there is only the prompt left, once the conversation has begun.
        prompt = case.command.prompt if isinstance(case.command, NewSession) else ""
        return evolve(before, text=prompt or case.text, file_ids=post.file_ids)

    async def withdrawn(self, post: Post) -> None:
        """A post that may have been kept as context was deleted."""
        seen = await self.services.store.admission.decision(self.services.account, post.id)
        if seen is not None and seen.decision == CONTEXT and seen.session is not None:
            await self.services.store.context.drop(seen.session, post.id)

    async def _case(self, post: Post, chat_type: ChannelType | None, *, edited: bool) -> Candidate:
        services = self.services
        bot = Bot(services.user.id, services.user.username)
        chat = await self._chat(post, chat_type)
        way = route(post, chat, services.policies.routing, account=services.account) if chat.kind else None
        facts = Inbound(
            post,
            chat,
            await self._sender(post),
            bot,
            paired=await services.store.pairing.approved(services.account) if chat.is_direct else frozenset(),
            participated_at=await self._participated(post, chat),
            edited=edited,
            named=way is not None and is_named(post.message, services.policies.names_for(way.agent)),
        )
        # As it was written first: where "!" is a trigger prefix too, `!status` is still the command.
        texts = (agent_text(post.message, bot.username), spoken_text(facts, services.policies.chat))
        for text in texts if services.policies.text_commands else ():
            command = parse_command(text, (bot.username,))
            if command is not None:
                # A bare "stop" without a mention is meant for us only where it is written like a command.
                is_written_so = post.message.lstrip().startswith(("!", "/"))
                return Candidate(evolve(facts, is_command=is_written_so), way, text, command)
        return Candidate(facts, way, texts[-1], None)

    def _decide(self, case: Candidate) -> Decision:
        """The gate's decision, and who may use commands."""
        policies, facts = self.services.policies, case.facts
        decision = decide(facts, policies.access, policies.chat)
        if decision.verdict is not Verdict.ADDRESSED or case.command is None:
            return decision
        if policies.may_command(facts.sender.user_id, facts.sender.username):
            return decision
        return Decision(Verdict.IGNORE, COMMAND_NOT_ALLOWED, explain=facts.chat.is_direct)

    async def _consider_seen(self, case: Candidate, decision: Decision, source: Source) -> Decision:
        """What has effects of its own happens for a new post only: explaining a refusal, counting a bot's message."""
        services, post, sender = self.services, case.facts.post, case.facts.sender
        explains = decision.explain and case.facts.chat.is_direct and source is not Source.EDIT
        counts = decision.verdict is Verdict.ADDRESSED and sender.is_bot is True
        if not (explains or counts) or await services.store.admission.seen(services.account, [post.id]):
            return decision
        if explains:
            await self.explain(post, sender, decision)
        if counts and not await self.bots.may_answer(sender.user_id, post.channel_id):
            return Decision(Verdict.IGNORE, "bot_loop")
        return decision

    async def _begin_afresh(self, session: SessionKey) -> None:
        """A conversation that has gone stale is forgotten before its next message is taken in."""
        services, rules = self.services, self.services.policies.freshness
        row = await services.store.sessions.get(session) if rules != Freshness() else None
        since = stale_since(rules, row.last_at, services.clock.now_ms()) if row is not None else None
        if since is None:
            return
        # A turn that takes long is not quiet.
        if not any(item.session == session for item in await services.store.obligations.open_for(services.account)):
            log.info("a conversation begins afresh", account=services.account, session=session)
            # Up to the moment in which it went stale: what was overheard since belongs to the new one.
            await services.store.sessions.reset(session, since)

    async def _reworded(self, post: Post) -> None:
        """A post that waits as context was edited."""
        seen = await self.services.store.admission.decision(self.services.account, post.id)
        if seen is not None and seen.decision == CONTEXT and seen.session is not None:
            await self.services.context.reworded(seen.session, post)

    def _tell(self, post: Post, decision: Decision, source: Source) -> None:
        services = self.services
        services.metrics.admissions.labels(services.account, decision.verdict.value, decision.reason).inc()
        log.info(
            "decided",
            account=services.account,
            channel=post.channel_id,
            post=post.id,
            verdict=decision.verdict.value,
            reason=decision.reason,
            source=source.value,
        )

    async def may_stop(self, user_id: UserId, channel_id: ChannelId) -> bool:
        """Whether a person could say `/stop` in that channel; false where it can't be told."""
        try:
            user, channel = (
                await self.services.directory.user(user_id),
                await self.services.directory.channel(channel_id),
            )
        except MattermostError:
            return False
        return await self._may_ask(user, channel) and self.services.policies.may_command(user.id, user.username)

    async def question(self, post: Post) -> Route | None:
        """The way of an answer where a post is plainly a question to us: a person's, directly or by name, who may ask.
        None for any other, and where that can't be told.
        """
        services = self.services
        if post.user_id == services.user.id or post.is_system:
            return None
        try:
            user, channel = (
                await services.directory.user(post.user_id),
                await services.directory.channel(post.channel_id),
            )
        except MattermostError:
            return None
        chat = Chat(channel.id, channel.type, channel.team_id)
        is_meant = chat.is_direct or is_mentioned_in(post, services.user.username)
        if not is_meant or user.is_bot or chat.kind is None or not await self._may_ask(user, channel):
            return None
        return route(post, chat, services.policies.routing, account=services.account)

    async def _may_ask(self, user: User, channel: Channel) -> bool:
        services = self.services
        sender, chat = Sender(user.id, user.username, user.is_bot), Chat(channel.id, channel.type, channel.team_id)
        paired = await services.store.pairing.approved(services.account) if chat.is_direct else frozenset()
        return authorise(sender, chat, services.policies.access, paired=paired).allowed

    async def _chat(self, post: Post, chat_type: ChannelType | None) -> Chat:
        try:
            channel = await self.services.directory.channel(post.channel_id)
        except MattermostRejected:
            return Chat(post.channel_id, chat_type)
        return Chat(post.channel_id, channel.type, channel.team_id)

    async def _sender(self, post: Post) -> Sender:
        try:
            user = await self.services.directory.user(post.user_id)
        except MattermostRejected:
            return Sender(post.user_id)
        return Sender(user.id, user.username, user.is_bot)

    async def _participated(self, post: Post, chat: Chat) -> int:
        services, rules = self.services, self.services.policies.chat
        if not post.root_id or chat.is_direct or not rules.thread_participation:
            return 0
        since = post.create_at - rules.participation_ms
        root = ThreadRoot(post.root_id)
        is_active = await services.store.participation.active(services.account, post.channel_id, root, since)
        return post.create_at if is_active else 0

    def _message(self, case: Candidate, source: Source) -> InboundMessage | None:
        facts, way, post = case.facts, case.way, case.facts.post
        if way is None or facts.chat.type is None:
            return None
        return InboundMessage(
            account=self.services.account,
            trigger=post.id,
            source=source,
            channel_id=post.channel_id,
            channel_type=facts.chat.type,
            user_id=post.user_id,
            user_name=facts.sender.username,
            text=case.text,
            session=way.session,
            agent=way.agent,
            reply_root=way.reply_root or "",
            root_id=post.root_id,
            post_id=post.id,
            team_id=facts.chat.team_id,
            file_ids=post.file_ids,
            create_at=post.create_at,
            command=type(case.command).__name__ if case.command is not None else "",
        )


def _decision_word(decision: Decision, post: Post, bot: UserId) -> str:
    """How the journal files it: refused people are `deny`, which no later edit turns into an answer."""
    word = _DECISIONS.get(decision.verdict)
    if word is not None:
        return word
    return IGNORE if decision.trusted or refuse_post(post, bot) else DENY
