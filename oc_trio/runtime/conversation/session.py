"""One conversation's task: messages in, one turn at a time, out when idle.

Serial inside a conversation, parallel across. What happens to a message that arrives during a turn is `mailbox`'s and
`core.queueing`'s; the ways to end a turn are here.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import trio
from attrs import define, evolve, field

from oc_trio.core.queueing import QueueRules
from oc_trio.ids import ChannelId, SessionKey, TurnId
from oc_trio.runtime.conversation.cancel_reason import QUEUE_OVERFLOW, CancelReason
from oc_trio.runtime.conversation.mailbox import MAILBOX, ArrivalResult, Batch, Job, Mailbox
from oc_trio.telemetry.log import get_logger
from oc_trio.wakeup import Wakeup

# A conversation in which people never stop writing is answered all the same.
_LONGEST_DEBOUNCES = 5

log = get_logger(part="session")


@define(eq=False)
class Running:
    """A turn in progress, as its session and whoever runs it both see it.

    Cancelling `scope` cuts it off, for `reason`. `steered` are jobs that may join it, if `is_steerable`: the runner
    hands them to the agent and then moves them into the batch with `joined`.
    """

    batch: Batch
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    reason: str = ""
    turn: TurnId | None = None
    is_steerable: bool = False
    steered: deque[Job] = field(factory=deque)

    def cancel(self, reason: str) -> None:
        """The first reason counts."""
        self.reason = self.reason or reason
        self.is_steerable = False
        self.scope.cancel()

    def joined(self, job: Job) -> None:
        """The agent has been told of a steered job: it is answered with the others."""
        self.steered.remove(job)
        self.batch = evolve(self.batch, jobs=(*self.batch.jobs, job))


RunTurn = Callable[[Running], Awaitable[None]]


class Session:
    """A conversation: its mailbox, its running turn, and the ways to end it.

    `run_turn` answers a batch and `settle(jobs, reason)` ends the obligations of jobs that get no turn. `reload(key)`
    gives the open jobs that the journal has, `load_rules(key)` the conversation's queue rules.
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
        gather_seconds: float = 0.0,
    ) -> None:
        self.key = key
        self.rules = QueueRules()
        self._run_turn = run_turn
        self._settle = settle
        self._reload = reload
        self._load_rules = load_rules
        self._idle_seconds = idle_seconds
        self._gather_seconds = gather_seconds
        self._mailbox = Mailbox(self.mailbox)
        self._withdrawn: deque[tuple[Job, str]] = deque()
        # What ends messages that only the journal has, and why; applied as they are read back.
        self._unread: list[tuple[Callable[[Job], bool], str]] = []
        self._is_open = True
        self._last_at = 0.0
        self._wakeup = Wakeup()
        self._turn: Running | None = None

    @property
    def is_busy(self) -> bool:
        return bool(self._turn or self._mailbox or self._withdrawn or self._mailbox.has_spilled)

    @property
    def running(self) -> tuple[Job, ...]:
        """The jobs of the turn that runs now; empty between turns."""
        return self._turn.batch.everyone if self._turn is not None else ()

    @property
    def queued(self) -> int:
        return len(self._mailbox) + (len(self._turn.steered) if self._turn is not None else 0)

    def put(self, job: Job) -> None:
        """Take a message in, by the queue's rules. Never waits."""
        turn = self._turn
        if self.holds(job.trigger):
            return
        steerable = turn is not None and turn.is_steerable
        fate, dropped = self._mailbox.arrive(job, self.rules, running=turn is not None, steerable=steerable)
        reason = QUEUE_OVERFLOW
        if fate is ArrivalResult.STEERS and turn is not None:
            turn.steered.append(job)
        elif fate is ArrivalResult.INTERRUPTS and turn is not None:
            reason = CancelReason.REPLACED.value
            turn.cancel(reason)
        elif fate is ArrivalResult.SPILLED:
            log.warning("mailbox full: the message waits in the journal", session=self.key, post=job.trigger)
        self._withdrawn.extend((each, reason) for each in dropped)
        self._last_at = trio.current_time()
        self._wakeup.set()

    def stop(self, *, reason: str, drop_queue: bool, until: int = 0) -> bool:
        """End the running turn, and withdraw what waits behind it if asked; true if anything was there.

        `until` (server milliseconds) spares what was said later: a word to stop may come in after it.
        """

        def is_meant(job: Job) -> bool:
            return not until or job.inbound.create_at <= until

        turn = self._turn if any(map(is_meant, self.running)) else None
        found = turn is not None
        if drop_queue:
            found = self._drop(is_meant, reason) or found
        if turn is not None:
            turn.cancel(reason)
        self._wakeup.set()
        return found

    def withdraw(self, trigger: str, *, reason: str) -> bool:
        """Take one message back; a turn that answers nothing else ends with `reason`, another goes on without it."""
        turn = self._turn
        # A turn that is being ended to be run again has its jobs in the mailbox already.
        mine = [job for job in self.running if job.trigger == trigger and trigger not in self._mailbox]
        others = [job for job in self.running if job.trigger != trigger]
        if turn is not None and mine and not others:
            turn.cancel(reason)
            return True
        if turn is not None and mine:
            self._rerun(turn, others, CancelReason.WITHDRAWN)
            gone: tuple[Job, ...] = tuple(mine)
        else:
            gone = self._take(lambda job: job.trigger == trigger)
        self._withdrawn.extend((job, reason) for job in gone)
        self._wakeup.set()
        return bool(gone)

    def leave(self, channel_id: ChannelId, *, reason: str) -> None:
        """Nothing can be written to a channel any more: end and withdraw what belongs there."""
        if self._turn is not None and any(job.inbound.channel_id == channel_id for job in self.running):
            self._turn.cancel(reason)
        self._drop(lambda job: job.inbound.channel_id == channel_id, reason)
        self._wakeup.set()

    def replace(self, job: Job) -> bool:
        """The message of `job` reads differently now: answer the new words, in the draft that may be there already."""
        turn = self._turn
        if job.trigger in self._mailbox:
            return self._mailbox.replace(job)
        if turn is not None and any(running.trigger == job.trigger for running in self.running):
            jobs = [job if running.trigger == job.trigger else running for running in self.running]
            self._rerun(turn, jobs, CancelReason.EDITED)
            return True
        if turn is not None:
            for at, waiting in enumerate(turn.steered):
                if waiting.trigger == job.trigger:
                    turn.steered[at] = job
                    return True
        return False

    def holds(self, trigger: str) -> bool:
        """Whether a message waits here or is being answered."""
        return trigger in self._mailbox or trigger in {known.trigger for known in self._in_hand()}

    def abandon(self) -> tuple[Job, ...]:
        """Take out all that waits in memory, for somebody else to end. What the journal has comes back at a start."""
        withdrawn, self._withdrawn = [job for job, _ in self._withdrawn], deque()
        return (*self._mailbox.remove(lambda _job: True), *withdrawn)

    def close(self) -> None:
        """Start no further turn; the running one may finish."""
        self._is_open = False
        self._wakeup.set()

    async def run(self, *, on_idle: Callable[[], object]) -> None:
        """Answer until idle or closed; `on_idle` is called without a checkpoint before the end."""
        self.rules = await self._load_rules(self.key)
        gathers = self._gather_seconds > 0
        while True:
            await self._settle_withdrawn()
            if self._is_open and self._mailbox.has_spilled and not self._mailbox:
                await self._read_back()
            if gathers and self._mailbox and not self._mailbox.resumes:
                await self._gather()
            batch = self._mailbox.take(self.rules, gathers) if self._is_open and not self._withdrawn else None
            if batch is not None:
                gathers = False
                await self._answer(batch)
                await self._let_more_come()
            elif self._withdrawn:
                continue
            elif not self._is_open or await self._was_idle():
                on_idle()
                return
            else:
                gathers = self._gather_seconds > 0

    async def _gather(self) -> None:
        """Somebody may write on: wait for a pause, at most five times as long as one."""
        with trio.move_on_after(5 * self._gather_seconds):
            while self._is_open and not self._withdrawn:
                with trio.move_on_at(self._last_at + self._gather_seconds) as pause:
                    await self._wakeup.wait_next()
                if pause.cancelled_caught:
                    return

    async def _was_idle(self) -> bool:
        if self._mailbox.has_spilled:
            return False
        with trio.move_on_after(self._idle_seconds):
            await self._wakeup.wait_next()
        return not self.is_busy

    async def _answer(self, batch: Batch) -> None:
        self._turn = turn = Running(batch)
        try:
            await self._run_turn(turn)
        finally:
            self._turn = None
            self._mailbox.put_first(turn.steered)

    async def _let_more_come(self) -> None:
        """People send second thoughts: what arrived during a turn waits a moment for more before it is taken up."""
        began = trio.current_time()
        while self._is_open and self._mailbox and not self._mailbox.resumes and not self._withdrawn:
            wait = self.rules.debounce
            at = min(self._last_at + wait, began + _LONGEST_DEBOUNCES * wait)
            if trio.current_time() >= at:
                return
            with trio.move_on_at(at):
                await self._wakeup.wait_next()

    async def _settle_withdrawn(self) -> None:
        """All that were withdrawn for one reason at once: one notice speaks for all of them."""
        while self._withdrawn:
            reason = self._withdrawn[0][1]
            jobs = [job for job, why in self._withdrawn if why == reason]
            self._withdrawn = deque(item for item in self._withdrawn if item[1] != reason)
            await self._settle(jobs, reason)

    def _rerun(self, turn: Running, jobs: Sequence[Job], cut: CancelReason) -> None:
        """End the turn and answer `jobs` in its stead, in its draft."""
        named = [evolve(job, obligation=evolve(job.obligation, turn=turn.turn)) for job in jobs]
        self._mailbox.resume(named)
        turn.cancel(cut.value)

    def _in_hand(self) -> tuple[Job, ...]:
        return (*self.running, *self._turn.steered) if self._turn is not None else ()

    def _take(self, which: Callable[[Job], bool]) -> tuple[Job, ...]:
        """Take out what waits in memory, to join the running turn or for one of its own."""
        gone = self._mailbox.remove(which)
        if self._turn is None:
            return gone
        steered = tuple(job for job in self._turn.steered if which(job))
        for job in steered:
            self._turn.steered.remove(job)
        return (*gone, *steered)

    def _drop(self, which: Callable[[Job], bool], reason: str) -> bool:
        """Withdraw what waits, in memory and in the journal; true if there may have been anything."""
        gone = self._take(which)
        self._withdrawn.extend((job, reason) for job in gone)
        if self._mailbox.has_spilled:
            self._unread.append((which, reason))
        return bool(gone) or self._mailbox.has_spilled

    async def _read_back(self) -> None:
        before = self._mailbox.spills
        jobs = await self._reload(self.key)
        came_meanwhile = self._mailbox.spills > before
        self._mailbox.has_spilled = False
        # After the wait: who said stop during it meant these, too.
        unread, self._unread = self._unread, []
        for job in jobs:
            reason = next((why for which, why in unread if which(job)), "")
            if reason:
                self._withdrawn.append((job, reason))
            else:
                self.put(job)
        self._mailbox.has_spilled = self._mailbox.has_spilled or came_meanwhile
