"""The queue of one conversation: waiting jobs, and turns to resume.

Which job waits, joins the turn or is dropped is decided by `core.queueing`. Bounded: beyond `MAILBOX` jobs a message
stays in the journal only ("spilled"), and is reloaded when the queue in memory is empty. The caller settles the
obligations of dropped jobs.
"""

from collections import deque
from collections.abc import Callable, Iterable
from enum import Enum
from itertools import takewhile
from typing import assert_never

from attrs import evolve, field

from oc_trio.classes import define, frozen
from oc_trio.core.inbound import InboundMessage
from oc_trio.core.ledger import Obligation
from oc_trio.core.queueing import (
    Backlog,
    DropRule,
    InterruptTurn,
    Queued,
    QueuedMessage,
    QueueRules,
    StartTurn,
    SteerTurn,
    arrive,
    next_batch,
    summary_line,
    without,
)
from oc_trio.ids import PostId

# Only memory is bounded by this: further messages wait in the journal, and none is refused.
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
    """What one turn answers: `jobs` in full, and `summarised` by one line each, in `lines`."""

    jobs: tuple[Job, ...]
    summarised: tuple[Job, ...] = ()
    lines: tuple[str, ...] = field(default=(), repr=lambda lines: f"<{len(lines)} lines>")

    @property
    def triggers(self) -> tuple[PostId, ...]:
        """The posts that are answered."""
        return tuple(PostId(job.trigger) for job in self.everyone)

    @property
    def everyone(self) -> tuple[Job, ...]:
        return (*self.jobs, *self.summarised)


class ArrivalResult(Enum):
    """What was done with a job that arrived."""

    WAITS = "waits"
    STEERS = "steers"
    INTERRUPTS = "interrupts"
    SPILLED = "spilled"


