"""One turn, from the journal's row to its end; every way it can end is named here.

Order of durable steps: the turn is begun, each completed tool call enters the transcript, the end is decided and
written down, delivered, and only then the obligations end. A restart picks up at the last of these steps.
"""

from collections.abc import Sequence

import trio
from attrs import frozen

from oc_trio.core.final_plan import STOPPED, sealed_text
from oc_trio.core.obligations import ObligationState, OutboxKind, Outcome, cancelled, failed
from oc_trio.core.turn_events import Failed, Final
from oc_trio.errors import MattermostError, MattermostRejected
from oc_trio.ids import OutboxId, TurnId
from oc_trio.runtime.attempt import Attempt, TimeIsUp
from oc_trio.runtime.cuts import CROWDED_OUT, Cut
from oc_trio.runtime.earlier_run import before, draft_state
from oc_trio.runtime.ending import Ending
from oc_trio.runtime.finale import Finale
from oc_trio.runtime.kit import AccountKit
from oc_trio.runtime.letters import Letter
from oc_trio.runtime.queue import Batch, Job
from oc_trio.runtime.session import Running
from oc_trio.runtime.stand_ins import send_or_say
from oc_trio.store.turns import Turn
from oc_trio.telemetry.log import get_logger

# Clean-up of a turn that was cut off: the write in flight (20 s at most) and one last edit.
SEAL_SECONDS = 30.0
# A message whose turns keep dying is given up in words, so that it can't take the account down for ever.
MAX_ATTEMPTS = 8

log = get_logger(part="turn")


@frozen(eq=False)
class TurnRunner:
    """Runs turns of one account."""

    kit: AccountKit

    async def __call__(self, running: Running) -> None:
        """Answer a batch with one turn. Cancelling `running` cuts the turn off; it is sealed before this returns."""
        kit = self.kit
        turn = await self._begin(running.batch)
        if turn is None:
            return
        running.turn = turn.id
        began = trio.current_time()
        settings = await kit.session_settings(turn.session)
        attempt = Attempt(kit, turn, running, settings, await before(kit, turn, running.batch))
        ending = Ending(kit, attempt)
        is_over = False
        outcome: Outcome | None = None
        try:
            if turn.final:
                is_over = True
                outcome = await ending.deliver(Finale.from_json(turn.final))
            else:
                end = await self._listen(attempt)
                is_over = True
                if end is None:
                    outcome = await ending.cut_off(Cut(running.reason))
                    if outcome is None:
                        await kit.store.turns.spare(turn.id)
                elif isinstance(end, TimeIsUp):
                    outcome = await ending.timed_out()
                else:
                    outcome = await ending.answered(end)
        finally:
            # A turn that the drain had cut off had its time for the seal already.
            if not is_over and running.reason != Cut.DRAIN.value:
                with trio.move_on_after(SEAL_SECONDS, shield=True):
                    await ending.cut_off(Cut.DRAIN)
        if outcome is not None:
            self._note(turn, outcome, trio.current_time() - began)
            await kit.acks.ended(attempt.messages, outcome.state)

    async def _listen(self, attempt: Attempt) -> Final | Failed | TimeIsUp | None:
        """The agent's last word; None where the turn was cut off."""
        if max(job.obligation.attempts for job in attempt.running.batch.jobs) >= MAX_ATTEMPTS:
            return Failed("I could not answer this, after several tries.", f"gave up after {MAX_ATTEMPTS} attempts")
        with attempt.running.scope:
            try:
                return await attempt.listen()
            except TimeIsUp as late:
                return late
        return None

    async def _begin(self, batch: Batch) -> Turn | None:
        """The turn that an earlier run left behind, or a new one; None if all of it was settled meanwhile."""
        kit, first = self.kit, batch.jobs[0].inbound
        earlier = next((job.obligation.turn for job in batch.everyone if job.obligation.turn), None)
        turn = await kit.store.turns.get(earlier) if earlier else None
        if turn is None or turn.ended_at:
            turn = Turn(TurnId(kit.env.new_id()), kit.account, first.session, first.channel_id, first.reply_root)
        bound = await kit.store.turns.begin(turn, [job.obligation.id for job in batch.everyone], kit.env.now_ms())
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


async def settle(kit: AccountKit, jobs: Sequence[Job], reason: str) -> None:
    """End the obligations of messages that get no turn (any more); who was crowded out is told so, once for all."""
    outcome = cancelled(reason)
    if reason == CROWDED_OUT:
        outcome = await _say_crowded_out(kit, jobs)
    await kit.store.obligations.close([job.obligation.id for job in jobs], outcome, kit.env.now_ms())
    kit.metrics.obligations.labels(kit.account, outcome.state.value).inc(len(jobs))
    log.info("withdrawn", account=kit.account, posts=[job.trigger for job in jobs], reason=reason)
    for turn_id in {job.obligation.turn for job in jobs if job.obligation.turn}:
        turn = await kit.store.turns.get(turn_id)
        if turn is not None and not turn.ended_at:
            await end_orphan(kit, turn, reason)


async def end_orphan(kit: AccountKit, turn: Turn, reason: str) -> bool:
    """End a turn that nobody waits for any more and seal its draft; false where somebody does."""
    for obligation_id in turn.obligations:
        obligation = await kit.store.obligations.get(obligation_id)
        if obligation is not None and obligation.state is ObligationState.OPEN:
            return False
    for row in await kit.store.outbox.of_turn(turn.id):
        await kit.delivery.withdraw(row.id)
    draft = (await draft_state(kit, turn)).post_id
    if draft is not None:
        try:
            sealed = sealed_text((await kit.api.posts.get(draft)).message, STOPPED)
            await kit.delivery.edit_until_done(draft, sealed)
            await kit.late.settled(draft, sealed)
        except MattermostError as problem:
            log.info("a draft could not be sealed", account=kit.account, post=draft, problem=str(problem))
    # Nobody waits for it: the next turn must not take it for a question that is still open.
    await kit.store.transcripts.drop_turn(turn.id)
    await kit.store.turns.end(turn.id, cancelled(reason), kit.env.now_ms())
    return True


async def _say_crowded_out(kit: AccountKit, jobs: Sequence[Job]) -> Outcome:
    first, count = jobs[0], len(jobs)
    what = "A message was" if count == 1 else f"{count} messages were"
    letter = Letter(
        id=OutboxId(f"{first.obligation.id}.x"),
        channel_id=first.inbound.channel_id,
        message=f"⚠️ {what} left unanswered, because {CROWDED_OUT}. Please ask again.",
        kind=OutboxKind.NOTICE,
        root_id=first.inbound.reply_root or first.inbound.root_id,
    )
    try:
        return failed(CROWDED_OUT, (await send_or_say(kit.delivery, letter)).post_id)
    except MattermostRejected as refusal:
        return failed(f"{CROWDED_OUT}; the notice was refused: {refusal}")
