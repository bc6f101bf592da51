"""One turn: an agent's stream becomes a growing draft and then the answer; every way it can end is here.

Order of durable steps: the turn is begun, each completed tool call enters the transcript, the end is decided and
written down, delivered, and only then the obligations end. A restart picks up at the last of these steps.
"""

from collections.abc import Callable, Sequence
from enum import Enum

import trio
from attrs import evolve, frozen

from oc_trio.agent.port import Agent, Message, Role, ToolCall, TurnRequest
from oc_trio.core.draft_view import DraftView
from oc_trio.core.final_plan import INTERRUPTED, STOPPED, plan_final, prepared, sealed_text
from oc_trio.core.inbound import InboundMessage
from oc_trio.core.obligations import ObligationState, OutboxKind, Outcome, cancelled
from oc_trio.core.preview import Phase, resumed
from oc_trio.core.turn_events import AgentEvent, Failed, Final, TextDelta, ToolEnded, ToolStarted
from oc_trio.errors import AgentError, MattermostError, MattermostRejected
from oc_trio.ids import OutboxId, PostId, ThreadRoot, TurnId
from oc_trio.runtime import transcript
from oc_trio.runtime.agents import SessionSettings
from oc_trio.runtime.delivery import Letter
from oc_trio.runtime.finale import Address, Finale, finale_of, perform
from oc_trio.runtime.kit import AccountKit
from oc_trio.runtime.previewer import Previewer
from oc_trio.runtime.session import Job
from oc_trio.runtime.slots import TaskSlot
from oc_trio.runtime.typing import keep_typing
from oc_trio.store.turns import Turn
from oc_trio.telemetry.log import get_logger

# Clean-up of a turn that was cut off: the write in flight (20 s at most) and one last edit.
SEAL_SECONDS = 30.0
# A message whose turns keep dying is given up in words, so that it can't take the account down for ever.
MAX_ATTEMPTS = 8
_TRANSCRIPT_ROWS = 400

log = get_logger(part="turn")


class Cut(Enum):
    """Why a turn was ended before its answer was complete."""

    STOPPED = "stopped"
    DELETED = "the message was deleted"
    EDITED = "the message was edited"
    REMOVED = "the bot was removed from the channel"
    RESET = "the session was reset"
    REPLACED = "a newer message replaced it"
    DRAIN = "shutdown"


# After these the turn goes on later, in the same draft: its obligations stay open.
_TO_BE_CONTINUED = frozenset({Cut.DRAIN, Cut.EDITED})


@frozen(eq=False)
class TurnRunner:
    """Runs turns of one account; `live` is told of each turn's previewer while it is written."""

    kit: AccountKit
    live: set[Previewer]
    previewer: type[Previewer] = Previewer

    async def __call__(self, jobs: Sequence[Job], scope: trio.CancelScope, reason: Callable[[], str]) -> None:
        """Answer `jobs` with one turn. Cancelling `scope` cuts the turn off; it is sealed before this returns."""
        turn = await self._begin(jobs)
        if turn is None:
            return
        began = trio.current_time()
        settings = await self.kit.session_settings(turn.session)
        run = _Run(self.kit, turn, tuple(job.inbound for job in jobs), settings, self.live, self.previewer)
        is_over = False
        outcome: Outcome | None = None
        try:
            end: Final | Failed | None = None
            if turn.final:
                is_over = True
                outcome = await run.deliver(Finale.from_json(turn.final))
            elif max(job.obligation.attempts for job in jobs) >= MAX_ATTEMPTS:
                end = Failed("I could not answer this, after several tries.", f"gave up after {MAX_ATTEMPTS} attempts")
            else:
                with scope:
                    end = await run.listen()
            if not turn.final and end is None:
                is_over = True
                outcome = await run.cut_off(Cut(reason()))
            elif end is not None:
                is_over = True
                outcome = await run.finish(end)
        finally:
            if not is_over:
                with trio.move_on_after(SEAL_SECONDS, shield=True):
                    await run.cut_off(Cut.DRAIN)
        if outcome is not None:
            self._note(turn, outcome, trio.current_time() - began)

    async def _begin(self, jobs: Sequence[Job]) -> Turn | None:
        """The turn that an earlier run left behind, or a new one; None if all of it was settled meanwhile."""
        kit, first = self.kit, jobs[0].inbound
        earlier = next((job.obligation.turn for job in jobs if job.obligation.turn), None)
        turn = await kit.store.turns.get(earlier) if earlier else None
        if turn is None or turn.ended_at:
            turn = Turn(TurnId(kit.env.new_id()), kit.account, first.session, first.channel_id, first.reply_root)
        bound = await kit.store.turns.begin(turn, [job.obligation.id for job in jobs], kit.env.now_ms())
        return turn if bound else None

    def _note(self, turn: Turn, outcome: Outcome, seconds: float) -> None:
        kit = self.kit
        kit.metrics.obligations.labels(kit.account, outcome.state.value).inc()
        kit.metrics.turn_seconds.labels(kit.account, outcome.state.value).observe(seconds)
        level = log.warning if outcome.state is ObligationState.FAILED else log.info
        level(
            "turn ended",
            account=kit.account,
            turn=turn.id,
            session=turn.session,
            state=outcome.state.value,
            reason=outcome.reason,
            posts=list(outcome.posts),
            seconds=round(seconds, 2),
        )


