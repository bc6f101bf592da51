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
from oc_trio.errors import AgentUnavailable


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


async def _feed(
    reader: AnswerReader, stream: HttpStream, events: tuple[ServerSentEvent, ...], parse: Parse, emit: Emit
) -> bool:
    """Feed one piece's events and emit what they hold. True after `[DONE]`."""
    for event in events:
        if event.data.strip() == "[DONE]":
            return True
        if not event.data.strip() and event.event != "error":
            continue  # a keep-alive
        for delta in reader.feed(await parse(stream, event)):
            await emit(delta)
            if isinstance(delta, TextDelta):
                stream.pace()
    return False