@define(eq=False)
class Mailbox:
    """The waiting jobs of one conversation."""

    capacity: int = MAILBOX
    has_spilled: bool = False
    spills: int = 0
    _backlog: Backlog = field(init=False, factory=Backlog)
    _jobs: dict[str, Job] = field(init=False, factory=dict)
    # Left out of the backlog by the rule `summarize`: the next turn gets a line of each, and they are answered with it.
    _summarised: list[Job] = field(init=False, factory=list)
    # Batches whose turn was interrupted and is resumed; they come before everything else.
    _resumed: deque[tuple[Job, ...]] = field(init=False, factory=deque)

    def __len__(self) -> int:
        return len(self._jobs) + len(self._summarised) + sum(map(len, self._resumed))

    @property
    def jobs(self) -> tuple[Job, ...]:
        """All that wait, in the order in which they are answered; those that get one line only are last."""
        return tuple(self._all())

    @property
    def resumes(self) -> bool:
        """Whether the next batch resumes an earlier turn."""
        return bool(self._resumed)

    def __contains__(self, trigger: object) -> bool:
        return any(job.trigger == trigger for job in self._all())

    def arrive(
        self, job: Job, rules: QueueRules, *, running: bool, steerable: bool = False
    ) -> tuple[ArrivalResult, tuple[Job, ...]]:
        """Take a job in; returns what was done with it and the jobs that were dropped for it (perhaps itself)."""
        if job.obligation.turn is not None:
            # The jobs of one turn stay together and are never spilled: they were in memory before.
            self._resume_with(job)
            return ArrivalResult.WAITS, ()
        if self.has_spilled or len(self) >= self.capacity:
            # Once one message waits in the journal, all later ones do: they must not overtake it.
            self.spill()
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
                removed = [self._jobs.pop(post.trigger) for post in decision.dropped]
                if rules.drop is DropRule.SUMMARIZE:
                    self._summarised += removed
                    # Not dropped: the next turn answers them, by a line each, and their obligations stay open until
                    # then.
                    removed = []
                return ArrivalResult.WAITS, tuple(removed)
            case InterruptTurn():
                self._backlog = decision.backlog
                removed = [self._jobs.pop(post.trigger) for post in decision.dropped]
                self._jobs[job.trigger] = job
                return ArrivalResult.INTERRUPTS, tuple(removed)
        assert_never(decision)

    def spill(self) -> None:
        """One more message waits in the journal only."""
        self.has_spilled = True
        self.spills += 1

    def take(self, rules: QueueRules, with_followups: bool = False) -> Batch | None:
        """The next turn's batch; None when nothing waits.

        `with_followups` adds what the sender of the last job wrote right after it in the same thread.
        """
        if self._resumed:
            return Batch(self._resumed.popleft())
        batch = next_batch(rules, self._backlog)
        if batch is None:
            return None
        triggers, self._backlog = batch
        summarised, self._summarised = tuple(self._summarised), []
        # A line for each of them, even beyond the cap: the agent must know whose messages the turn answers.
        lines = tuple(summary_line(_waiting(job)) for job in summarised)
        jobs = tuple(self._jobs.pop(trigger) for trigger in triggers)
        return Batch((*jobs, *self._followups(jobs[-1])) if with_followups else jobs, summarised, lines)

    def _followups(self, job: Job) -> tuple[Job, ...]:
        """Remove and return what the sender of `job` wrote right after it in the same thread."""
        waiting = [self._jobs[post.trigger] for post in self._backlog.posts]
        followups = tuple(takewhile(lambda other: _sender_and_thread(other) == _sender_and_thread(job), waiting))
        for other in followups:
            del self._jobs[other.trigger]
            self._backlog = without(self._backlog, other.trigger)
        return followups

    def requeue_front(self, jobs: Iterable[Job]) -> None:
        """Put jobs that could not join the running turn before all that wait: they are older."""
        requeued = tuple(jobs)
        self._jobs |= {job.trigger: job for job in requeued}
        self._backlog = evolve(self._backlog, posts=(*map(_waiting, requeued), *self._backlog.posts))

    def resume(self, jobs: Iterable[Job]) -> None:
        """Answer these jobs together, before everything else."""
        # In front, also of other resumed turns: this one was interrupted just now, and its draft is on the screen.
        self._resumed.appendleft(tuple(jobs))

    def replace(self, job: Job) -> bool:
        """Replace a waiting job, whose message was edited; false where it doesn't wait here."""
        trigger = job.trigger
        if trigger in self._jobs:
            self._jobs[trigger] = job
            posts = tuple(_waiting(job) if post.trigger == trigger else post for post in self._backlog.posts)
            self._backlog = evolve(self._backlog, posts=posts)
            return True
        is_waiting = trigger in self
        self._summarised = [job if each.trigger == trigger else each for each in self._summarised]
        self._resumed = deque(
            tuple(job if each.trigger == trigger else each for each in batch) for batch in self._resumed
        )
        return is_waiting

    def remove(self, which: Callable[[Job], bool]) -> tuple[Job, ...]:
        """Remove and return the jobs for which `which` is true."""
        removed = tuple(job for job in self._all() if which(job))
        for job in removed:
            self._jobs.pop(job.trigger, None)
            self._backlog = without(self._backlog, job.trigger)
        names = {job.trigger for job in removed}
        self._summarised = [job for job in self._summarised if job.trigger not in names]
        batches = (tuple(job for job in batch if job.trigger not in names) for batch in self._resumed)
        self._resumed = deque(batch for batch in batches if batch)
        return removed

    def _all(self) -> list[Job]:
        return [*(job for batch in self._resumed for job in batch), *self._jobs.values(), *self._summarised]

    def _resume_with(self, job: Job) -> None:
        """Add the job to the batch of its turn."""
        for at, batch in enumerate(self._resumed):
            if batch[0].obligation.turn == job.obligation.turn:
                self._resumed[at] = (*batch, job)
                return
        self._resumed.append((job,))


def _sender_and_thread(job: Job) -> tuple[str, str, str]:
    return job.inbound.user_id, job.inbound.channel_id, job.inbound.reply_root


def _waiting(job: Job) -> QueuedMessage:
    return QueuedMessage(job.trigger, job.inbound.user_name, job.inbound.text)
