"""Ends a turn: its result is decided and recorded, then delivered, and only then its obligations end.

Each way to end has a method here. A restart delivers a recorded result and never decides again.
"""

from functools import partial

from attrs import evolve

from oc_trio.classes import define
from oc_trio.core.bounds import attachable
from oc_trio.core.final_plan import INTERRUPTED, STOPPED, NoPost, failed_text, interrupted_text, plan_final
from oc_trio.core.ledger import ObligationState, OutboxState, Outcome
from oc_trio.core.preview import DraftPhase
from oc_trio.core.turn_events import Failed, Final, Media, Usage
from oc_trio.errors import MattermostRejected
from oc_trio.ids import PostId
from oc_trio.mattermost.files import OutgoingFile, from_bytes
from oc_trio.runtime.conversation import transcript
from oc_trio.runtime.conversation.cancel_reason import RESUMABLE, CancelReason
from oc_trio.runtime.delivery.uploads import REST_NAME, SentFile
from oc_trio.runtime.journal_write import finish_write
from oc_trio.runtime.services import AccountServices
from oc_trio.runtime.turn.agent_run import AgentRun
from oc_trio.runtime.turn.result import ReplyTarget, TurnResult, deliver_result, result_of, with_buttons
from oc_trio.runtime.turn.services import TurnServices
from oc_trio.store.turns import TurnEnd
from oc_trio.telemetry.log import get_logger

log = get_logger(part="turn")


