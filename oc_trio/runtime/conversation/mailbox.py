"""What waits in one conversation: the jobs behind `core.queueing`'s backlog, and turns to go on with.

Bounded: beyond `MAILBOX` jobs a message is left to the journal, which has it anyway ("spill"), and is read back when
everything in memory is worked off. Whoever asks settles the obligations of the jobs that are given back as dropped.
"""

from collections import deque
from collections.abc import Callable, Iterable
from enum import Enum
from itertools import takewhile
from typing import assert_never

from attrs import define, evolve, field, frozen

from oc_trio.core.inbound import InboundMessage
from oc_trio.core.ledger import Obligation
from oc_trio.core.queueing import (
    Backlog,
    DropRule,
    InterruptTurn,
    Queued,
    QueueRules,
    StartTurn,
    SteerTurn,
    Waiting,
    arrive,
    next_batch,
    summary_line,
    without,
)

MAILBOX = 200


@frozen
class Job:
    """An admitted message and the obligation to answer it."""

    obligation: Obligation
    inbound: InboundMessage

    @property
    def trigger(self) -> str:
        return self.obligation.trigger


@frozen
class Batch:
    """What one turn answers: `jobs` word for word, then `summed` by the one line each that `lines` holds."""

    jobs: tuple[Job, ...]
    summed: tuple[Job, ...] = ()
    lines: tuple[str, ...] = field(default=(), repr=lambda lines: f"<{len(lines)} lines>")

    @property
    def everyone(self) -> tuple[Job, ...]:
        return (*self.jobs, *self.summed)


class ArrivalResult(Enum):
    """What became of a job that arrived."""

    WAITS = "waits"
    STEERS = "steers"
    INTERRUPTS = "interrupts"
    SPILLED = "spilled"


