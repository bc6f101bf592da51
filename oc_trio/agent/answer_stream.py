"""Reads the streamed events of one response to the end; shared by the chat APIs.

`parse` and `feed` of each API know what an event means; `http_stream` has the bytes.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from attrs import field

from oc_trio.agent.failures import Endpoint
from oc_trio.agent.http_stream import Events, HttpStream
from oc_trio.agent.sse import EventLines, ServerSentEvent
from oc_trio.agent.stream import Emit
from oc_trio.agent.tool_loop import NO_ANSWER
from oc_trio.classes import define
from oc_trio.core.turn_events import TextDelta, Thinking
from oc_trio.errors import AgentError, AgentUnavailable


class AnswerReader(Protocol):
    """Turns chunks into events. `finish_reason` says why the model stopped, "" before; `empty`: no text and no call;
    `is_thinking`: within a thought that becomes the answer if nothing else comes.
    """

    finish_reason: str

    @property
    def empty(self) -> bool: ...

    @property
    def is_thinking(self) -> bool: ...

    def feed_plain(self, event: ServerSentEvent, /) -> tuple[TextDelta | Thinking, ...] | None:
        """Read an event that holds a piece of text and nothing else; None where it may be anything else."""
        ...

    def feed_lines(self, events: EventLines, /) -> tuple[tuple[TextDelta | Thinking, ...], int]:
        """Read the first of some events, as many as hold a piece of text and nothing else; how many comes back too."""
        ...

    def feed(self, chunk: Mapping[str, Any], /) -> tuple[TextDelta | Thinking, ...]: ...


Parse = Callable[[HttpStream, ServerSentEvent], Awaitable[Mapping[str, Any]]]


async def read_answer(
    reader: AnswerReader,
    stream: HttpStream,
    endpoint: Endpoint,
    parse: Parse,
    emit: Emit,
    is_over: Callable[[bool], bool],
) -> None:
    """Feed the reader until the response is complete or the body ends, and emit its events.

    `is_over` is called after each piece of the body, with whether `[DONE]` was in it. Raises `AgentError` for a body
    that breaks off, for one that ends before it began, and what `parse` and `feed` raise.
    """
    try:
        while (events := await stream.next_events()) is not None:
            # Read on to the end of the body: a connection with an unread rest can't be used again.
            if is_over(await _feed(reader, stream, events, parse, emit)):
                await stream.finish()
                return
    except AgentUnavailable:
        # The model has finished: only the end of the body is missing, not of the response.
        if not reader.finish_reason or reader.empty:
            raise
        return
    if not reader.finish_reason and reader.empty and not reader.is_thinking:
        raise AgentUnavailable(f"{endpoint.name}: the stream ended before it began", for_user=NO_ANSWER)


@define
class _Deltas:
    """Emits deltas, adjacent texts as one."""

    stream: HttpStream
    emit: Emit
    _texts: list[str] = field(init=False, factory=list)

    async def take(self, deltas: tuple[TextDelta | Thinking, ...]) -> None:
        for delta in deltas:
            if isinstance(delta, TextDelta):
                self._texts.append(delta.text)
            else:
                await self.flush()
                await self.emit(delta)

    async def flush(self) -> None:
        """Emit the texts that have been taken."""
        if self._texts:
            delta = TextDelta("".join(self._texts))
            self._texts.clear()
            await self.emit(delta)
            self.stream.pace()


async def _feed(reader: AnswerReader, stream: HttpStream, events: Events, parse: Parse, emit: Emit) -> bool:
    """Feed one piece's events and emit what they hold. True after `[DONE]`."""
    deltas = _Deltas(stream, emit)
    problem: AgentError | None = None
    try:
        for found in events:
            together, left = _feed_together(reader, found)
            await deltas.take(together)
            for event in left:
                if (plain := reader.feed_plain(event)) is not None:
                    await deltas.take(plain)
                elif (data := event.data.strip()) == "[DONE]":
                    await deltas.flush()
                    return True
                elif data or event.event == "error":  # else it is a keep-alive
                    await deltas.take(reader.feed(await parse(stream, event)))
    except AgentError as exc:
        problem = exc
    # What came before a problem is shown.
    await deltas.flush()
    if problem is not None:
        raise problem
    return False


def _feed_together(
    reader: AnswerReader, found: ServerSentEvent | EventLines
) -> tuple[tuple[TextDelta | Thinking, ...], tuple[ServerSentEvent, ...]]:
    """What those events hold that can be fed together, and the events that are left."""
    if isinstance(found, ServerSentEvent):
        return (), (found,)
    deltas, count = reader.feed_lines(found)
    return deltas, found.events(count)
