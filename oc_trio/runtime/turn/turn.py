"""Runs one turn from its row in the journal to its end; every way it can end is named here.

Order of durable steps: the turn begins, each completed tool call is added to the transcript, the result is decided and
recorded, delivered, and only then the obligations end. A restart continues after the last of these steps.
"""

from collections.abc import Mapping
from functools import partial

import trio
from attrs import field

from oc_trio.classes import define, frozen
from oc_trio.core.ledger import ObligationState, Outcome, failed
from oc_trio.core.turn_events import Failed, Final
from oc_trio.ids import TurnId
from oc_trio.runtime.conversation.cancel_reason import CancelReason
from oc_trio.runtime.conversation.mailbox import Job
from oc_trio.runtime.conversation.session import Running
from oc_trio.runtime.conversation.settings import load_settings
from oc_trio.runtime.error_boundary import DEFECT, SORRY
from oc_trio.runtime.services import AccountServices
from oc_trio.runtime.turn.agent_run import AgentRun, TurnTimeout
from oc_trio.runtime.turn.completion import TurnCompletion
from oc_trio.runtime.turn.end_without_agent import GAVE_UP, LAST_ATTEMPT, give_up, record_end, was_given_up
from oc_trio.runtime.turn.result import TurnResult
from oc_trio.runtime.turn.resume import load_resume_state
from oc_trio.runtime.turn.services import TurnServices
from oc_trio.store.damage import reading
from oc_trio.store.turns import Turn
from oc_trio.telemetry.log import get_logger

# Time for the clean-up of a cancelled turn: the write in flight (20 s at most) and one last edit.
SEAL_SECONDS = 30.0

log = get_logger(part="turn")


@define(eq=False)
class _Run:
    """The state of a running turn, for whoever ends it where its agent can't."""

    running: Running
    completion: TurnCompletion | None = None
    began: float = field(factory=trio.current_time)
    # What kind of failure it is, if it fails; for the trace.
    failure: str = "not_answered"

    @property
    def jobs(self) -> tuple[Job, ...]:
        return self.running.batch.everyone

    def about(self) -> Mapping[str, object]:
        """Ids for the log."""
        first = self.jobs[0]
        return {"turn": self.running.turn, "session": first.inbound.session, "post": first.trigger}