@define(eq=False)
class Mailbox:
    """The waiting jobs of one conversation."""

    room: int = MAILBOX
    has_spilled: bool = False
    spills: int = 0
    _backlog: Backlog = field(init=False, factory=Backlog)
    _jobs: dict[str, Job] = field(init=False, factory=dict)
    _summed: list[Job] = field(init=False, factory=list)
    # Batches that go on with a turn of theirs; they come before everything else.
    _resumed: deque[tuple[Job, ...]] = field(init=False, factory=deque)

    def __len__(self) -> int:
        return len(self._jobs) + len(self._summed) + sum(map(len, self._resumed))

    @property
    def resumes(self) -> bool:
        """Whether the next batch goes on with an earlier turn."""
        return bool(self._resumed)

    def __contains__(self, trigger: object) -> bool:
        return any(job.trigger == trigger for job in self._all())

    def arrive(
        self, job: Job, rules: QueueRules, *, running: bool, steerable: bool = False
    ) -> tuple[ArrivalResult, tuple[Job, ...]]:
        """Take a job in; returns what became of it and the jobs that had to go for it (perhaps itself)."""
        if job.obligation.turn is not None:
            # What a turn answers together stays together, however much that is: memory had room for it before.
            self._resume_with(job)
            return ArrivalResult.WAITS, ()
        if self.has_spilled or len(self) >= self.room:
            # Once one message waits in the journal, all later ones do: they must not overtake it.
            self.has_spilled = True
            self.spills += 1
            return ArrivalResult.SPILLED, ()
        decision = arrive(rules, self._backlog, _waiting(job), running=running, steerable=steerable)
        match decision:
            case StartTurn():
                self._backlog = Backlog((decision.post,))
                self._jobs[job.trigger] = job
                return ArrivalResult.WAITS, ()
            case SteerTurn():
                return ArrivalResult.STEERS, ()
            case Queued():
                self._backlog = decision.backlog
                self._jobs[job.trigger] = job
                gone = [self._jobs.pop(post.trigger) for post in decision.dropped]
                if rules.drop is DropRule.SUMMARIZE:
                    self._summed += gone
                    gone = []
                return ArrivalResult.WAITS, tuple(gone)
            case InterruptTurn():
                self._backlog = decision.backlog
                gone = [self._jobs.pop(post.trigger) for post in decision.dropped]
                self._jobs[job.trigger] = job
                return ArrivalResult.INTERRUPTS, tuple(gone)
        assert_never(decision)

    def take(self, rules: QueueRules, gathers: bool = False) -> Batch | None:
        """The next turn's batch; None when nothing waits. `gathers`: with what its sender wrote next, there."""
        if self._resumed:
            return Batch(self._resumed.popleft())
        batch = next_batch(rules, self._backlog)
        if batch is None:
            return None
        triggers, self._backlog = batch
        summed, self._summed = tuple(self._summed), []
        # Of all of them, not only of as many as may wait: whose message joins the turn is told to the agent.
        lines = tuple(summary_line(_waiting(job)) for job in summed)
        jobs = tuple(self._jobs.pop(trigger) for trigger in triggers)
        return Batch((*jobs, *self._next_of(jobs[-1])) if gathers else jobs, summed, lines)

    def _next_of(self, job: Job) -> tuple[Job, ...]:
        """Take out what the sender of `job` wrote right after it in the same place."""
        waiting = [self._jobs[post.trigger] for post in self._backlog.posts]
        found = tuple(takewhile(lambda other: _written_by_and_where(other) == _written_by_and_where(job), waiting))
        for other in found:
            del self._jobs[other.trigger]
            self._backlog = without(self._backlog, other.trigger)
        return found

    def put_first(self, jobs: Iterable[Job]) -> None:
        """Jobs that were to join a turn and could not: they are the oldest that wait."""
        early = tuple(jobs)
        self._jobs |= {job.trigger: job for job in early}
        self._backlog = evolve(self._backlog, posts=(*map(_waiting, early), *self._backlog.posts))

    def resume(self, jobs: Iterable[Job]) -> None:
        """Answer these together, before everything else."""
        self._resumed.appendleft(tuple(jobs))

    def replace(self, job: Job) -> bool:
        """The waiting message reads differently now; false where it does not wait here."""
        trigger = job.trigger
        if trigger in self._jobs:
            self._jobs[trigger] = job
            posts = tuple(_waiting(job) if post.trigger == trigger else post for post in self._backlog.posts)
            self._backlog = evolve(self._backlog, posts=posts)
            return True
        found = trigger in self
        self._summed = [job if each.trigger == trigger else each for each in self._summed]
        self._resumed = deque(
            tuple(job if each.trigger == trigger else each for each in batch) for batch in self._resumed
        )
        return found

    def remove(self, which: Callable[[Job], bool]) -> tuple[Job, ...]:
        """Take out every job that `which` names."""
        gone = tuple(job for job in self._all() if which(job))
        for job in gone:
            self._jobs.pop(job.trigger, None)
            self._backlog = without(self._backlog, job.trigger)
        names = {job.trigger for job in gone}
        self._summed = [job for job in self._summed if job.trigger not in names]
        batches = (tuple(job for job in batch if job.trigger not in names) for batch in self._resumed)
        self._resumed = deque(batch for batch in batches if batch)
        return gone

    def _all(self) -> list[Job]:
        return [*(job for batch in self._resumed for job in batch), *self._jobs.values(), *self._summed]

    def _resume_with(self, job: Job) -> None:
        """The jobs of one turn are answered together, as they were before."""
        for at, batch in enumerate(self._resumed):
            if batch[0].obligation.turn == job.obligation.turn:
                self._resumed[at] = (*batch, job)
                return
        self._resumed.append((job,))


def _written_by_and_where(job: Job) -> tuple[str, str, str]:
    return job.inbound.user_id, job.inbound.channel_id, job.inbound.reply_root


def _waiting(job: Job) -> Waiting:
    return Waiting(job.trigger, job.inbound.user_name, job.inbound.text)
