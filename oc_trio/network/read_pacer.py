"""When the connections read that models stream answers over, with many of them.

A model's tokens come every few milliseconds and are shown about once a second; waking for each of them would cost more
CPU than all else that a turn does. So each connection pauses between two reads, and what is due at one moment goes on
together: one of the tasks that wait does the reads of all, and wakes another only when it has what it waits for.
"""

import itertools
import math
from collections import deque

import trio
from attrs import field

from oc_trio.classes import define

# Up to so many streams are read as their bytes come.
_FEW = 4
# Reads per second of all streams together, and the longest pause of one: what people would hardly notice at the end of
# an answer. With a thousand streams shorter ones take so much of the CPU that final texts come later, not earlier.
_MOST_READS = 400.0
_LONGEST_PAUSE = 0.4
# Those reads that one task does for all cost so little that they may be more frequent: with a thousand streams final
# texts come a quarter sooner than with the pause above, for a twentieth more CPU.
_LONGEST_PAUSE_OF_ALL = 0.25
# Where there would be more pieces than that, several reads make one, unless the answer ends with it: drafts share ten
# edits a second, so that with so many streams each is edited every 16 seconds or less often.
_LONGEST_GATHERING = 2.0
# Seconds between the moments at which paced reads go on.
TICK = 0.02
# Streams that go on in one pass of Trio's loop, and those that are looked at: some three milliseconds of work.
_WOKEN_AT_ONCE = 8
_READ_AT_ONCE = 32


@define(eq=False)
class PacedWait:
    """What a task waits for in a pacer; `task` is that task while it sleeps there."""

    is_over: bool = field(init=False, default=False)
    task: trio.lowlevel.Task | None = field(init=False, default=None)

    def go_on(self, now: float) -> float | None:
        """Called once it is due, by whichever task leads: when it is due again, or None when it is over."""
        return None

    async def sleep(self) -> None:
        """Until it is woken. Where it is cancelled it is over at once, and not called any more."""

        def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
            self.task, self.is_over = None, True
            return trio.lowlevel.Abort.SUCCEEDED

        self.task = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(abort)

    def wake(self) -> None:
        """It runs in any case then: it can only be cancelled later."""
        if self.task is not None:
            trio.lowlevel.reschedule(self.task)
            self.task = None


@define(eq=False)
class ReadPacer:
    """Shared by all connections of a pool; `live` counts the streams that are paced."""

    live: int = 0
    # By the moment at which they are due, and those whose moment has come, in order.
    _waits: dict[float, list[PacedWait]] = field(init=False, factory=dict)
    _due: deque[PacedWait] = field(init=False, factory=deque)
    # One of those that wait leads: it alone has a deadline, which it sleeps in. `_next` has been woken to lead.
    _is_led: bool = field(init=False, default=False)
    _next: PacedWait | None = field(init=False, default=None)
    _sleep: trio.CancelScope | None = field(init=False, default=None)

    @property
    def pause(self) -> float:
        """Seconds between two reads of one stream: none while few are live, growing with their number."""
        return 0.0 if self.live <= _FEW else min(_LONGEST_PAUSE, self.live / _MOST_READS)

    @property
    def gathering(self) -> float:
        """Seconds of a stream that may be read as one piece: none where one read is enough."""
        seconds = min(_LONGEST_GATHERING, self.live / _MOST_READS)
        return seconds if seconds > _LONGEST_PAUSE else 0.0

    @property
    def pause_of_all(self) -> float:
        """As `pause`, where one task reads for all."""
        return min(_LONGEST_PAUSE_OF_ALL, self.pause)

    async def sleep_until(self, due: float) -> None:
        """Until `due` on Trio's clock, and until those that are due earlier have gone on."""
        if trio.current_time() < _moment(due):
            await self.wait(PacedWait(), due)

    async def wait(self, wait: PacedWait, due: float) -> None:
        """Until `wait` is over; it goes on at `due` and whenever it says.

        A deadline that passes costs Trio several times a task that another wakes: a third of all CPU, with a thousand
        streams. And whatever else goes on waits for all that run in the same pass of Trio's loop, the websocket for
        each of its events: so only a few are woken in one. Who is due goes in order, also while all are too many.
        """
        wait.is_over = False
        self._add(wait, due)
        try:
            while not wait.is_over:
                if self._is_led or self._next not in (None, wait):
                    await wait.sleep()
                    continue
                self._is_led, self._next = True, None
                try:
                    await self._lead(wait)
                finally:
                    self._is_led = False
        finally:
            wait.is_over = True
            if not self._is_led and self._next is None and (other := self._sleeping()):
                self._next = other
                other.wake()

    async def _lead(self, own: PacedWait) -> None:
        """Call all that are due, until `own` is over."""
        while True:
            called = woken = 0
            while self._due:
                wait = self._due.popleft()
                if wait.is_over:
                    continue
                if (due := wait.go_on(trio.current_time())) is not None:
                    self._add(wait, due)
                else:
                    wait.is_over = True
                    wait.wake()
                    woken += 1
                called += 1
                if called >= _READ_AT_ONCE or woken >= _WOKEN_AT_ONCE:
                    # Without a checkpoint: what it has read would be lost where it is cancelled.
                    if own.is_over:
                        return
                    called = woken = 0
                    await trio.lowlevel.checkpoint()
            if own.is_over:
                return
            try:
                with trio.CancelScope(deadline=min(self._waits)) as self._sleep:
                    await trio.sleep_forever()
            finally:
                self._sleep = None
            now = trio.current_time()
            for at in sorted(at for at in self._waits if at <= now):
                self._due.extend(self._waits.pop(at))

    def _add(self, wait: PacedWait, due: float) -> None:
        at = _moment(due)
        self._waits.setdefault(at, []).append(wait)
        if self._sleep is not None and at < self._sleep.deadline:
            self._sleep.deadline = at

    def _sleeping(self) -> PacedWait | None:
        """One that can be woken."""
        waits = itertools.chain(self._due, *self._waits.values())
        return next((wait for wait in waits if wait.task is not None), None)


def _moment(due: float) -> float:
    return math.ceil(due / TICK) * TICK