@frozen(eq=False)
class TurnRunner:
    """Runs the turns of one account. An unexpected error ends its turn with a notice; errors of the journal pass."""

    services: AccountServices
    turns: TurnServices

    async def __call__(self, running: Running) -> None:
        """Answer a batch with one turn. After a cancellation of `running` its draft is sealed before this returns."""
        try:
            await self._run_contained(_Run(running))
        finally:
            # One that has ended is not changed by this.
            running.span.set({"oc_trio.outcome": "interrupted"})
            running.span.end()

    async def _run_contained(self, run: _Run) -> None:
        boundary, running = self.services.boundary, run.running
        if await boundary.contain(partial(self._run, run), "turn", run.about) is None:
            return
        if await boundary.contain(partial(self._fail, run), "end of a turn", run.about) is None:
            return
        # Not even the notice was posted: at least the journal must know that the turn is over.
        end = partial(record_end, self.services, run.jobs, running.turn, failed(DEFECT))
        await boundary.contain(end, "end of a turn", run.about)

    async def _run(self, run: _Run) -> None:
        services, running = self.services, run.running
        turn = await self._begin(running)
        if turn is None:
            return
        self._trace_begin(run, turn)
        if await self._is_last_attempt(run, turn):
            # Neither the agent nor a decided result is tried again: either may be what the process does not survive.
            reason = f"gave up at attempt {LAST_ATTEMPT}"
            await self._report_end(run, turn, await give_up(services, run.jobs, turn.id, GAVE_UP, reason))
            return
        if turn.begun_at and await was_given_up(services, turn):
            # The process ended while the notice was being posted: an answer beside it would be a second one.
            await self._report_end(run, turn, await give_up(services, run.jobs, turn.id, SORRY, DEFECT))
            return
        settings = await load_settings(services.store, turn.session)
        agent_run = AgentRun(
            services, self.turns, turn, running, settings, await load_resume_state(services, turn, running.batch)
        )
        run.completion = completion = TurnCompletion(services, self.turns, agent_run)
        is_over = False
        outcome: Outcome | None
        try:
            if turn.final:
                is_over = True
                with reading("turns", f"id {turn.id}"):
                    result = TurnResult.from_json(turn.final)
                outcome = await completion.deliver(result)
            else:
                end = await self._run_agent(run, agent_run)
                is_over = True
                run.failure = _failure(end)
                outcome = await self._conclude(completion, running, end)
        finally:
            # Something cancelled the turn from outside, as the end of its account does: its draft gets the mark "will
            # continue". One that the drain cancelled had its time for that already.
            if not is_over and running.reason != CancelReason.DRAIN.value:
                with trio.move_on_after(SEAL_SECONDS, shield=True):
                    await completion.cancelled(CancelReason.DRAIN)
        if outcome is not None:
            await self._report_end(run, turn, outcome)

    async def _run_agent(self, run: _Run, agent_run: AgentRun) -> Final | Failed | TurnTimeout | Exception | None:
        """The agent's final event, or the defect that came in its place; None where the turn was cancelled."""
        end: Final | Failed | TurnTimeout | None = None

        async def run_agent() -> None:
            nonlocal end
            try:
                end = await agent_run.run()
            except TurnTimeout as late:
                end = late

        with agent_run.running.scope:
            return await self.services.boundary.contain(run_agent, "turn", run.about) or end
        return None

    async def _conclude(
        self, completion: TurnCompletion, running: Running, end: Final | Failed | TurnTimeout | Exception | None
    ) -> Outcome | None:
        if end is None:
            outcome = await completion.cancelled(CancelReason(running.reason))
            if outcome is None:
                # An interruption on purpose is no failed attempt: else three restarts would give the message up.
                await self.services.store.turns.reset_attempts(completion.run.turn.id)
            return outcome
        if isinstance(end, TurnTimeout):
            return await completion.timed_out()
        if isinstance(end, Exception):
            return await completion.aborted(SORRY, DEFECT)
        return await completion.answered(end)

    async def _fail(self, run: _Run) -> None:
        """End a turn that failed by a defect; where its result was delivered already, with that."""
        running, completion = run.running, run.completion
        if completion is not None and completion.outcome is not None:
            outcome = completion.outcome
            await record_end(self.services, run.jobs, running.turn, outcome)
        else:
            outcome = await give_up(self.services, run.jobs, running.turn, SORRY, DEFECT)
        turn = await self.services.store.turns.get(running.turn) if running.turn else None
        if turn is not None:
            await self._report_end(run, turn, outcome)

    async def _begin(self, running: Running) -> Turn | None:
        """The turn that an earlier run left, or a new one; None if all its obligations have ended meanwhile."""
        services, batch = self.services, running.batch
        first = batch.jobs[0].inbound
        # All jobs of a resumed batch belong to one turn; messages that came later join it.
        earlier = next((job.obligation.turn for job in batch.everyone if job.obligation.turn), None)
        turn = await services.store.turns.get(earlier) if earlier else None
        if turn is None or turn.ended_at:
            turn = Turn(
                TurnId(services.clock.new_id()), services.account, first.session, first.channel_id, first.reply_root
            )
        bound = await services.store.turns.begin(
            turn, [job.obligation.id for job in batch.everyone], services.clock.now_ms()
        )
        if not bound:
            return None
        running.turn = turn.id
        return turn

    def _trace_begin(self, run: _Run, turn: Turn) -> None:
        """Begin the turn's trace, with the time that its oldest message has waited."""
        services, message = self.services, run.jobs[0].inbound
        began_at = services.clock.now_ms()
        # One that goes on after an interruption has waited for something else.
        admitted_at = began_at if turn.begun_at else min(job.obligation.admitted_at for job in run.jobs)
        if not turn.begun_at:
            services.metrics.queue_seconds.labels(services.account).observe((began_at - admitted_at) / 1000)
        run.running.span = self.turns.tracer.turn(
            message.agent,
            {
                "gen_ai.conversation.id": turn.session,
                "oc_trio.account": services.account,
                "oc_trio.turn": turn.id,
                "oc_trio.channel.kind": message.channel_type.name.lower(),
                "oc_trio.source": message.source.value,
                "oc_trio.messages": len(run.jobs),
                "oc_trio.resumed": bool(turn.begun_at),
            },
            began_ms=admitted_at,
        )
        run.running.span.child("wait in the queue", began_ms=admitted_at).end()

    async def _is_last_attempt(self, run: _Run, turn: Turn) -> bool:
        # The jobs' numbers may be outdated: the count begins anew where a turn was interrupted on purpose.
        may_be = max(job.obligation.attempts for job in run.jobs) + 1 >= LAST_ATTEMPT
        return may_be and await self.services.store.turns.attempts(turn.id) >= LAST_ATTEMPT

    async def _report_end(self, run: _Run, turn: Turn, outcome: Outcome) -> None:
        services, seconds = self.services, trio.current_time() - run.began
        messages = tuple(job.inbound for job in run.running.batch.jobs)
        services.metrics.obligations.labels(services.account, outcome.state.value).inc()
        services.metrics.turn_seconds.labels(services.account, outcome.state.value).observe(seconds)
        run.running.span.set({"oc_trio.outcome": outcome.state.value, "oc_trio.posts": len(outcome.posts)})
        run.running.span.end(run.failure if outcome.state is ObligationState.FAILED else "")
        level = log.warning if outcome.state is ObligationState.FAILED else log.info
        level(
            "turn ended",
            account=services.account,
            turn=turn.id,
            session=turn.session,
            state=outcome.state.value,
            reason=outcome.reason,
            posts=list(outcome.posts),
            seconds=round(seconds, 2),
        )

        # Reactions are decoration: a defect there must not fail a turn that has ended well.
        await services.boundary.contain(partial(self.turns.acks.ended, messages, outcome.state), "reaction", run.about)


def _failure(end: Final | Failed | TurnTimeout | Exception | None) -> str:
    """The kind of a turn's end, where it is a failure."""
    if isinstance(end, Failed):
        return "agent_failed"
    if isinstance(end, TurnTimeout):
        return "timeout"
    return type(end).__name__ if isinstance(end, Exception) else "not_delivered"
