"""Reads the streamed events of one response to the end; shared by the chat APIs.

`parse` and `feed` of each API know what an event means; `http_stream` has the bytes.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from oc_trio.agent.failures import Endpoint
from oc_trio.agent.http_stream import HttpStream
from oc_trio.agent.sse import ServerSentEvent
from oc_trio.agent.stream import Emit
from oc_trio.agent.tool_loop import NO_ANSWER
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


async def _feed(
    reader: AnswerReader, stream: HttpStream, events: tuple[ServerSentEvent, ...], parse: Parse, emit: Emit
) -> bool:
    """Feed one piece's events; adjacent deltas of a kind are merged. True after `[DONE]`."""
    out: list[TextDelta | Thinking] = []
    problem: AgentError | None = None
    done = False
    for event in events:
        if event.data.strip() == "[DONE]":
            done = True
            break
        if not event.data.strip() and event.event != "error":
            continue  # a keep-alive
        try:
            out += reader.feed(await parse(stream, event))
        except AgentError as exc:
            problem = exc  # the events before it are emitted first
            break
    for event_out in merged(out):
        await emit(event_out)
    if problem is not None:
        raise problem from problem.__cause__
    return done


def merged(events: list[TextDelta | Thinking]) -> list[TextDelta | Thinking]:
    """Merge adjacent deltas: one network chunk often has several tokens, and one event is enough for them."""
    out: list[TextDelta | Thinking] = []
    for event in events:
        if out and isinstance(event, TextDelta) and isinstance(out[-1], TextDelta):
            out[-1] = TextDelta(out[-1].text + event.text)
        elif out and isinstance(event, Thinking) and isinstance(out[-1], Thinking):
            out[-1] = Thinking(out[-1].text + event.text)
        else:
            out.append(event)
    return out