class _Run:
    """The state of one turn while it runs."""

    def __init__(
        self,
        kit: AccountKit,
        turn: Turn,
        messages: tuple[InboundMessage, ...],
        settings: SessionSettings,
        live: set[Previewer],
        make_previewer: type[Previewer],
    ) -> None:
        self.kit, self.turn, self.messages, self.settings, self.live = kit, turn, messages, settings, live
        self.address = Address(turn.id, turn.channel_id, turn.root_id)
        self.spoken = ""
        self.calls: dict[str, ToolCall] = {}
        view = DraftView(kit.view_style(messages[-1], settings))
        self.previewer = make_previewer(
            view,
            create=self._create_draft,
            edit=self._edit_draft,
            drafted=lambda post: kit.store.turns.set_draft(turn.id, post),
            split=lambda text: prepared(text, kit.reply_rules(messages[-1].agent), prefix=False),
            pace=kit.pace,
            rules=kit.preview_rules,
            state=resumed(turn.draft) if turn.draft else None,
            number=len(turn.drafts),
        )

    async def listen(self) -> Final | Failed:
        """Let the agent talk, show it as it grows; returns its last word with no write under way."""
        kit, message = self.kit, self.messages[-1]
        async with trio.open_nursery() as nursery:
            slot = TaskSlot(nursery)
            self.live.add(self.previewer)
            kit.pace.live += 1
            try:
                nursery.start_soon(keep_typing, kit.typing, message.channel_id, self.turn.root_id)
                await slot.start(self.previewer.run)
                end = await self._converse()
                await slot.cancel_and_join(reason="the answer is complete")
            finally:
                kit.pace.live -= 1
                self.live.discard(self.previewer)
            nursery.cancel_scope.cancel()
        return end

    async def _converse(self) -> Final | Failed:
        kit = self.kit
        try:
            agent, request = await self._request()
            async with agent.run(request) as events:
                async for event in events:
                    if isinstance(event, (Final, Failed)):
                        return event
                    await self._hear(event)
        except AgentError as problem:
            return Failed(problem.for_user, str(problem))
        log.error("the agent's stream ended without a final", account=kit.account, turn=self.turn.id)
        return Failed("The model stopped in the middle of its answer.", "the agent's stream ended without a final")

    async def _hear(self, event: AgentEvent) -> None:
        if isinstance(event, TextDelta):
            self.spoken += event.text
        elif isinstance(event, ToolStarted):
            self.calls[event.call_id] = ToolCall(event.call_id, event.name, event.arguments)
        elif isinstance(event, ToolEnded):
            await self._remember_call(event)
        self.previewer.show(self.previewer.view.with_event(event))

    async def _remember_call(self, event: ToolEnded) -> None:
        """A completed call is in the transcript before the model reads its result: a restart won't repeat it."""
        call = self.calls.pop(event.call_id, ToolCall(event.call_id, event.name))
        spoken, self.spoken = self.spoken, ""
        await self._append(
            Message(Role.ASSISTANT, spoken, tool_calls=(call,)),
            Message(Role.TOOL, event.result, tool_call_id=event.call_id),
        )

    async def _request(self) -> tuple[Agent, TurnRequest]:
        """The agent and what it is asked: the transcript within budget, ending with what is to be answered."""
        kit, turn, message = self.kit, self.turn, self.messages[-1]
        now = kit.env.now_ms()
        await kit.store.sessions.touch(turn.session, kit.account, turn.channel_id, turn.root_id, message.agent, now)
        setup = kit.agents.setup(message.agent, self.settings)
        history = transcript.read(await kit.store.transcripts.load(turn.session, _TRANSCRIPT_ROWS, without=turn.id))
        so_far = transcript.read(await kit.store.transcripts.of_turn(turn.id))
        if not so_far:
            so_far = (await kit.asked(self.messages, has_history=bool(history)),)
            await self._append(*so_far)
        request = TurnRequest(
            agent=message.agent,
            session=turn.session,
            system_prompt=setup.system_prompt,
            messages=transcript.within(setup.history_tokens, (*history, *so_far)),
            tools=setup.tools,
            model=setup.model,
            thinking=setup.thinking,
        )
        return setup.agent, request

    async def finish(self, end: Final | Failed) -> Outcome:
        """Decide how the turn ends, write the decision down, deliver it."""
        await self._find_draft()
        rules, previewer = self.kit.reply_rules(self.messages[-1].agent), self.previewer
        said = end.text if isinstance(end, Final) else ""
        if isinstance(end, Final):
            end = evolve(end, text=previewer.view.whole_reply(end.text))
        else:
            log.warning("the agent failed", account=self.kit.account, turn=self.turn.id, problem=end.for_operator)
        plan = plan_final(
            previewer.state,
            end,
            rules,
            published=tuple(previewer.published),
            draft_is_reply=previewer.draft_is_reply,
        )
        failure = end.for_operator if isinstance(end, Failed) else ""
        finale = finale_of(plan, failure=failure, said=said)
        if isinstance(end, Final):
            now = self.kit.env.now_ms()
            await self.kit.store.usage.record(self.turn.id, self.kit.account, self.turn.session, end.usage, now)
        return await self._decided(finale)

    async def cut_off(self, cut: Cut) -> Outcome | None:
        """Seal the draft of a turn that was ended; None where it is to be continued later."""
        await self._find_draft()
        draft, said = self.previewer.state.lingers, self.previewer.view.reply_so_far()
        if cut in _TO_BE_CONTINUED:
            if cut is Cut.EDITED:
                await self.kit.store.transcripts.drop_turn(self.turn.id)
            elif draft is not None:
                await self._mark_interrupted(draft, sealed_text(said, INTERRUPTED))
            return None
        sealed = (sealed_text(said, STOPPED),) if draft else ()
        finale = Finale(ObligationState.CANCELLED, sealed, draft or "", reason=cut.value, said=said)
        return await self._decided(finale)

    async def deliver(self, finale: Finale) -> Outcome:
        """Carry out what was decided, now or by an earlier run, and end the obligations."""
        kit, turn = self.kit, self.turn
        outcome = await perform(finale, self.address, kit.delivery, tuple(self.previewer.posts))
        now = kit.env.now_ms()
        if finale.said:
            rows = transcript.read(await kit.store.transcripts.of_turn(turn.id))
            if not rows or rows[-1].role is not Role.ASSISTANT or rows[-1].tool_calls:
                await self._append(Message(Role.ASSISTANT, finale.said))
        if outcome.posts and turn.root_id and not self.messages[-1].is_direct:
            await kit.store.participation.record(kit.account, turn.channel_id, ThreadRoot(turn.root_id), now)
        await kit.store.context.clear(turn.session, self.messages[-1].create_at)
        await kit.store.turns.end(turn.id, outcome, now)
        return outcome

    async def _decided(self, finale: Finale) -> Outcome:
        # Shielded: between the agent's last word and this row, a cancellation would lose the answer.
        with trio.CancelScope(shield=True):
            await self.kit.store.turns.set_final(self.turn.id, finale.to_json())
        return await self.deliver(finale)

    async def _append(self, *messages: Message) -> None:
        rows = [transcript.to_json(message) for message in messages]
        await self.kit.store.transcripts.append(self.turn.session, self.turn.id, rows, self.kit.env.now_ms())

    async def _find_draft(self) -> None:
        """A draft whose creation got no answer may stand nevertheless: the same key gives it, or makes it."""
        state = self.previewer.state
        if not state.unsure or state.post_id is not None or state.phase is not Phase.NONE:
            return
        letter = self._draft_letter(self.previewer.number, state.wanted)
        try:
            post_id = await self.kit.delivery.post_until_done(letter)
        except MattermostRejected:
            return
        await self.kit.store.turns.set_draft(self.turn.id, post_id)
        self.previewer.state = resumed(post_id)

    async def _mark_interrupted(self, draft: PostId, text: str) -> None:
        try:
            await self.kit.delivery.edit_until_done(draft, text)
        except MattermostError as problem:
            log.warning("could not mark a draft as interrupted", post=draft, problem=str(problem))

    async def _create_draft(self, number: int, text: str) -> PostId:
        self.kit.metrics.draft_edits.labels(self.kit.account).inc()
        return await self.kit.delivery.post(self._draft_letter(number, text))

    async def _edit_draft(self, post_id: PostId, text: str) -> None:
        self.kit.metrics.draft_edits.labels(self.kit.account).inc()
        await self.kit.delivery.edit_draft(post_id, text)

    def _draft_letter(self, number: int, text: str) -> Letter:
        return Letter(
            id=OutboxId(f"{self.turn.id}.d{number}"),
            channel_id=self.turn.channel_id,
            message=text,
            kind=OutboxKind.DRAFT,
            root_id=self.turn.root_id,
            turn=self.turn.id,
        )


async def settle_withdrawn(kit: AccountKit, job: Job, reason: str) -> None:
    """End the obligation of a message that was taken back before its turn began."""
    await kit.store.obligations.close([job.obligation.id], cancelled(reason), kit.env.now_ms())
    kit.metrics.obligations.labels(kit.account, "cancelled").inc()
    log.info("withdrawn", account=kit.account, post=job.obligation.trigger, reason=reason)
