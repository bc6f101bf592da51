"""Runs an agent for a turn: builds its request, consumes its event stream and shows the growing answer.

How the turn ends is `completion`'s. A completed tool call is in the transcript before the model reads its result, and a
steering message before the model reads it: a restart repeats neither.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress

import trio
from attrs import evolve

from oc_trio.agent.port import Agent, Message, Role, ToolCall, TurnRequest
from oc_trio.core.bounds import MAX_MESSAGES, MAX_THINKING_CHARS, cut_at_chars, with_cut_note
from oc_trio.core.draft_view import BlockKind, DraftView
from oc_trio.core.final_plan import split_reply
from oc_trio.core.inbound import InboundMessage
from oc_trio.core.ledger import OutboxKind
from oc_trio.core.preview import DraftState
from oc_trio.core.reasoning import without_reasoning
from oc_trio.core.transcript import estimate
from oc_trio.core.turn_events import (
    AgentEvent,
    Failed,
    Final,
    TextDelta,
    Thinking,
    ToolEnded,
    ToolStarted,
    ToolStatus,
    Usage,
)
from oc_trio.errors import AgentError, MattermostError
from oc_trio.ids import PostId
from oc_trio.runtime.agents import SessionSettings
from oc_trio.runtime.conversation import transcript
from oc_trio.runtime.conversation.context import is_in_prompt
from oc_trio.runtime.conversation.session import Running
from oc_trio.runtime.delivery.outbox_message import OutboxMessage
from oc_trio.runtime.services import AccountServices
from oc_trio.runtime.task_slot import TaskSlot
from oc_trio.runtime.tools.post_names import PostNames
from oc_trio.runtime.turn.paragraph_writer import ParagraphWriter
from oc_trio.runtime.turn.prompt import question, system_prompt, toolbox, with_images
from oc_trio.runtime.turn.reply_style import reply_rules, view_style
from oc_trio.runtime.turn.resume import ResumeState, draft_id, user_text
from oc_trio.runtime.turn.services import TurnServices
from oc_trio.runtime.turn.turn_writer import TurnWriter
from oc_trio.runtime.turn.typing_indicator import keep_typing
from oc_trio.runtime.turn_limit import Ahead
from oc_trio.store.sessions import SessionUse
from oc_trio.store.turns import Turn
from oc_trio.telemetry.log import get_logger
from oc_trio.telemetry.tracing import NO_SPAN, Span

# Rows of a session that are read for a prompt; the token budget cuts further.
_TRANSCRIPT_ROWS = 400
# Events that are handled between two checkpoints.
_EVENTS_AT_ONCE = 64

# Seconds of waiting for other turns until people are told, and between two updates of how many there are.
# For a shorter wait it would only flicker, and each update is an edit.
WAIT_SHOWN_AFTER = 3.0
WAIT_SHOWN_EVERY = 10.0

log = get_logger(part="turn")


class TurnTimeout(Exception):
    """The turn took longer than it may."""


class AgentRun:
    """The state of one turn while its agent runs; `writer` has the posts that people see of it."""

    def __init__(
        self,
        services: AccountServices,
        turns: TurnServices,
        turn: Turn,
        running: Running,
        settings: SessionSettings,
        resume_state: ResumeState,
    ) -> None:
        self.services, self.turns = services, turns
        self.turn, self.running, self.settings = turn, running, settings
        self.rules = reply_rules(services, self.message, settings)
        # The text deltas since the last tool call, and all of this run, a list per message (tool calls end messages).
        self._text_since_call: list[str] = []
        self._texts: list[list[str]] = [[]]
        self._text_chars = self._thinking_chars = 0
        self._input_tokens, self._model = 0, ""
        # The whole text of a final that is longer than an answer may be; else empty.
        self.uncut = ""
        self._calls: dict[str, ToolCall] = {}
        self._tool_spans: dict[str, Span] = {}
        self._began, self._has_shown_words = trio.current_time(), False
        self._so_far = resume_state.so_far
        self._is_resumed = bool(resume_state.drafts)
        view = DraftView(view_style(services, self.message, settings)).resumed(resume_state.events)
        self.writer = self._writer(view, resume_state.drafts)

    @property
    def messages(self) -> tuple[InboundMessage, ...]:
        return tuple(job.inbound for job in self.running.batch.jobs)

    @property
    def message(self) -> InboundMessage:
        """The newest message that is answered."""
        return self.running.batch.jobs[-1].inbound

    @property
    def limit(self) -> float:
        """The longest that the turn may take, in seconds: a hook may have set its own."""
        own = [job.inbound.time_limit for job in self.running.batch.jobs if job.inbound.time_limit is not None]
        return min(own, default=self.services.policies.turn_limit)

    async def run(self) -> Final | Failed:
        """Run the agent and show its answer as it grows; returns its final event, when no write of a draft is in
        flight.

        Waits for a place among the turns that run at the same time. Raises TurnTimeout.
        """
        try:
            end = await self._run_beside_writer()
        finally:
            self.services.api.end_typing(self.turn.channel_id, self.turn.root_id)
        if end is None:
            raise TurnTimeout
        return end

    async def _run_beside_writer(self) -> Final | Failed | None:
        services, turns = self.services, self.turns
        async with trio.open_nursery() as nursery:
            slot = TaskSlot(nursery)
            with turns.live.track(self.turn.session, self.writer):
                nursery.start_soon(turns.acks.seen, self.messages)
                await slot.start(self.writer.run)
                waiting = self.running.span.child("wait for a place")
                async with services.agents.limit.place(self._show_waiting):
                    waiting.end()
                    # The place is there: that others are before this one is true no more, though the agent may be
                    # silent for long.
                    if self.writer.view.waiting:
                        self.writer.show(self.writer.view.with_event(Thinking()))
                    nursery.start_soon(
                        keep_typing,
                        services.api.typing,
                        self.turn.channel_id,
                        self.turn.root_id,
                        services.policies.typing_interval,
                    )
                    end = await self._run_counted()
                # Joined, so that no write of a draft is in flight when the final text is written; one that is can't be
                # overtaken.
                await slot.cancel_and_join(reason="the answer is complete")
            nursery.cancel_scope.cancel()
        return end

    async def _show_waiting(self, ahead: Ahead) -> None:
        """Tell people that other turns have to end first: typing at once, after a while a draft with their number."""
        with suppress(MattermostError):
            await self.services.api.typing(self.turn.channel_id, self.turn.root_id)
        # A draft of an earlier run has words, which stay until there are new ones.
        if self._is_resumed:
            return
        await trio.sleep(WAIT_SHOWN_AFTER)
        while True:
            self.writer.show(self.writer.view.behind(ahead()))
            await trio.sleep(WAIT_SHOWN_EVERY)

    async def _run_counted(self) -> Final | Failed | None:
        """Run within the limit of time, counted as live."""
        # The pacer divides the account's edits by the number of drafts, so count only while this one is written.
        self.turns.pacer.live += 1
        live_drafts = self.services.metrics.live_drafts.labels(self.services.account)
        live_drafts.inc()
        try:
            return await self._within_limit()
        finally:
            self.turns.pacer.live -= 1
            live_drafts.dec()
            # From here on nobody would read a steering message; a new one waits for the next turn.
            self.running.is_steerable = False

    async def _within_limit(self) -> Final | Failed | None:
        with trio.move_on_after(self.limit):
            return await self._consume_stream()
        return None

    async def _consume_stream(self) -> Final | Failed:
        services = self.services
        try:
            with self.running.span.child("build the prompt"):
                agent, request = await self._request()
            self.running.is_steerable = True
            async with agent.run(request) as events:
                count = 0
                async for event in events:
                    if isinstance(event, Failed):
                        return event
                    if isinstance(event, Final):
                        text = cut_at_chars(event.text, self.rules.bounds.chars)
                        self.uncut = event.text if text != event.text else ""
                        return evolve(event, text=text)
                    await self._on_event(event)
                    if (end := self._end_at_bound()) is not None:
                        # Leaving closes the stream: nothing more is generated, or paid for.
                        return end
                    count += 1
                    if count % _EVENTS_AT_ONCE == 0:
                        # An installed agent may never wait: without a checkpoint it would block all other tasks.
                        await trio.lowlevel.checkpoint()
        except AgentError as problem:
            return Failed(problem.for_user, str(problem))
        # Built-in agents always send one, so this is a defect of an installed agent.
        log.error("the agent's stream ended without a final", account=services.account, turn=self.turn.id)
        return Failed("The model stopped in the middle of its answer.", "the agent's stream ended without a final")

    async def _on_event(self, event: AgentEvent) -> None:
        if isinstance(event, TextDelta):
            # One character beyond the bound shows that it was passed, whatever the size of a delta.
            event = TextDelta(event.text[: self.rules.bounds.chars + 1 - self._text_chars])
            self._text_chars += len(event.text)
            self._text_since_call.append(event.text)
            self._texts[-1].append(event.text)
        elif isinstance(event, Thinking):
            self._thinking_chars += len(event.text)
        elif isinstance(event, ToolStarted):
            self._calls[event.call_id] = ToolCall(event.call_id, event.name, event.arguments, event.opaque)
            self._tool_spans[event.call_id] = self.running.span.tool_call(event.call_id, event.name)
        elif isinstance(event, ToolEnded):
            span = self._tool_spans.pop(event.call_id, NO_SPAN)
            span.set({"oc_trio.tool.status": event.status.value})
            span.end("" if event.status is ToolStatus.COMPLETED else event.status.value)
            await self._record_call(event)
        self.writer.show(self.writer.view.with_event(event))

    def _end_at_bound(self) -> Final | Failed | None:
        """The end of the turn where the agent has generated more than one answer may have; else None."""
        bounds, messages = self.rules.bounds, len(self._texts)
        if self._thinking_chars > MAX_THINKING_CHARS and not self._text_chars:
            return Failed(
                "The model thought for too long and said nothing.", f"{MAX_THINKING_CHARS:,} characters of thinking"
            )
        is_thinking_cut = self._thinking_chars > MAX_THINKING_CHARS
        if self._text_chars <= bounds.chars and messages <= MAX_MESSAGES and not is_thinking_cut:
            return None
        log.warning(
            "an answer was cut off",
            account=self.services.account,
            turn=self.turn.id,
            characters=self._text_chars,
            messages=messages,
            thinking=self._thinking_chars,
        )
        text = "\n\n".join(filter(None, ("".join(pieces).strip("\n") for pieces in self._texts)))
        count = min(self._text_chars, bounds.chars)
        # Estimated: the model server's own count comes at the end of a stream that is cut off here.
        usage = Usage(self._input_tokens, estimate(text) + self._thinking_chars // 4, self._model)
        return Final(with_cut_note(text[: bounds.chars], f"{count:,} characters"), usage=usage)

    async def _record_call(self, event: ToolEnded) -> None:
        call = self._calls.pop(event.call_id, ToolCall(event.call_id, event.name))
        # As the agent gives it back to its model: without reasoning that only its closing tag revealed.
        text, self._text_since_call = without_reasoning("".join(self._text_since_call)), []
        if text:
            self._texts.append([])
        await self.record(
            Message(Role.ASSISTANT, text, tool_calls=(call,)),
            Message(Role.TOOL, event.result, tool_call_id=event.call_id, status=event.status, detail=event.detail),
        )

    async def _request(self) -> tuple[Agent, TurnRequest]:
        """The agent and its request: the transcript within the token budget, then the messages to be answered."""
        services, turn, message = self.services, self.turn, self.message
        setup = services.agents.setup(message.agent, self.settings)
        # Without this turn's own rows, which an earlier run wrote and `so_far` has.
        entries = await services.store.transcripts.load(turn.session, _TRANSCRIPT_ROWS, without=turn.id)
        history = transcript.read(turn.session, entries)
        so_far = self._so_far
        if not so_far or so_far[0].role is not Role.USER:
            lines = self.running.batch.lines
            image_bounds = setup.image_bounds
            user_message = await question(
                services, self.turns, self.messages, has_history=bool(history), dropped=lines, image_bounds=image_bounds
            )
            so_far = (user_message, *so_far)
            now = services.clock.now_ms()
            use = SessionUse(turn.session, services.account, turn.channel_id, turn.root_id, message.agent, now)
            rows = [transcript.to_json(message) for message in so_far]
            await services.store.transcripts.rewrite(use, turn.id, rows)
        if missing := self._missing_in_prompt(so_far):
            late = await question(services, self.turns, missing, has_history=True, image_bounds=setup.image_bounds)
            await self.record(late)
            so_far = (*so_far, late)
        messages = transcript.fit_budget(setup.history_tokens, (*history, *so_far))
        self._input_tokens, self._model = sum(estimate(each.text) for each in messages), setup.model
        request = TurnRequest(
            agent=message.agent,
            session=turn.session,
            system_prompt=system_prompt(services, self.turns, setup),
            messages=await with_images(self.turns, messages, current=len(so_far), image_bounds=setup.image_bounds),
            tools=toolbox(self.turns, message, setup, self._answered_messages, PostNames.after(turn.id, so_far)),
            model=setup.model,
            thinking=setup.thinking,
            steering=self._steering,
            span=self.running.span,
        )
        return setup.agent, request

    def _answered_messages(self) -> tuple[InboundMessage, ...]:
        """All messages that are in the prompt by now, shortened to a line or verbatim."""
        return tuple(job.inbound for job in self.running.batch.everyone)

    def _missing_in_prompt(self, so_far: Sequence[Message]) -> tuple[InboundMessage, ...]:
        """Messages that an earlier run bound to this turn and did not add to the prompt yet."""
        prompt_text = user_text(so_far)
        return tuple(message for message in self.messages if not is_in_prompt(message, prompt_text))

    async def _steering(self) -> Sequence[Message]:
        """Messages that people wrote since; each is bound to this turn before the agent gets it."""
        services, messages = self.services, list[Message]()
        # A copy: people may withdraw a message during each of the awaits below.
        for job in tuple(self.running.steered):
            # Bound before the agent reads it: after a crash the message belongs to this turn, and is not answered by
            # another one as well.
            bound = await services.store.turns.begin(self.turn, [job.obligation.id], services.clock.now_ms())
            if job not in self.running.steered:
                continue  # withdrawn meanwhile; its obligation is being ended
            self.running.joined(job)
            if bound:
                image_bounds = services.agents.setup(self.message.agent, self.settings).image_bounds
                message = await question(
                    services, self.turns, (job.inbound,), has_history=True, image_bounds=image_bounds
                )
                await self.record(message)
                messages.append(message)
        return messages

    async def record(self, *messages: Message) -> None:
        """Append messages to the transcript."""
        rows = [transcript.to_json(message) for message in messages]
        await self.services.store.transcripts.append(
            self.turn.session, self.turn.id, rows, self.services.clock.now_ms()
        )

    def draft_message(self, number: int, text: str, kind: OutboxKind = OutboxKind.DRAFT) -> OutboxMessage:
        return OutboxMessage(
            id=draft_id(self.turn, number),
            channel_id=self.turn.channel_id,
            message=text,
            kind=kind,
            root_id=self.turn.root_id,
            turn=self.turn.id,
            answers=self.running.batch.triggers,
        )

    def _writer(self, view: DraftView, earlier_posts: Mapping[int, DraftState]) -> TurnWriter:
        services = self.services
        if services.policies.blocks is not None:
            return ParagraphWriter(
                view,
                post=self._post_paragraphs,
                edit=services.delivery.edit_until_done,
                rules=services.policies.blocks,
                reply=self.rules,
                earlier_posts={
                    number: state.post_id for number, state in earlier_posts.items() if state.post_id is not None
                },
            )
        return self.turns.previewer(
            view,
            create=self._create_draft,
            edit=self._edit_draft,
            record_draft=self._record_draft,
            split=lambda text: split_reply(text, self.rules, prefix=False),
            pacer=self.turns.pacer,
            rules=services.policies.preview,
            edit_uncertain=services.late_edits.edit_uncertain,
            final_written=services.late_edits.final_written,
            earlier_posts=earlier_posts,
            most_posts=self.rules.bounds.posts,
        )

    async def _record_draft(self, post_id: PostId | None) -> None:
        await self.services.store.turns.set_draft(self.turn.id, post_id)

    def words_shown(self) -> None:
        """Words of the answer are in the channel."""
        if not self._has_shown_words:
            self._has_shown_words = True
            seconds = trio.current_time() - self._began
            self.services.metrics.first_text_seconds.labels(self.services.account).observe(seconds)
            self.running.span.event("first text shown")

    async def _create_draft(self, number: int, text: str) -> PostId:
        has_words = self._has_words_to_show()
        post_id = await self.services.delivery.post(self.draft_message(number, text))
        if has_words:
            self.words_shown()
        return post_id

    async def _edit_draft(self, post_id: PostId, text: str) -> None:
        self.services.metrics.draft_edits.labels(self.services.account).inc()
        self.services.metrics.recent_edits.add(self.services.clock.now_ms())
        has_words = self._has_words_to_show()
        await self.services.delivery.edit_draft(post_id, text)
        if has_words:
            self.words_shown()

    def _has_words_to_show(self) -> bool:
        """Whether a draft that is written now has the first words of the answer, and not only lines about the work."""
        view = self.writer.view
        return not self._has_shown_words and bool(
            view.unsealed_reply() or any(block.kind is BlockKind.REPLY for block in view.sealed)
        )

    async def _post_paragraphs(self, number: int, text: str) -> PostId:
        post_id = await self.services.delivery.post_or_abandon(self.draft_message(number, text, OutboxKind.MESSAGE))
        self.words_shown()
        # Record the post as one of the turn's, and that the next one is not written yet.
        await self._record_draft(post_id)
        await self._record_draft(None)
        return post_id
