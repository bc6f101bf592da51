"""The task of one conversation: takes messages in, runs one turn at a time, and ends when idle.

Turns are serial within a conversation and parallel across. `mailbox` and `core.queueing` decide what happens to a
message that arrives during a turn; the ways to cancel a turn are here.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import trio
from attrs import evolve, field

from oc_trio.classes import define
from oc_trio.core.queueing import QueueRules
from oc_trio.ids import ChannelId, SessionKey, TurnId
from oc_trio.runtime.conversation.cancel_reason import QUEUE_OVERFLOW, CancelReason
from oc_trio.runtime.conversation.mailbox import MAILBOX, ArrivalResult, Batch, Job, Mailbox
from oc_trio.telemetry.log import get_logger
from oc_trio.telemetry.tracing import NO_SPAN, Span
from oc_trio.wakeup import Wakeup

# Debouncing ends after so many periods, as in OpenClaw: people may never stop writing.
_LONGEST_DEBOUNCES = 5

log = get_logger(part="session")


@define(eq=False)
class Running:
    """A turn in progress, shared by its session and the turn runner.

    `scope` is cancelled to end the turn, for `reason`. `steered` are jobs that may join it, if `is_steerable`: the
    runner passes them to the agent and then moves them into the batch with `joined`.
    """

    batch: Batch
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    reason: str = ""
    turn: TurnId | None = None
    is_steerable: bool = False
    steered: deque[Job] = field(factory=deque)
    # Of the turn; it and all its steps end with the turn.
    span: Span = NO_SPAN

    def cancel(self, reason: str) -> None:
        """The first reason counts."""
        self.reason = self.reason or reason
        self.is_steerable = False
        self.scope.cancel()

    def joined(self, job: Job) -> None:
        """The agent was given a steered job: it is answered with the others."""
        self.steered.remove(job)
        self.batch = evolve(self.batch, jobs=(*self.batch.jobs, job))


RunTurn = Callable[[Running], Awaitable[None]]


class Session:
    """A conversation: its mailbox and its running turn.

    `run_turn` answers a batch and `settle(jobs, reason)` ends the obligations of jobs that get no turn. `reload(key)`
    gives the open jobs that the journal has, `load_rules(key)` the conversation's queue rules. `idle_seconds` without
    work end the task; `first_debounce` (seconds) is how long the first message waits for more of them.
    """

    mailbox = MAILBOX

    def __init__(
        self,
        key: SessionKey,
        *,
        run_turn: RunTurn,
        settle: Callable[[Sequence[Job], str], Awaitable[None]],
        reload: Callable[[SessionKey], Awaitable[Sequence[Job]]],
        load_rules: Callable[[SessionKey], Awaitable[QueueRules]],
        idle_seconds: float,
        first_debounce: float = 0.0,
    ) -> None:
        self.key = key
        self._rules = QueueRules()
        self._run_turn = run_turn
        self._settle = settle
        self._reload = reload
        self._load_rules = load_rules
        self._idle_seconds = idle_seconds
        self._first_debounce = first_debounce
        self._mailbox = Mailbox(self.mailbox)
        # Messages that arrived while commands before them are carried out, and how many of those there are.
        self._deferred: deque[Job] = deque()
        self._deferrals = 0
        # Jobs whose obligations the task has still to end, each with the reason: `enqueue` and `stop` must not wait for
        # the journal.
        self._withdrawn: deque[tuple[Job, str]] = deque()
        # Withdrawals of spilled messages, with their reason: applied when those are reloaded from the journal.
        self._spilled_withdrawals: list[tuple[Callable[[Job], bool], str]] = []
        self._is_open = True
        # When the last message came, by Trio's clock: debouncing waits from then on.
        self._last_at = 0.0
        self._wakeup = Wakeup()
        self._turn: Running | None = None

    @property
    def is_busy(self) -> bool:
        waiting = self._mailbox or self._withdrawn or self._mailbox.has_spilled
        return bool(self._turn or waiting or self._deferred or self._deferrals)

    @property
    def running(self) -> tuple[Job, ...]:
        """The jobs of the turn that runs now; empty between turns."""
        return self._turn.batch.everyone if self._turn is not None else ()

    @property
    def queued(self) -> int:
        return len(self._mailbox) + len(self._deferred) + (len(self._turn.steered) if self._turn is not None else 0)

    @property
    def waiting(self) -> tuple[Job, ...]:
        """The messages that wait in memory, those that may join the running turn included; oldest first."""
        steered = self._turn.steered if self._turn is not None else ()
        return (*steered, *self._mailbox.jobs, *self._deferred)

    @property
    def has_spilled(self) -> bool:
        """Whether more messages wait, in the journal only."""
        return self._mailbox.has_spilled

    @property
    def is_ending(self) -> bool:
        """Whether the running turn was cancelled and is about to end."""
        return self._turn is not None and bool(self._turn.reason)

    def defer(self) -> None:
        """Let messages that arrive from now on wait until `release`: the command before them is being carried out."""
        self._deferrals += 1

    def release(self) -> None:
        """One command has been carried out; with the last one, what waited for it is taken in."""
        self._deferrals -= 1
        if self._deferrals:
            return
        deferred, self._deferred = self._deferred, deque()
        for job in deferred:
            self.enqueue(job)
        self._wakeup.set()

    def enqueue(self, job: Job, *, is_of_command: bool = False) -> None:
        """Take a message in, by the queue rules. Never waits. `is_of_command`: others may be waiting for just this."""
        turn = self._turn
        # A resumed connection or catch-up may bring a message again.
        if self.holds(job.trigger):
            return
        if self._deferrals and not is_of_command:
            if len(self._deferred) < self.mailbox and not self._mailbox.has_spilled:
                self._deferred.append(job)
            else:
                # Not into the mailbox, where it would overtake those that are deferred.
                self._mailbox.spill()
                log.warning("mailbox full: the message waits in the journal", session=self.key, post=job.trigger)
            return
        steerable = turn is not None and turn.is_steerable
        result, dropped = self._mailbox.arrive(job, self._rules, running=turn is not None, steerable=steerable)
        reason = QUEUE_OVERFLOW
        if result is ArrivalResult.STEERS and turn is not None:
            turn.steered.append(job)
        elif result is ArrivalResult.INTERRUPTS and turn is not None:
            reason = CancelReason.REPLACED.value
            turn.cancel(reason)
        elif result is ArrivalResult.SPILLED:
            log.warning("mailbox full: the message waits in the journal", session=self.key, post=job.trigger)
        self._withdrawn.extend((each, reason) for each in dropped)
        self._last_at = trio.current_time()
        self._wakeup.set()

    def stop(self, *, reason: str, drop_queue: bool, until: int = 0) -> bool:
        """Cancel the running turn, and with `drop_queue` withdraw what waits; true if anything was there.

        `until` (server milliseconds) spares later messages: a stop may be handled after them.
        """

        def is_before(job: Job) -> bool:
            return not until or job.inbound.create_at <= until

        # A turn that answers only messages written after the stop goes on.
        turn = self._turn if any(map(is_before, self.running)) else None
        is_found = turn is not None
        if drop_queue:
            is_found = self._drop(is_before, reason) or is_found
        if turn is not None:
            turn.cancel(reason)
        self._wakeup.set()
        return is_found

    def withdraw(self, trigger: str, *, reason: str) -> bool:
        """Withdraw one message; a turn that answers only it is cancelled, another is run again without it."""
        turn = self._turn
        # A turn that is being cancelled to run again has its jobs in the mailbox already.
        matching = [job for job in self.running if job.trigger == trigger and trigger not in self._mailbox]
        others = [job for job in self.running if job.trigger != trigger]
        if turn is not None and matching and not others:
            turn.cancel(reason)
            return True
        if turn is not None and matching:
            self._rerun(turn, others, CancelReason.WITHDRAWN)
            removed: tuple[Job, ...] = tuple(matching)
        else:
            removed = self._take(lambda job: job.trigger == trigger)
        self._withdrawn.extend((job, reason) for job in removed)
        self._wakeup.set()
        return bool(removed)

    def leave_channel(self, channel_id: ChannelId, *, reason: str) -> None:
        """The bot can't post in a channel any more: cancel and withdraw what belongs there."""
        if self._turn is not None and any(job.inbound.channel_id == channel_id for job in self.running):
            self._turn.cancel(reason)
        self._drop(lambda job: job.inbound.channel_id == channel_id, reason)
        self._wakeup.set()

    def replace(self, job: Job) -> bool:
        """The message of `job` was edited: answer its current text, in the draft of its turn if one runs."""
        turn = self._turn
        if job.trigger in self._mailbox:
            return self._mailbox.replace(job)
        if turn is not None and any(running.trigger == job.trigger for running in self.running):
            jobs = [job if running.trigger == job.trigger else running for running in self.running]
            self._rerun(turn, jobs, CancelReason.EDITED)
            return True
        for queue in (self._deferred, turn.steered if turn is not None else deque[Job]()):
            for at, waiting in enumerate(queue):
                if waiting.trigger == job.trigger:
                    queue[at] = job
                    return True
        return False

    def holds(self, trigger: str) -> bool:
        """Whether a message waits in memory or is being answered."""
        return trigger in self._mailbox or trigger in {
            known.trigger for known in (*self._in_progress(), *self._deferred)
        }

    def abandon(self) -> tuple[Job, ...]:
        """Remove and return what waits in memory, for the caller to settle; spilled messages stay in the journal."""
        withdrawn, self._withdrawn = [job for job, _ in self._withdrawn], deque()
        deferred, self._deferred = self._deferred, deque()
        return (*self._mailbox.remove(lambda _job: True), *withdrawn, *deferred)

    def close(self) -> None:
        """Start no further turn; the running one may finish."""
        self._is_open = False
        self._wakeup.set()

    async def reload_rules(self) -> None:
        """Take the queue rules from the journal, after `/queue` changed them there."""
        self._rules = await self._load_rules(self.key)

    async def run(self, *, on_idle: Callable[[], object]) -> None:
        """Run turns until idle or closed; `on_idle` is called without a checkpoint before the end."""
        await self.reload_rules()
        debounces_first = self._first_debounce > 0
        while True:
            await self._settle_withdrawn()
            if self._is_open and self._mailbox.has_spilled and not self._mailbox and not self._deferrals:
                await self._reload_spilled()
            if debounces_first and self._mailbox and not self._mailbox.resumes:
                await self._debounce_first()
            # What was withdrawn is settled first: a turn that starts now could answer a message that was just taken
            # back.
            batch = self._mailbox.take(self._rules, debounces_first) if self._is_open and not self._withdrawn else None
            if batch is not None:
                debounces_first = False
                await self._answer(batch)
                await self._debounce_followups()
            elif self._withdrawn:
                continue
            # What still waits after `close` is an open obligation in the journal: the next start goes on with it.
            elif not self._is_open or await self._wait_idle():
                on_idle()
                return
            else:
                debounces_first = self._first_debounce > 0

    async def _debounce_first(self) -> None:
        """Wait until the sender of the first message pauses: they may write on."""
        with trio.move_on_after(_LONGEST_DEBOUNCES * self._first_debounce):
            while self._is_open and not self._withdrawn:
                with trio.move_on_at(self._last_at + self._first_debounce) as pause:
                    await self._wakeup.wait_next()
                if pause.cancelled_caught:
                    return

    async def _wait_idle(self) -> bool:
        if self._mailbox.has_spilled and not self._deferrals:
            return False
        with trio.move_on_after(self._idle_seconds):
            # No checkpoint since the mailbox was found empty, so no wake-up is lost.
            await self._wakeup.wait_next()
        # Woken without work, as by a stop, the task ends too: the next message starts it anew.
        return not self.is_busy

    async def _answer(self, batch: Batch) -> None:
        self._turn = turn = Running(batch)
        try:
            await self._run_turn(turn)
        finally:
            self._turn = None
            # What the agent did not get in time is answered by the next turn.
            self._mailbox.requeue_front(turn.steered)

    async def _debounce_followups(self) -> None:
        """Before messages that arrived during a turn are answered, wait until no more follow."""
        began = trio.current_time()
        while self._is_open and self._mailbox and not self._mailbox.resumes and not self._withdrawn:
            wait = self._rules.debounce
            at = min(self._last_at + wait, began + _LONGEST_DEBOUNCES * wait)
            if trio.current_time() >= at:
                return
            with trio.move_on_at(at):
                await self._wakeup.wait_next()

    async def _settle_withdrawn(self) -> None:
        """Settle withdrawn jobs, those with the same reason together: one notice covers them."""
        while self._withdrawn:
            reason = self._withdrawn[0][1]
            jobs = [job for job, why in self._withdrawn if why == reason]
            # Before the await, during which more may be withdrawn.
            self._withdrawn = deque(item for item in self._withdrawn if item[1] != reason)
            await self._settle(jobs, reason)

    def _rerun(self, turn: Running, jobs: Sequence[Job], reason: CancelReason) -> None:
        """Cancel the turn and answer `jobs` instead of it, in its draft."""
        # With the turn's id in each obligation the next run finds the turn's draft and transcript.
        named = [evolve(job, obligation=evolve(job.obligation, turn=turn.turn)) for job in jobs]
        self._mailbox.resume(named)
        turn.cancel(reason.value)

    def _in_progress(self) -> tuple[Job, ...]:
        return (*self.running, *self._turn.steered) if self._turn is not None else ()

    def _take(self, which: Callable[[Job], bool]) -> tuple[Job, ...]:
        """Remove and return matching jobs that wait in memory, steered and deferred ones included."""
        removed = list(self._mailbox.remove(which))
        for queue in (self._deferred, self._turn.steered if self._turn is not None else deque[Job]()):
            matching = [job for job in queue if which(job)]
            for job in matching:
                queue.remove(job)
            removed += matching
        return tuple(removed)

    def _drop(self, which: Callable[[Job], bool], reason: str) -> bool:
        """Withdraw what waits, in memory and in the journal; true if there may have been anything."""
        removed = self._take(which)
        self._withdrawn.extend((job, reason) for job in removed)
        if self._mailbox.has_spilled:
            self._spilled_withdrawals.append((which, reason))
        return bool(removed) or self._mailbox.has_spilled

    async def _reload_spilled(self) -> None:
        before = self._mailbox.spills
        jobs = await self._reload(self.key)
        # Messages that spilled during the await may be missing from `jobs`, so there is something left in the journal.
        has_spilled_again = self._mailbox.spills > before
        self._mailbox.has_spilled = False
        # Read after the await: a stop that came during it applies to these jobs, too.
        withdrawals, self._spilled_withdrawals = self._spilled_withdrawals, []
        for job in jobs:
            reason = next((why for which, why in withdrawals if which(job)), "")
            if reason:
                self._withdrawn.append((job, reason))
            else:
                self.enqueue(job)
        self._mailbox.has_spilled = self._mailbox.has_spilled or has_spilled_again
