"""Turns an agent's coroutine into the event stream of one turn, and keeps the promises of the agent port.

An agent writes `async def produce(emit)`, awaits `emit(event)` and raises `AgentError` when it can't go on.
`open_events` runs it as the only child of a nursery, so leaving the block cancels whatever it was waiting for.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio

from oc_trio.core.turn_events import AgentEvent, Failed, Final, TextDelta, Thinking
from oc_trio.errors import AgentError, AgentUnavailable
from oc_trio.wakeup import Wakeup

Emit = Callable[[AgentEvent], Awaitable[None]]
Produce = Callable[[Emit], Awaitable[None]]

# Deltas that are joined while the consumer is busy, and their characters; then the agent waits for it.
_MAX_DELTAS = 256
_MAX_CHARS = 16_384


class EventStream:
    """The consumer's end: events in order, then the error that came instead of a first event, if any.

    At most one event waits here. Adjacent deltas of a kind are joined while they wait, so that a consumer is woken once
    for all the tokens that arrived together; an agent goes on with any other event only when it has been taken.
    """

    def __init__(self) -> None:
        self.error: AgentError | None = None
        self._waiting: AgentEvent | None = None
        self._pieces: list[str] = []  # of the delta that waits
        self._chars = 0
        self._is_closed = False
        self._put, self._taken = Wakeup(), Wakeup()

    def __aiter__(self) -> "EventStream":
        return self

    async def __anext__(self) -> AgentEvent:
        while self._waiting is None:
            if self._is_closed:
                if self.error is not None:
                    raise self.error from self.error.__cause__
                raise StopAsyncIteration
            await self._put.wait()
        event = self._waiting
        if len(self._pieces) > 1:
            event = (
                TextDelta("".join(self._pieces)) if isinstance(event, TextDelta) else Thinking("".join(self._pieces))
            )
        self._waiting = None
        self._taken.set()
        return event

    async def put(self, event: AgentEvent) -> None:
        """For the agent's task only. Waits until there is room; with anything but a delta also until it is taken."""
        if isinstance(event, TextDelta | Thinking):
            if self._joins(event):
                return
            await self._until_taken()
            self._pieces, self._chars = [event.text], len(event.text)
            self._waiting = event
            self._put.set()
            return
        await self._until_taken()
        self._pieces = []
        self._waiting = event
        self._put.set()
        await self._until_taken()

    def close(self) -> None:
        """No more events. Has no checkpoint: at one the consumer could cancel the agent, and its exception be lost."""
        self._is_closed = True
        self._put.set()

    def _joins(self, event: TextDelta | Thinking) -> bool:
        fits = len(self._pieces) < _MAX_DELTAS and self._chars + len(event.text) <= _MAX_CHARS
        if type(event) is not type(self._waiting) or not fits:
            return False
        self._pieces.append(event.text)
        self._chars += len(event.text)
        return True

    async def _until_taken(self) -> None:
        while self._waiting is not None:
            await self._taken.wait()


@asynccontextmanager
async def open_events(produce: Produce) -> AsyncIterator[EventStream]:
    """Yield the events of `produce`; it is cancelled when the block is left.

    An `AgentError` before the first event is raised by the iteration; later it becomes a last `Failed`. A producer that
    ends without `Final` or `Failed` gets a `Failed` too. What the block raises comes out without an exception group.
    """
    stream = EventStream()
    error: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_run, produce, stream)
            yield stream
            # The block may leave early, after an error of its own or a cancelled turn: the agent must not go on then.
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        # The nursery's one child reports its errors in `stream`, so a single member is the block's own error.
        if len(group.exceptions) != 1:
            raise
        error = group.exceptions[0]
    if error is not None:
        raise error


async def _run(produce: Produce, stream: EventStream) -> None:
    last: AgentEvent | None = None

    async def emit(event: AgentEvent) -> None:
        nonlocal last
        if isinstance(last, Final | Failed):
            raise AssertionError("an agent spoke after its last event")
        last = event
        await stream.put(event)

    try:
        try:
            await produce(emit)
        except AgentError as exc:
            # Nobody has seen anything of it yet: the reader may ask another model, as `FallbackAgent` does.
            if last is None:
                stream.error = exc
            elif not isinstance(last, Final | Failed):
                await stream.put(Failed(exc.for_user, str(exc), retryable=isinstance(exc, AgentUnavailable)))
            return
        if not isinstance(last, Final | Failed):
            await stream.put(Failed("The agent stopped without an answer.", "the agent ended without a final event"))
    finally:
        stream.close()
