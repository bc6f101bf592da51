"""How a turn ends: the decision is written down, delivered, and only then the obligations end.

Each way to end has a method here. A restart delivers a decision that was written down and makes none anew.
"""

import trio
from attrs import define, evolve

from oc_trio.agent.port import Message, Role
from oc_trio.core.bounds import attachable
from oc_trio.core.final_plan import INTERRUPTED, STOPPED, failed_words, plan_final, sealed_text
from oc_trio.core.ledger import ObligationState, OutboxState, Outcome
from oc_trio.core.preview import Phase
from oc_trio.core.turn_events import Failed, Final, Media
from oc_trio.errors import MattermostRejected
from oc_trio.ids import PostId, ThreadRoot
from oc_trio.mattermost.files import Outgoing, from_bytes
from oc_trio.runtime.conversation import transcript
from oc_trio.runtime.conversation.cancel_reason import RESUMABLE, CancelReason
from oc_trio.runtime.delivery.uploads import REST_NAME, SentFile
from oc_trio.runtime.services import AccountServices
from oc_trio.runtime.turn.agent_run import AgentRun
from oc_trio.runtime.turn.result import ReplyTarget, TurnResult, deliver_result, result_of, with_buttons
from oc_trio.runtime.turn.services import TurnServices
from oc_trio.telemetry.log import get_logger

log = get_logger(part="turn")


