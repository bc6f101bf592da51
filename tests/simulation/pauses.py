"""Stops a process as SIGSTOP or a sleeping machine does: none of its tasks takes a step, while time goes on for all.

What happens to its tasks meanwhile (data that comes in, deadlines that pass) they find when they go on.
"""

from typing import Any

import trio
from attrs import define, field

_WAIT: Any = trio._core._traps.WaitTaskRescheduled


@define(eq=False)
class _HeldStep:
    """A step that a task was about to take."""

    task: Any
    send: Any
    value: Any


@define(eq=False)
class Pauses(trio.abc.Instrument):
    """Holds the tasks of paused processes, each known by its first task. Only at work while somebody is paused."""

    _held: dict[trio.lowlevel.Task, list[_HeldStep]] = field(factory=dict)

    def begin(self, process: trio.lowlevel.Task) -> None:
        """From now on no task of that process takes a step. A step that is being taken ends at its next wait."""
        if not self._held:
            trio.lowlevel.add_instrument(self)
        self._held.setdefault(process, [])

    def end(self, process: trio.lowlevel.Task) -> None:
        """Let it go on; does nothing where it is not paused."""
        steps = self._held.pop(process, None)
        if steps is None:
            return
        if not self._held:
            trio.lowlevel.remove_instrument(self)
        for step in steps:
            trio.lowlevel.reschedule(step.task)
            step.task._next_send_fn, step.task._next_send = step.send, step.value

    def before_task_step(self, task: Any) -> None:
        process = self._paused(task)
        if process is not None:
            self._held[process].append(_HeldStep(task, task._next_send_fn, task._next_send))
            task._next_send_fn = _held_back

    def _paused(self, task: trio.lowlevel.Task) -> trio.lowlevel.Task | None:
        """The paused process that a task is of, if any."""
        each: trio.lowlevel.Task | None = task
        while each is not None:
            if each in self._held:
                return each
            each = None if each.parent_nursery is None else each.parent_nursery.parent_task
        return None


def _held_back(_value: object) -> Any:
    """In the place of a task's step: it waits, and no cancellation reaches it before it goes on."""
    return _WAIT(lambda _raise_cancel: trio.lowlevel.Abort.FAILED)
