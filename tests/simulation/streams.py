"""The model's words as its server sends them: read by a real reader, with the pauses that many live answers bring.

What is no text (tool calls, the end) is passed on beside that, behind all text that came before it.
"""

import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import httpx
import trio
import trio.testing
from attrs import define, field

from oc_trio.agent.openai import OpenAIAgent, OpenAISettings
from oc_trio.agent.port import Message, Role, TurnRequest
from oc_trio.agent.scripted import tokens
from oc_trio.agent.stream import Emit, EventStream, open_events
from oc_trio.core.turn_events import AgentEvent, Final, TextDelta
from oc_trio.ids import AgentId, SessionKey
from oc_trio.network.stream import PacedStream, ReadPacer

_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
# Its words are those of the script, whatever it is asked.
_REQUEST = TurnRequest(AgentId("main"), SessionKey("main"), "", (Message(Role.USER, "Go on."),))
_TOKEN_SECONDS = 0.02
_SETTINGS = OpenAISettings("http://model.test/v1", "one")


@define(eq=False)
class ModelServer:
    """Streams the texts of scripted answers. `pacer` is shared by them all, as in a pool, and counts other answers that
    are live as well; `note` hears how each text was read.
    """

    pacer: ReadPacer
    note: Callable[[str], None]

    def streamed(
        self, scripted: AbstractAsyncContextManager[AsyncIterator[AgentEvent]]
    ) -> AbstractAsyncContextManager[EventStream]:
        """The events of `scripted`, whose texts travel."""

        async def produce(emit: Emit) -> None:
            async with scripted as events:
                event = await anext(events, None)
                while event is not None:
                    if isinstance(event, TextDelta):
                        event = await self._read(event, events, emit)
                    else:
                        await emit(event)
                        event = await anext(events, None)

        return open_events(produce)

    async def _read(self, first: TextDelta, events: AsyncIterator[AgentEvent], emit: Emit) -> AgentEvent | None:
        """Have `first` and the texts behind it read; returns the event after them."""
        ours, theirs = trio.testing.memory_stream_pair()
        body = _Body(PacedStream(ours, self.pacer))
        response = httpx.Response(200, stream=body, extensions={"network_stream": body.stream})
        sent, following = 0, None

        async def send() -> None:
            nonlocal sent, following
            event: AgentEvent | None = first
            while isinstance(event, TextDelta):
                for token in tokens(event.text):
                    sent += 1
                    await theirs.send_all(_chunk({"content": token}))
                    await trio.sleep(_TOKEN_SECONDS)
                event = await anext(events, None)
            following = event
            await theirs.send_all(_chunk({}, "stop") + b"data: [DONE]\n\n")
            await theirs.aclose()

        transport = httpx.MockTransport(lambda _request: response)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            http = httpx.AsyncClient(transport=transport, verify=_NO_TLS, trust_env=False)
            async with http, OpenAIAgent(_SETTINGS, http).run(_REQUEST) as answer:
                async for event in answer:
                    if isinstance(event, TextDelta):
                        await emit(event)
                    elif not isinstance(event, Final):
                        raise AssertionError(f"the reader made {event} of an answer")
        self.note(f"sends {sent} tokens, which come in {body.reads} reads")
        return following


@define(eq=False)
class _Body(httpx.AsyncByteStream):
    stream: PacedStream
    reads: int = field(init=False, default=0)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while data := await self.stream.receive_some(65536):
            self.reads += 1
            yield bytes(data)


def _chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    value = {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
    return b"data: " + json.dumps(value).encode() + b"\n\n"