@define(eq=False)
class TurnCompletion:
    """Ends the turn of `run`; no write of its drafts is under way any more. `outcome` is set once people have what
    they were to get.
    """

    services: AccountServices
    turns: TurnServices
    run: AgentRun
    outcome: Outcome | None = None

    async def answered(self, end: Final | Failed) -> Outcome:
        """The agent has said its last word."""
        services, writer, turn = self.services, self.run.writer, self.run.turn
        writer.show(writer.view.rested())
        await writer.finish()
        await self._find_draft()
        failure, said, props, words = "", "", "", ""
        if isinstance(end, Final):
            said = end.text
            end = evolve(end, text=writer.view.whole_reply(end.text))
            end, props = with_buttons(end, self.turns.button_props, turn.channel_id)
            services.metrics.tokens.labels(services.account, "input").inc(end.usage.input_tokens)
            services.metrics.tokens.labels(services.account, "output").inc(end.usage.output_tokens)
            await services.store.usage.record(
                turn.id, services.account, turn.session, end.usage, services.clock.now_ms()
            )
        else:
            failure = end.for_operator
            # What people read in place of an answer: without it the next turn would answer this question once more.
            words = writer.view.words()
            said = failed_words(words, end)
            log.warning("the agent failed", account=services.account, turn=turn.id, problem=failure)
        plan = plan_final(
            writer.state,
            end,
            self.run.rules,
            published=tuple(writer.published),
            standing=len(writer.posts),
            words=words,
            is_cut=bool(self.run.uncut),
        )
        media, whole = (end.media, self.run.uncut or end.text) if isinstance(end, Final) else ((), "")
        rest = attachable(whole) if getattr(plan, "is_cut", False) else ""
        return await self._decided(result_of(plan, failure=failure, said=said, props=props, media=media, rest=rest))

    async def timed_out(self) -> Outcome:
        """The turn took too long: what was said stays, with a notice."""
        log.warning("turn hit its time limit", account=self.services.account, turn=self.run.turn.id)
        notice = f"⏱️ _(stopped: no answer within {_minutes(self.run.limit)})_"
        return await self.broken_off(notice, "the time limit of a turn was reached")

    async def broken_off(self, notice: str, reason: str) -> Outcome:
        """The agent will say no more: what was said stays, with a notice below it."""
        await self.run.writer.finish()
        await self._find_draft()
        state, said = self.run.writer.state, self.run.writer.unsaid()
        draft = state.lingers if state.phase is Phase.DRAFT else None
        text = sealed_text(said if draft else "", notice)
        return await self._decided(TurnResult(ObligationState.FAILED, (text,), draft or "", reason=reason, said=text))

    async def cut_off(self, cut: CancelReason) -> Outcome | None:
        """Seal the draft of a turn that was ended; None where it is to be continued later."""
        writer = self.run.writer
        if cut not in RESUMABLE:
            await writer.finish()
        await self._find_draft()
        draft, said = writer.state.lingers, writer.unsaid()
        if cut in RESUMABLE:
            if cut is CancelReason.DRAIN and draft is not None:
                await self._mark_interrupted(draft, sealed_text(said, INTERRUPTED))
            return None
        sealed = (sealed_text(said, STOPPED),) if draft else ()
        said = writer.view.reply_so_far()  # the transcript has the messages before
        return await self._decided(
            TurnResult(ObligationState.CANCELLED, sealed, draft or "", reason=cut.value, said=said)
        )

    async def deliver(self, result: TurnResult) -> Outcome:
        """Carry out what was decided, now or by an earlier run, and end the obligations."""
        services, turn, message = self.services, self.run.turn, self.run.message
        address = ReplyTarget(turn.id, turn.channel_id, turn.root_id)
        result = await self._with_files(result)
        outcome = await deliver_result(
            result, address, services.delivery, tuple(map(PostId, result.blocks)), services.late_edits.final_written
        )
        self.outcome = outcome
        now = services.clock.now_ms()
        for stale in result.stale:
            await services.delivery.delete_quietly(PostId(stale))
        if result.edit and result.edit not in outcome.posts and outcome.state is ObligationState.FAILED:
            await self._mark_stopped(PostId(result.edit))
        if result.state is ObligationState.CANCELLED and not result.said:
            # A question that was taken back before a word was said is none any more: the next turn must not answer it.
            await services.store.transcripts.drop_turn(turn.id)
        if result.said:
            rows = transcript.read(turn.session, await services.store.transcripts.of_turn(turn.id))
            if not rows or rows[-1].role is not Role.ASSISTANT or rows[-1].tool_calls:
                await self.run.append(Message(Role.ASSISTANT, transcript.closing(result.said, rows)))
        if outcome.posts and turn.root_id and not message.is_direct:
            await services.store.participation.record(services.account, turn.channel_id, ThreadRoot(turn.root_id), now)
        await services.store.context.clear(turn.session, message.create_at)
        await self._drop_unsent_drafts()
        await services.store.turns.end(turn.id, outcome, now)
        return outcome

    async def _decided(self, result: TurnResult) -> Outcome:
        writer = self.run.writer
        result = evolve(result, blocks=tuple(writer.posts), stale=writer.stale)
        # Shielded: between the agent's last word and this row, a cancellation would lose the answer. Without a deadline
        # of its own: the journal bounds its statements (BUSY_MS, STATEMENT_TIMEOUT_MS), and a write that is abandoned
        # half-way is committed all the same.
        with trio.CancelScope(shield=True):
            await self.services.store.turns.decide(self.run.turn.id, result.to_json())
        return await self.deliver(result)

    async def _with_files(self, result: TurnResult) -> TurnResult:
        """`result` with what became of its files; each is written down before the next is sent."""

        async def note(files: tuple[SentFile, ...]) -> None:
            await self._note(evolve(result, files=files))

        wanted: list[Media | Outgoing] = [*result.media]
        if result.rest:
            wanted.append(from_bytes(REST_NAME, result.rest.encode("utf-8", "replace")))
        channel_id, uploader = self.run.turn.channel_id, self.services.uploader
        return evolve(result, files=await uploader.complete(wanted, result.files, channel_id, note))

    async def _note(self, result: TurnResult) -> None:
        await self.services.store.turns.set_final(self.run.turn.id, result.to_json())

    async def _find_draft(self) -> None:
        """A draft whose creation got no answer may stand nevertheless: the same key gives it, or makes it."""
        writer, turn = self.run.writer, self.run.turn
        state = writer.state
        if not state.unsure or state.post_id is not None or state.phase not in (Phase.NONE, Phase.LOST):
            return
        try:
            # One that the server fails at is not waited for: the answer goes out fresh.
            post_id = await self.services.delivery.post_or_abandon(
                self.run.draft_message(writer.number, state.wanted or "…")
            )
        except MattermostRejected:
            return
        await self.services.store.turns.set_draft(turn.id, post_id)
        writer.adopt(post_id)

    async def _drop_unsent_drafts(self) -> None:
        """A draft that the server never took is nobody's any more; left queued it would wait in the outbox for ever."""
        services, turn = self.services, self.run.turn
        if self.run.writer.state.post_id is None or turn.begun_at:
            for row in await services.store.outbox.of_turn(turn.id):
                if row.state is OutboxState.QUEUED and row.id.startswith(f"{turn.id}.d"):
                    await services.store.outbox.dead(row.id, "its turn has ended", services.clock.now_ms())

    async def _mark_stopped(self, draft: PostId) -> None:
        """A draft that stays although its answer is not taken must not promise that it will be continued."""

        def stopped(text: str) -> str:
            return sealed_text(text, STOPPED) if text.endswith(INTERRUPTED) else text

        try:
            await self.services.delivery.rewrite_until_done(draft, stopped)
        except MattermostRejected as problem:
            log.warning("a draft still says that it was interrupted", post=draft, problem=str(problem))

    async def _mark_interrupted(self, draft: PostId, text: str) -> None:
        try:
            await self.services.delivery.edit_until_done(draft, text)
        except MattermostRejected as problem:
            log.warning("could not mark a draft as interrupted", post=draft, problem=str(problem))


def _minutes(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:g} s"
    return f"{seconds / 60:g} min"
