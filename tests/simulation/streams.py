"""The model's words as its server sends them: read by a real reader, with the pauses that many live answers bring.

What is no text (tool calls, the end) is passed on beside that, behind all text that came before it.
"""

import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial

import h11
import httpx
import trio
import trio.testing
from attrs import define, field, frozen

from oc_trio.agent.openai import OpenAIAgent, OpenAISettings
from oc_trio.agent.port import Message, Role, TurnRequest
from oc_trio.agent.scripted import tokens
from oc_trio.agent.stream import Emit, EventStream, open_events
from oc_trio.core.turn_events import AgentEvent, Final, TextDelta
from oc_trio.ids import AgentId, SessionKey
from oc_trio.network.http1 import ClientConnection
from oc_trio.network.read_pacer import ReadPacer
from oc_trio.network.stream import PacedStream
from tests.simulation.transcript import RunTranscript

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
# Its words are those of the script, whatever it is asked.
_REQUEST = TurnRequest(AgentId("main"), SessionKey("main"), "", (Message(Role.USER, "Go on."),))
_TOKEN_SECONDS = 0.02
_SETTINGS = OpenAISettings("http://model.test/v1", "one")


@define(eq=False)
class ModelServer:
    """Streams the texts of scripted answers to one process. `pacer` is shared by its connections, as in a pool, and
    counts other answers that are live as well; `note` hears how each text was read.
    """

    pacer: ReadPacer
    note: Callable[[str], None]

    @classmethod
    def beside(cls, others: int | None, transcript: RunTranscript) -> "ModelServer | None":
        """For a process that reads so many other answers; None where texts do not travel."""
        return None if others is None else cls(ReadPacer(others), partial(transcript.detail, "model"))

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
        network = PacedStream(ours, self.pacer)
        body = _Body(ClientConnection(network, network))
        sent, following = 0, None

        async def send() -> None:
            nonlocal sent, following
            event: AgentEvent | None = first
            await theirs.receive_some()
            await theirs.send_all(_HEAD)
            while isinstance(event, TextDelta):
                for token in tokens(event.text):
                    sent += 1
                    await theirs.send_all(_chunk({"content": token}))
                    await trio.sleep(_TOKEN_SECONDS)
                event = await anext(events, None)
            following = event
            await theirs.send_all(_chunk({}, "stop") + _framed(b"data: [DONE]\n\n") + _framed(b""))
            await theirs.aclose()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            http = httpx.AsyncClient(transport=_Transport(body), verify=_NO_TLS, trust_env=False)
            async with http, OpenAIAgent(_SETTINGS, http).run(_REQUEST) as answer:
                async for event in answer:
                    if isinstance(event, TextDelta):
                        await emit(event)
                    elif not isinstance(event, Final):
                        raise AssertionError(f"the reader made {event} of an answer")
        self.note(f"sends {sent} tokens, which come in {body.pieces} pieces")
        return following


@define(eq=False)
class _Body(httpx.AsyncByteStream):
    """The body of a response, as those of a pool; `pieces` counts what the reader gets."""

    connection: ClientConnection
    pieces: int = field(init=False, default=0)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (piece := await self.connection.next_piece(None)) is not None:
            self.pieces += 1
            yield piece


@frozen(eq=False)
class _Transport(httpx.AsyncBaseTransport):
    """One exchange over the connection of `body`."""

    body: _Body

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        connection = self.body.connection
        head = h11.Request(method=request.method, target=request.url.raw_path, headers=request.headers.raw)
        await connection.send(head, request.content, None)
        response = await connection.receive_head(None)
        extensions = {"network_stream": connection.network}
        return httpx.Response(response.status_code, stream=self.body, extensions=extensions)


def _chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    value = {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
    return _framed(b"data: " + json.dumps(value).encode() + b"\n\n")


def _framed(data: bytes) -> bytes:
    """A chunk of a body; without data its end."""
    return b"%x\r\n%s\r\n" % (len(data), data)
