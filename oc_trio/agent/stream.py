"""Turns an agent's coroutine into the event stream of one turn, and keeps the promises of the agent port.

An agent writes `async def produce(emit)`, awaits `emit(event)` and raises `AgentError` when it can't go on.
`open_events` runs it as the only child of a nursery, so leaving the block cancels whatever it was waiting for.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio

from oc_trio.core.turn_events import AgentEvent, Failed, Final
from oc_trio.errors import AgentError, AgentUnavailable

Emit = Callable[[AgentEvent], Awaitable[None]]
Produce = Callable[[Emit], Awaitable[None]]


class EventStream:
    """The consumer's end: events in order, then the error that came instead of a first event, if any."""

    def __init__(self, recv: trio.MemoryReceiveChannel[AgentEvent]) -> None:
        self._recv = recv
        self.error: AgentError | None = None

    def __aiter__(self) -> "EventStream":
        return self

    async def __anext__(self) -> AgentEvent:
        try:
            return await self._recv.receive()
        except trio.EndOfChannel:
            if self.error is not None:
                raise self.error from self.error.__cause__
            raise StopAsyncIteration from None


@asynccontextmanager
async def open_events(produce: Produce) -> AsyncIterator[EventStream]:
    """Yield the events of `produce`; it is cancelled when the block is left.

    An `AgentError` before the first event is raised by the iteration; later it becomes a last `Failed`. A producer that
    ends without `Final` or `Failed` gets a `Failed` too. What the block raises comes out without an exception group.
    """
    # Unbuffered: an agent goes on only when its event has been taken (back-pressure).
    events_send, events_recv = trio.open_memory_channel[AgentEvent](0)
    stream = EventStream(events_recv)
    error: BaseException | None = None
    try:
        with events_recv:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_run, produce, events_send, stream)
                yield stream
                nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        # The nursery's one child reports its errors in `stream`, so a single member is the block's own error.
        if len(group.exceptions) != 1:
            raise
        error = group.exceptions[0]
    if error is not None:
        raise error


async def _run(produce: Produce, events_send: trio.MemorySendChannel[AgentEvent], stream: EventStream) -> None:
    last: AgentEvent | None = None

    async def emit(event: AgentEvent) -> None:
        nonlocal last
        if isinstance(last, Final | Failed):
            raise AssertionError("an agent spoke after its last event")
        last = event
        await events_send.send(event)

    # Closed without a checkpoint: at one the reader could cancel this task, and an exception of the agent be lost.
    with events_send:
        try:
            await produce(emit)
        except AgentError as exc:
            if last is None:
                stream.error = exc
            elif not isinstance(last, Final | Failed):
                await events_send.send(Failed(exc.for_user, str(exc), retryable=isinstance(exc, AgentUnavailable)))
            return
        if not isinstance(last, Final | Failed):
            await events_send.send(
                Failed("The agent stopped without an answer.", "the agent ended without a final event")
            )
