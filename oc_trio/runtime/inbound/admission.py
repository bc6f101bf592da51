"""The admission pipeline: each post, live or from catch-up, is looked up, decided, admitted in one transaction, and
handed on.

The decisions themselves are `core.gating` and `core.routing`. MattermostUnavailable is raised where the server can't
give a fact right now: nothing was written then, so the post comes again after the reconnect.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import cache, partial

from attrs import evolve

from oc_trio.classes import frozen
from oc_trio.core import context
from oc_trio.core.access import COMMAND_NOT_ALLOWED, refuse_post
from oc_trio.core.agent_names import is_named
from oc_trio.core.chat import Chat, Sender
from oc_trio.core.chat_commands import ChatCommand, NewSession, parse_command
from oc_trio.core.events import ChannelType, Post
from oc_trio.core.freshness import Freshness, stale_since
from oc_trio.core.gating import Bot, Decision, Inbound, Verdict, decide, without_prefix
from oc_trio.core.inbound import InboundMessage
from oc_trio.core.ledger import Obligation, OutboxRow, Source
from oc_trio.core.mentions import agent_text, is_mentioned_in
from oc_trio.core.routing import Route, route
from oc_trio.errors import MattermostError
from oc_trio.ids import ChannelId, SessionKey, ThreadRoot, UserId
from oc_trio.runtime.earlier_answers import ANSWERED
from oc_trio.runtime.inbound.bot_loop_guard import BotLoops
from oc_trio.runtime.journal_write import finish_write
from oc_trio.runtime.services import AccountServices
from oc_trio.store.admission import ADMIT, CONTEXT, DENY, IGNORE, Admission
from oc_trio.store.context import ContextPost
from oc_trio.store.damage import WRONG_SHAPE, reading
from oc_trio.telemetry.log import get_logger, lines_together

log = get_logger(part="admission")

_JOURNAL_DECISIONS = {Verdict.ADDRESSED: ADMIT, Verdict.CONTEXT: CONTEXT}


@frozen
class Admitted:
    """A message that this call made an obligation of; `command` is set where the text is a chat command."""

    obligation: Obligation
    message: InboundMessage
    command: ChatCommand | None


@frozen
class Candidate:
    """One post before the decision: its facts, the route of an answer (None where the channel's type is unknown), and
    the text that the agent or the command gets.
    """

    facts: Inbound
    route: Route | None
    text: str
    command: ChatCommand | None


def build_admission(
    services: AccountServices,
    item: Post | InboundMessage,
    source: Source,
    decision: str,
    reason: str,
    *,
    session: SessionKey | None = None,
    payload: str = "",
    watermark: bool = True,
    notice: OutboxRow | None = None,
) -> Admission:
    """The journal's record of a decision about `item`; `decision` is one of `store.admission.DECISIONS`."""
    return Admission(
        account=services.account,
        trigger=item.id if isinstance(item, Post) else item.trigger,
        channel_id=item.channel_id,
        user_id=item.user_id,
        root_id=item.root_id,
        create_at=item.create_at,
        source=source,
        decision=decision,
        reason=reason,
        session=session,
        payload=payload,
        at=services.clock.now_ms(),
        watermark=watermark,
        notice=notice,
    )


@frozen(eq=False)
class AdmissionPipeline:
    """Decides and admits posts of one account; `explain_denial` writes to the sender where a refusal is explained."""

    services: AccountServices
    explain_denial: Callable[[Post, Sender, Decision], Awaitable[None]]
    bot_loops: BotLoops

    async def admit(
        self, post: Post, chat_type: ChannelType | None, source: Source, *, watermark: bool = True
    ) -> Admitted | None:
        """The obligation that `post` makes, None if it makes none or was admitted before.

        An edit (`Source.EDIT`) that doesn't address the bot writes nothing: if the post itself never came, catch-up
        still finds it.
        """
        services = self.services
        if post.user_id == services.user.id:
            # Our own posts need no decision, but catch-up must not read them again and again.
            await services.store.watermarks.advance(services.account, post.channel_id, post.id, post.create_at)
            return None
        # All look-ups come before the decision, which is pure and needs no server.
        candidate = await self._candidate(post, chat_type, edited=source is Source.EDIT)
        decision = self._decide(candidate)
        if source is Source.EDIT and decision.verdict is not Verdict.ADDRESSED:
            await self._update_context(post)
            return None
        is_late = decision.verdict is Verdict.ADDRESSED and source is Source.CATCHUP
        if is_late and await services.earlier_answers.to_post(post):
            await self.mark_ignored(post, ANSWERED)
            return None
        decision = await self._apply_once(candidate, decision, source)
        message = self._message(candidate, source) if candidate.route is not None else None
        is_admitted = decision.verdict is Verdict.ADDRESSED and message is not None
        if is_admitted and message is not None:
            # Before the message is admitted, because from then on the session is no longer idle.
            await self._reset_if_stale(message.session)
        admission = build_admission(
            services,
            post,
            source,
            _journal_decision(decision, post, services.user.id),
            decision.reason,
            session=candidate.route.session if candidate.route else None,
            payload=message.to_json() if is_admitted and message else "",
            watermark=watermark,
        )
        # It is finished even if the connection ends meanwhile: when the post comes again, it was admitted before, and
        # the obligation would wait for the next start. From here to its session there is no checkpoint.
        result = await finish_write(partial(services.store.admission.admit, admission))
        # The same post by websocket and by catch-up, or replayed by a resumed connection.
        if not result.fresh and result.obligation is None:
            services.metrics.dedupe_hits.labels(services.account).inc()
            return None
        self._report([(post, decision)], source)
        if result.obligation is not None and message is not None:
            return Admitted(result.obligation, message, candidate.command)
        if decision.verdict is Verdict.CONTEXT and candidate.route is not None:
            name = candidate.facts.sender.username
            entry = context.entry_of(post, name=name, trusted=decision.trusted, bot=services.user.id)
            await services.context.remember(candidate.route.session, entry)
        return None

    async def admit_unaddressed(self, posts: Sequence[Post], source: Source) -> int:
        """Record those first ones of `posts` that don't address the bot, in one transaction; returns how many.

        What they do is what `admit` does. It stops before the first post that `admit` has to look at by itself: one
        that may be answered or explained, the bot's own, and one whose author or channel has to be looked up.
        """
        services = self.services
        bot = Bot(services.user.id, services.user.username)
        # Each once for all of its posts.
        known_sender, known_chat = cache(services.people.known_sender), cache(services.people.known_chat)
        found: list[tuple[Candidate, Decision]] = []
        for post in posts:
            sender, chat = known_sender(post.user_id), known_chat(post.channel_id)
            if sender is None or chat is None or chat.is_direct or post.user_id == services.user.id:
                break
            candidate = self._candidate_of(Inbound(post, chat, sender, bot))
            decision = self._decide(candidate)
            if decision.verdict is Verdict.ADDRESSED or decision.explain:
                break
            found.append((candidate, decision))
        count = await self._before_participation([candidate.facts.post for candidate, _ in found])
        await self._record_unaddressed(found[:count], source)
        return count

    async def _before_participation(self, posts: Sequence[Post]) -> int:
        """How many of the first `posts` are in no thread in which the bot takes part."""
        services, rules = self.services, self.services.policies.chat
        if not rules.thread_participation:
            return len(posts)
        threads = {
            (post.channel_id, ThreadRoot(post.root_id)): post.create_at - rules.participation_ms
            for post in posts
            if post.root_id
        }
        active = await services.store.participation.all_active(services.account, threads)
        return next(
            (at for at, post in enumerate(posts) if (post.channel_id, ThreadRoot(post.root_id)) in active), len(posts)
        )

    async def _record_unaddressed(self, found: Sequence[tuple[Candidate, Decision]], source: Source) -> None:
        services = self.services
        items: list[Admission] = []
        contexts: dict[str, ContextPost] = {}
        for candidate, decision in found:
            post, session = candidate.facts.post, candidate.route.session if candidate.route else None
            word = _journal_decision(decision, post, services.user.id)
            items.append(build_admission(services, post, source, word, decision.reason, session=session))
            if decision.verdict is Verdict.CONTEXT and session is not None:
                name = candidate.facts.sender.username
                entry = context.entry_of(post, name=name, trusted=decision.trusted, bot=services.user.id)
                if (kept := services.context.kept(session, entry)) is not None:
                    contexts[post.id] = kept
        if not items:
            return
        limit = services.policies.context.limit
        are_fresh = await services.store.admission.record_unaddressed(items, contexts, limit)
        self._report(
            [(candidate.facts.post, decision) for (candidate, decision), is_fresh in zip(found, are_fresh) if is_fresh],
            source,
        )
        if repeated := are_fresh.count(False):
            services.metrics.dedupe_hits.labels(services.account).inc(repeated)

    async def mark_ignored(self, post: Post, reason: str, notice: OutboxRow | None = None) -> bool:
        """Record a post as seen and not to be answered, and queue `notice` with it; false where it was seen before."""
        services = self.services
        admission = build_admission(services, post, Source.CATCHUP, IGNORE, reason, notice=notice)
        return (await services.store.admission.admit(admission)).fresh

    async def revised(self, post: Post, obligation: Obligation) -> InboundMessage:
        """An admitted message with the current text of its post; the route of its answer stays as it was.

        Raises StoreUnusable where the journal's record can't be read, MattermostUnavailable.
        """
        with reading("obligations", f"id {obligation.id}", WRONG_SHAPE):
            before = InboundMessage.from_json(obligation.payload)
        candidate = await self._candidate(post, before.channel_type, edited=False)
        # Of "/new PROMPT" only the prompt is left once the session was reset.
        prompt = candidate.command.prompt if isinstance(candidate.command, NewSession) else ""
        return evolve(before, text=prompt or candidate.text, file_ids=post.file_ids)

    async def forget_context(self, post: Post) -> None:
        """Drop a deleted post from the context that waits for its conversation's next turn."""
        session = await self._context_session(post)
        if session is not None:
            await self.services.store.context.drop(session, post.id)

    async def may_stop(self, user_id: UserId, channel_id: ChannelId) -> bool:
        """Whether a user may use `/stop` in that channel; false where the server can't say who or where it is."""
        try:
            caller = await self.services.people.resolve(user_id, channel_id)
        # Unknown means no: the stop sign is then an ordinary reaction.
        except MattermostError:
            return False
        may_command = self.services.policies.may_command(caller.sender.user_id, caller.sender.username)
        return caller.access.allowed and may_command

    async def question_route(self, post: Post) -> Route | None:
        """The route of an answer where a person who may use the bot plainly asks it: in a direct chat or by mention.

        None for every other post, and where the server can't say who wrote it where.
        """
        services = self.services
        if post.user_id == services.user.id or post.is_system:
            return None
        try:
            caller = await services.people.resolve(post.user_id, post.channel_id)
        except MattermostError:
            return None
        is_addressed = caller.chat.is_direct or is_mentioned_in(post, services.user.username)
        if not is_addressed or caller.sender.is_bot or not caller.access.allowed:
            return None
        return route(post, caller.chat, services.policies.routing, account=services.account)

    async def _candidate(self, post: Post, chat_type: ChannelType | None, *, edited: bool) -> Candidate:
        services = self.services
        chat = await services.people.chat(post.channel_id, chat_type)
        facts = Inbound(
            post,
            chat,
            await services.people.sender(post.user_id),
            Bot(services.user.id, services.user.username),
            paired=await services.people.paired(chat),
            participated_at=await self._participated_at(post, chat),
            edited=edited,
        )
        return self._candidate_of(facts)

    def _candidate_of(self, facts: Inbound) -> Candidate:
        """The candidate that a post's facts make: where it would be answered, by whose name it calls, as which text."""
        services, post, chat, bot = self.services, facts.post, facts.chat, facts.bot
        reply_route = route(post, chat, services.policies.routing, account=services.account) if chat.kind else None
        # The names depend on the agent, and the agent on the route.
        if reply_route is not None and is_named(post.message, services.policies.names_for(reply_route.agent)):
            facts = evolve(facts, named=True)
        # The text as written comes first: where "!" is a trigger prefix too, `!status` is still the command.
        text = agent_text(post.message, bot.username)
        texts = (text, without_prefix(text, chat, services.policies.chat))
        for text in dict.fromkeys(texts) if services.policies.text_commands else ():
            command = parse_command(text, (bot.username,))
            if command is not None:
                # A bare "stop" without a mention is meant for us only where it is written like a command.
                has_prefix = post.message.lstrip().startswith(("!", "/"))
                return Candidate(evolve(facts, is_command=has_prefix), reply_route, text, command)
        return Candidate(facts, reply_route, texts[-1], None)

    def _decide(self, candidate: Candidate) -> Decision:
        """The decision of `core.gating`, and whether the sender may use commands."""
        policies, facts = self.services.policies, candidate.facts
        decision = decide(facts, policies.access, policies.chat)
        if decision.verdict is not Verdict.ADDRESSED or candidate.command is None:
            return decision
        if policies.may_command(facts.sender.user_id, facts.sender.username):
            return decision
        return Decision(Verdict.IGNORE, COMMAND_NOT_ALLOWED, explain=facts.chat.is_direct)

    async def _apply_once(self, candidate: Candidate, decision: Decision, source: Source) -> Decision:
        """Explain a refusal, and count a bot's message against the loop budget: only for a post not seen before."""
        services, post, sender = self.services, candidate.facts.post, candidate.facts.sender
        # In direct chats only: in a channel, everybody would read whom the bot refuses.
        explains = decision.explain and candidate.facts.chat.is_direct and source is not Source.EDIT
        counts = decision.verdict is Verdict.ADDRESSED and sender.is_bot is True
        # A post may come several times, while a denial is to be explained and a bot's message to be counted once.
        if not (explains or counts) or await services.store.admission.seen(services.account, [post.id]):
            return decision
        if explains:
            await self.explain_denial(post, sender, decision)
        if counts and not await self.bot_loops.may_answer(sender.user_id, post.channel_id):
            return Decision(Verdict.IGNORE, "bot_loop")
        return decision

    async def _reset_if_stale(self, session: SessionKey) -> None:
        """Reset a session that has become stale by its policy, before its next message is admitted."""
        services, rules = self.services, self.services.policies.freshness
        row = await services.store.sessions.get(session) if rules != Freshness() else None
        since = stale_since(rules, row.last_at, services.clock.now_ms()) if row is not None else None
        if since is None:
            return
        # A session with a long-running turn is not idle, although its last message is old.
        if not any(item.session == session for item in await services.store.obligations.open_for(services.account)):
            log.info("a conversation begins afresh", account=services.account, session=session)
            # As of the moment it became stale: context from after that belongs to the new session.
            await services.store.sessions.reset(session, since)

    async def _update_context(self, post: Post) -> None:
        """Apply an edit to a post that waits as context."""
        session = await self._context_session(post)
        if session is not None:
            await self.services.context.revise(session, post)

    async def _context_session(self, post: Post) -> SessionKey | None:
        """The session in whose context a post was kept; None where it was not."""
        seen = await self.services.store.admission.decision(self.services.account, post.id)
        return seen.session if seen is not None and seen.decision == CONTEXT else None

    def _report(self, decided: Sequence[tuple[Post, Decision]], source: Source) -> None:
        services = self.services
        for (verdict, reason), count in Counter((each.verdict, each.reason) for _, each in decided).items():
            services.metrics.admissions.labels(services.account, verdict.value, reason).inc(count)
        bound = log.bind(account=services.account, source=source.value)
        with lines_together():
            for post, decision in decided:
                bound.info(
                    "decided",
                    channel=post.channel_id,
                    post=post.id,
                    verdict=decision.verdict.value,
                    reason=decision.reason,
                )

    async def _participated_at(self, post: Post, chat: Chat) -> int:
        """When the bot took part in the post's thread, as far as that still counts as an implicit mention; else 0."""
        services, rules = self.services, self.services.policies.chat
        if not post.root_id or chat.is_direct or not rules.thread_participation:
            return 0
        # Measured by the post's time and not by the clock: catch-up decides about old posts as if they had come live.
        since = post.create_at - rules.participation_ms
        root = ThreadRoot(post.root_id)
        is_active = await services.store.participation.active(services.account, post.channel_id, root, since)
        return post.create_at if is_active else 0

    def _message(self, candidate: Candidate, source: Source) -> InboundMessage | None:
        facts, reply_route, post = candidate.facts, candidate.route, candidate.facts.post
        if reply_route is None or facts.chat.type is None:
            return None
        return InboundMessage(
            account=self.services.account,
            trigger=post.id,
            source=source,
            channel_id=post.channel_id,
            channel_type=facts.chat.type,
            user_id=post.user_id,
            user_name=facts.sender.username,
            text=candidate.text,
            session=reply_route.session,
            agent=reply_route.agent,
            reply_root=reply_route.reply_root or "",
            root_id=post.root_id,
            post_id=post.id,
            team_id=facts.chat.team_id,
            file_ids=post.file_ids,
            create_at=post.create_at,
            command=type(candidate.command).__name__ if candidate.command is not None else "",
        )


def _journal_decision(decision: Decision, post: Post, bot: UserId) -> str:
    """The decision as the journal has it: `deny` for refused people, which no later edit turns into an answer."""
    word = _JOURNAL_DECISIONS.get(decision.verdict)
    if word is not None:
        return word
    return IGNORE if decision.trusted or refuse_post(post, bot) else DENY
