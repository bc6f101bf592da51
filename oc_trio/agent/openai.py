"""`openai-completions`: an agent over any OpenAI-compatible streaming endpoint.

It owns the requests of a turn. The words are `openai_wire`, the bytes `exchange`, the tool loop `rounds`.
"""

import json
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

import httpx
from attrs import field, frozen

from oc_trio.agent.address import below, secrets_in, shown, with_key
from oc_trio.agent.exchange import Deadlines, Exchange, open_exchange
from oc_trio.agent.failures import BROKEN, Endpoint, from_stream
from oc_trio.agent.openai_wire import Completion, request_body
from oc_trio.agent.port import TurnRequest
from oc_trio.agent.rounds import MAX_ROUNDS, Answer, Round, converse, merged
from oc_trio.agent.sse import ServerSentEvent
from oc_trio.agent.stream import Emit, EventStream, open_events
from oc_trio.agent.unsupported import Unsupported, ask_adapting
from oc_trio.core.turn_events import TextDelta, Thinking
from oc_trio.errors import AgentFailed, AgentUnavailable


@frozen
class OpenAISettings:
    """`base_url` ends before `/chat/completions` (as a rule with `/v1`); a query stays behind the whole path.

    `options` go into every request body.
    """

    base_url: str
    model: str
    api_key: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(factory=dict, repr=False, hash=False)
    options: Mapping[str, Any] = field(factory=dict, hash=False)
    deadlines: Deadlines = Deadlines()
    max_rounds: int = MAX_ROUNDS
    tools: bool = True  # whether the model takes any
    unsupported: Unsupported = field(factory=Unsupported, eq=False, repr=False)


class OpenAIAgent:
    """Serves any number of turns at once over the one client that it is given."""

    def __init__(self, settings: OpenAISettings, http: httpx.AsyncClient) -> None:
        self._settings = settings
        self._http = http
        self._url = below(settings.base_url, "/chat/completions")
        secrets = (settings.api_key, *settings.headers.values(), *secrets_in(settings.base_url))
        self._endpoint = Endpoint(f"{settings.model} at {shown(settings.base_url)}", secrets)

    def run(self, request: TurnRequest) -> AbstractAsyncContextManager[EventStream]:
        async def produce(emit: Emit) -> None:
            await converse(self, request, emit, self._settings.max_rounds)

        return open_events(produce)

    async def ask(self, request: TurnRequest, rounds: tuple[Round, ...], emit: Emit) -> Answer:
        """One request; asked again without the fields (tools among them) that the server refuses by name."""
        settings = self._settings
        model = request.model or settings.model

        def make(tools: bool) -> dict[str, Any]:
            return request_body(request, rounds, model, settings.options, tools=tools and settings.tools)

        return await ask_adapting(settings.unsupported, model, make, partial(self._ask_once, emit=emit))

    async def _ask_once(self, body: Mapping[str, Any], emit: Emit) -> Answer:
        settings = self._settings
        headers = {"Accept": "text/event-stream", **settings.headers}
        if settings.api_key:
            headers = with_key(headers, "Authorization", f"Bearer {settings.api_key}")
        completion = Completion()
        async with open_exchange(self._http, self._endpoint, self._url, body, headers, settings.deadlines) as exchange:
            if exchange.content_type == "application/json":
                await self._read(completion, (ServerSentEvent((await exchange.read_whole()).decode()),), emit)
            else:
                await self._read_stream(completion, exchange, emit)
        for event in completion.end():
            await emit(event)
        return self._checked(completion)

    async def _read_stream(self, completion: Completion, exchange: Exchange, emit: Emit) -> None:
        while (events := await exchange.next_events()) is not None:
            if await self._read(completion, events, emit):
                await exchange.finish()
                return
        if not completion.finish_reason:
            raise AgentUnavailable(f"{self._endpoint.name}: the stream ended without a finish", for_user=BROKEN)

    async def _read(self, completion: Completion, events: tuple[ServerSentEvent, ...], emit: Emit) -> bool:
        """Take in one chunk's events; neighbours of a kind become one. True after `[DONE]`."""
        out: list[TextDelta | Thinking] = []
        done = False
        for event in events:
            if event.data.strip() == "[DONE]":
                done = True
                break
            out += completion.feed(self._parse(event.data))
        for event_out in merged(out):
            await emit(event_out)
        return done

    def _parse(self, data: str) -> Mapping[str, Any]:
        try:
            chunk = json.loads(data)
        except (ValueError, RecursionError) as exc:
            line = self._endpoint.clean(f"{self._endpoint.name}: not JSON: {data}")
            raise AgentFailed(line, for_user=BROKEN) from exc
        if not isinstance(chunk, dict):
            raise AgentFailed(f"{self._endpoint.name}: a chunk that is no object", for_user=BROKEN)
        if error := chunk.get("error"):
            kind, message = (
                ("", error)
                if not isinstance(error, dict)
                else (str(error.get("type") or error.get("code") or ""), error.get("message") or json.dumps(error))
            )
            raise from_stream(self._endpoint, kind, str(message))
        return chunk

    def _checked(self, completion: Completion) -> Answer:
        answer = completion.answer()
        if completion.empty and completion.finish_reason == "length":
            raise AgentFailed(
                f"{self._endpoint.name}: length limit reached before any text",
                for_user="The model used up its length limit before it said anything.",
            )
        if completion.empty and completion.finish_reason == "content_filter":
            raise AgentFailed(
                f"{self._endpoint.name}: content filter", for_user="The provider's content filter blocked the answer."
            )
        return answer
