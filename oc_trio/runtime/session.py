"""One conversation's task: messages in, one turn at a time, out when idle.

Serial inside a conversation, parallel across. The mailbox is bounded; what does not fit is read back from the
journal ("spill"), never dropped.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import trio
from attrs import frozen

from oc_trio.core.inbound import InboundMessage
from oc_trio.core.obligations import Obligation
from oc_trio.ids import ChannelId, SessionKey
from oc_trio.telemetry.log import get_logger

MAILBOX = 50

log = get_logger(part="session")


@frozen
class Job:
    """An admitted message and the obligation to answer it."""

    obligation: Obligation
    inbound: InboundMessage


class Session:
    """A conversation: its mailbox, its running turn, and the ways to end it.

    `run_turn(jobs, scope, reason)` answers a batch; cancelling `scope` cuts the turn off, for `reason()`.
    `reload(key)` gives the open jobs that the journal has, `pick(key, queued)` how many of the queued ones make the
    next turn (at least one).
    """

    mailbox = MAILBOX

    def __init__(
        self,
        key: SessionKey,
        *,
        run_turn: Callable[[Sequence[Job], trio.CancelScope, Callable[[], str]], Awaitable[None]],
        withdraw_job: Callable[[Job, str], Awaitable[None]],
        reload: Callable[[SessionKey], Awaitable[Sequence[Job]]],
        pick: Callable[[SessionKey, Sequence[Job]], int],
        idle_seconds: float,
    ) -> None:
        self.key = key
        self.channel_id = ChannelId("")
        self._run_turn = run_turn
        self._withdraw_job = withdraw_job
        self._reload = reload
        self._pick = pick
        self._idle_seconds = idle_seconds
        self._mailbox: deque[Job] = deque()
        self._withdrawn: deque[tuple[Job, str]] = deque()
        self._has_spilled = False
        self._is_open = True
        self._wake = trio.Event()
        self._turn: tuple[Job, ...] = ()
        self._scope: trio.CancelScope | None = None
        self._reason = ""

    @property
    def is_busy(self) -> bool:
        return bool(self._turn or self._mailbox or self._withdrawn or self._has_spilled)

    @property
    def running(self) -> tuple[Job, ...]:
        """The jobs of the turn that runs now; empty between turns."""
        return self._turn

    @property
    def queued(self) -> int:
        return len(self._mailbox)

    def put(self, job: Job) -> None:
        self.channel_id = job.inbound.channel_id
        if len(self._mailbox) >= self.mailbox:
            self._has_spilled = True
            log.warning("mailbox full: the message waits in the journal", session=self.key, post=job.obligation.trigger)
        else:
            self._mailbox.append(job)
        self._wake.set()

    def stop(self, *, reason: str, drop_queue: bool) -> bool:
        """End the running turn, and withdraw what waits behind it if asked; true if anything was there."""
        found = bool(self._turn)
        if drop_queue:
            found = found or bool(self._mailbox)
            self._withdrawn.extend((job, reason) for job in self._mailbox)
            self._mailbox.clear()
        self._cancel_turn(reason)
        self._wake.set()
        return found

    def withdraw(self, trigger: str, *, reason: str) -> bool:
        """Take one message back; the turn that answers it ends with `reason`."""
        if any(job.obligation.trigger == trigger for job in self._turn):
            self._cancel_turn(reason)
            return True
        for job in self._mailbox:
            if job.obligation.trigger == trigger:
                self._mailbox.remove(job)
                self._withdrawn.append((job, reason))
                self._wake.set()
                return True
        return False

    def replace(self, job: Job, *, reason: str) -> bool:
        """The message of `job` reads differently now: answer the new words, in the draft that may be there already."""
        trigger = job.obligation.trigger
        if any(running.obligation.trigger == trigger for running in self._turn):
            self._mailbox.appendleft(job)
            self._cancel_turn(reason)
            return True
        for index, waiting in enumerate(self._mailbox):
            if waiting.obligation.trigger == trigger:
                self._mailbox[index] = job
                return True
        return False

    def close(self) -> None:
        """Start no further turn; the running one may finish."""
        self._is_open = False
        self._wake.set()

    async def run(self, *, on_idle: Callable[[], object]) -> None:
        while True:
            while self._withdrawn:
                job, reason = self._withdrawn.popleft()
                await self._withdraw_job(job, reason)
            if self._is_open and self._has_spilled and not self._mailbox:
                await self._read_back()
            if not (self._is_open and self._mailbox):
                if not self._is_open or await self._was_idle():
                    on_idle()
                    return
                continue
            count = self._pick(self.key, tuple(self._mailbox))
            await self._answer(tuple(self._mailbox.popleft() for _ in range(count)))

    async def _was_idle(self) -> bool:
        self._wake = trio.Event()
        with trio.move_on_after(self._idle_seconds):
            await self._wake.wait()
        return not (self._mailbox or self._withdrawn or self._has_spilled)

    async def _answer(self, jobs: tuple[Job, ...]) -> None:
        self._turn, self._reason = jobs, ""
        try:
            self._scope = trio.CancelScope()
            await self._run_turn(jobs, self._scope, lambda: self._reason)
        finally:
            self._turn, self._scope = (), None

    def _cancel_turn(self, reason: str) -> None:
        if self._scope is not None:
            self._reason = self._reason or reason
            self._scope.cancel()

    async def _read_back(self) -> None:
        self._has_spilled = False
        known = {job.obligation.id for job in self._mailbox}
        for job in await self._reload(self.key):
            if job.obligation.id not in known:
                self.put(job)