@define(eq=False)
class TurnCompletion:
    """Ends the turn of `run`, when no write of its drafts is in flight any more. `outcome` is set once its result is
    delivered.
    """

    services: AccountServices
    turns: TurnServices
    run: AgentRun
    outcome: Outcome | None = None

    async def answered(self, end: Final | Failed) -> Outcome:
        """The agent has sent its final event."""
        services, writer, turn = self.services, self.run.writer, self.run.turn
        writer.show(writer.view.finished())
        await writer.finish()
        # Before the plan: whether the answer is an edit or a new post depends on whether there is a draft.
        await self._find_draft()
        failure, transcript_text, props, visible_text = "", "", "", ""
        if isinstance(end, Final):
            transcript_text = end.text
            end = evolve(end, text=writer.view.whole_reply(end.text))
            end, props = with_buttons(end, self.turns.button_props, turn.channel_id)
            services.metrics.tokens.labels(services.account, "input").inc(end.usage.input_tokens)
            services.metrics.tokens.labels(services.account, "output").inc(end.usage.output_tokens)
        else:
            failure = end.for_operator
            # The transcript gets what people read in place of an answer: without it the next turn would answer this
            # question once more.
            visible_text = writer.view.streamed_reply()
            transcript_text = failed_text(visible_text, end)
            log.warning("the agent failed", account=services.account, turn=turn.id, problem=failure)
        plan = plan_final(
            writer.state,
            end,
            self.run.rules,
            published=tuple(writer.published),
            kept_posts=len(writer.posts),
            streamed_text=visible_text,
            is_cut=bool(self.run.uncut),
        )
        media, whole = (end.media, self.run.uncut or end.text) if isinstance(end, Final) else ((), "")
        rest = attachable(whole) if not isinstance(plan, NoPost) and plan.is_cut else ""
        return await self._decide(
            result_of(plan, failure=failure, said=transcript_text, props=props, media=media, rest=rest),
            end.usage if isinstance(end, Final) else None,
        )

    async def timed_out(self) -> Outcome:
        """The turn took too long: its text so far stays, with a notice."""
        log.warning("turn hit its time limit", account=self.services.account, turn=self.run.turn.id)
        notice = f"⏱️ _(stopped: no answer within {_minutes(self.run.limit)})_"
        return await self.aborted(notice, "the time limit of a turn was reached")

    async def aborted(self, notice: str, reason: str) -> Outcome:
        """The agent was stopped by us: its text so far stays, with a notice below it. Where the draft can't be edited
        any more, both go out in a fresh post that replaces it.
        """
        await self.run.writer.finish()
        await self._find_draft()
        writer = self.run.writer
        draft, is_editable = writer.state.leftover_post or "", writer.state.phase is DraftPhase.DRAFT
        # Without a post of which it is the text, nobody has read it.
        text = interrupted_text(writer.unpublished() if draft or writer.stale else "", notice)
        return await self._decide(
            TurnResult(
                ObligationState.FAILED,
                (text,),
                edit=draft if is_editable else "",
                delete="" if is_editable else draft,
                reason=reason,
                said=text,
            )
        )

    async def cancelled(self, reason: CancelReason) -> Outcome | None:
        """Seal the draft of a turn that was cancelled; None where it is to be continued later."""
        writer = self.run.writer
        # A turn that goes on after the restart leaves half a block as it is; its next run completes it.
        if reason not in RESUMABLE:
            await writer.finish()
        await self._find_draft()
        draft, text_so_far = writer.state.leftover_post, writer.unpublished()
        if reason in RESUMABLE:
            if reason is CancelReason.DRAIN and draft is not None:
                await self._mark_interrupted(draft, interrupted_text(text_so_far, INTERRUPTED))
            return None
        sealed = (interrupted_text(text_so_far, STOPPED),) if draft else ()
        text_so_far = writer.view.unsealed_reply()  # the transcript has the messages before
        return await self._decide(
            TurnResult(ObligationState.CANCELLED, sealed, draft or "", reason=reason.value, said=text_so_far)
        )

    async def deliver(self, result: TurnResult, *, is_repeated: bool = True) -> Outcome:
        """Deliver a result that was decided, now or by an earlier run (`is_repeated`), and end the obligations."""
        services, turn, message = self.services, self.run.turn, self.run.message
        target = ReplyTarget(turn.id, turn.channel_id, turn.root_id, self.run.running.batch.triggers)
        # Uploads come after the decision is recorded: a restart then uploads the rest, and doesn't ask the model again.
        with self.run.running.span.child("deliver") as span:
            result = await self._with_files(result)
            outcome = await deliver_result(
                result,
                target,
                services.delivery,
                tuple(map(PostId, result.blocks)),
                services.late_edits.final_written,
                is_repeated=is_repeated,
            )
            span.set({"oc_trio.posts": len(outcome.posts)})
        if outcome.state is ObligationState.DELIVERED and outcome.posts:
            self.run.words_shown()
        self.outcome = outcome
        now = services.clock.now_ms()
        # Only now: while the answer was not in the channel, these were all that people had of it.
        for stale in result.stale:
            await services.delivery.delete_quietly(PostId(stale))
        if result.edit and result.edit not in outcome.posts and outcome.state is ObligationState.FAILED:
            await self._mark_stopped(PostId(result.edit))
        if result.state is ObligationState.CANCELLED and not result.said:
            # A question that was withdrawn before the answer began: the next turn must not find and answer it.
            await services.store.transcripts.drop_turn(turn.id)
        await self._drop_unsent_drafts()
        last_entry = partial(transcript.last_row, turn.session, result.said)
        thread = turn.root_id if outcome.posts and not message.is_direct else ""
        # Last: until here a restart delivers the recorded result again.
        await services.store.turns.finish(TurnEnd(turn, outcome, now, last_entry, thread, message.create_at))
        return outcome

    async def _decide(self, result: TurnResult, used: Usage | None = None) -> Outcome:
        services, writer = self.services, self.run.writer
        result = evolve(result, blocks=tuple(writer.posts), stale=writer.stale)
        # Between the agent's final event and this row, a cancellation would lose the answer.
        now = services.clock.now_ms()
        await finish_write(partial(services.store.turns.decide, self.run.turn, result.to_json(), used, now))
        return await self.deliver(result, is_repeated=False)

    async def _with_files(self, result: TurnResult) -> TurnResult:
        """`result` with what became of its files; each upload is recorded before the next begins."""

        async def record(files: tuple[SentFile, ...]) -> None:
            await self._record(evolve(result, files=files))

        wanted: list[Media | OutgoingFile] = [*result.media]
        if result.rest:
            wanted.append(from_bytes(REST_NAME, result.rest.encode("utf-8", "replace")))
        channel_id, uploader = self.run.turn.channel_id, self.services.uploader
        return evolve(result, files=await uploader.complete(wanted, result.files, channel_id, record))

    async def _record(self, result: TurnResult) -> None:
        await self.services.store.turns.set_final(self.run.turn.id, result.to_json())

    async def _find_draft(self) -> None:
        """Find the draft whose creation got no answer but may have been applied: the same outbox id finds or creates
        it.
        """
        writer, turn = self.run.writer, self.run.turn
        state = writer.state
        if not state.unsure or state.post_id is not None or state.phase not in (DraftPhase.NONE, DraftPhase.LOST):
            return
        try:
            # Without waiting for one that the server fails at: the answer then goes out as a fresh post.
            post_id = await self.services.delivery.post_or_abandon(
                # Mattermost takes no empty post.
                self.run.draft_message(writer.number, state.wanted or "…")
            )
        except MattermostRejected:
            return
        await self.services.store.turns.set_draft(turn.id, post_id)
        writer.adopt(post_id)

    async def _drop_unsent_drafts(self) -> None:
        """Mark drafts dead that the server never took: queued, they would stay in the outbox for ever."""
        services, turn = self.services, self.run.turn
        # The others have no such row, and are spared a query.
        if self.run.writer.state.post_id is None or turn.begun_at:
            for row in await services.store.outbox.of_turn(turn.id):
                if row.state is OutboxState.QUEUED and row.id.startswith(f"{turn.id}.d"):
                    await services.store.outbox.mark_dead(row.id, "its turn has ended", services.clock.now_ms())

    async def _mark_stopped(self, draft: PostId) -> None:
        """Replace the "will continue" mark on a draft that stays although its answer was refused."""

        def stopped(text: str) -> str:
            return interrupted_text(text, STOPPED) if text.endswith(INTERRUPTED) else text

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
