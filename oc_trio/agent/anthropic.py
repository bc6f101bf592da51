"""`anthropic-messages`: an agent over Anthropic's Messages API or a server that speaks it.

It owns the requests of a turn. The words are `anthropic_wire`, the bytes `exchange`, the tool loop `rounds`.
"""

import json
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import httpx
from attrs import field, frozen

from oc_trio.agent.address import below, secrets_in, shown, with_key
from oc_trio.agent.anthropic_wire import Reading, request_body
from oc_trio.agent.exchange import Deadlines, Exchange, open_exchange
from oc_trio.agent.failures import BROKEN, Endpoint, from_stream
from oc_trio.agent.port import TurnRequest
from oc_trio.agent.rounds import MAX_ROUNDS, Answer, Round, converse, merged
from oc_trio.agent.sse import ServerSentEvent
from oc_trio.agent.stream import Emit, EventStream, open_events
from oc_trio.agent.unsupported import Unsupported, ask_adapting
from oc_trio.core.turn_events import TextDelta, Thinking
from oc_trio.errors import AgentFailed, AgentUnavailable

VERSION = "2023-06-01"
DEFAULT_URL = "https://api.anthropic.com"


@frozen
class AnthropicSettings:
    """`base_url` may end with or without `/v1`; `options` go into every request body (`max_tokens`, for one)."""

    model: str
    api_key: str = field(default="", repr=False)
    base_url: str = DEFAULT_URL
    headers: Mapping[str, str] = field(factory=dict, repr=False, hash=False)
    options: Mapping[str, Any] = field(factory=dict, hash=False)
    deadlines: Deadlines = Deadlines()
    max_rounds: int = MAX_ROUNDS
    tools: bool = True  # whether the model takes any
    unsupported: Unsupported = field(factory=Unsupported, eq=False, repr=False)


def messages_url(base_url: str) -> str:
    """Where messages are posted; `base_url` may end with or without `/v1`."""
    has_version = urlsplit(base_url.strip()).path.rstrip("/").endswith(("/v1", "/v1/messages"))
    return below(base_url, "/messages" if has_version else "/v1/messages")


class AnthropicAgent:
    """Serves any number of turns at once over the one client that it is given."""

    def __init__(self, settings: AnthropicSettings, http: httpx.AsyncClient) -> None:
        self._settings = settings
        self._http = http
        self._url = messages_url(settings.base_url)
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
        headers = {"Accept": "text/event-stream", "anthropic-version": VERSION, **settings.headers}
        if settings.api_key:
            headers = with_key(headers, "x-api-key", settings.api_key)
        reading = Reading()
        async with open_exchange(self._http, self._endpoint, self._url, body, headers, settings.deadlines) as exchange:
            await self._read_stream(reading, exchange, emit)
        if reading.empty and reading.stop_reason == "refusal":
            raise AgentFailed(f"{self._endpoint.name}: refusal", for_user="The model refused to answer this.")
        if reading.empty and reading.stop_reason == "max_tokens":
            raise AgentFailed(
                f"{self._endpoint.name}: max_tokens reached before any text",
                for_user="The model used up its length limit before it said anything.",
            )
        return reading.answer()

    async def _read_stream(self, reading: Reading, exchange: Exchange, emit: Emit) -> None:
        while (events := await exchange.next_events()) is not None:
            out: list[TextDelta | Thinking] = []
            for event in events:
                out += reading.feed(self._parse(event))
            for event_out in merged(out):
                await emit(event_out)
            if reading.stopped:
                await exchange.finish()
                return
        raise AgentUnavailable(f"{self._endpoint.name}: the stream ended without message_stop", for_user=BROKEN)

    def _parse(self, event: ServerSentEvent) -> Mapping[str, Any]:
        try:
            data = json.loads(event.data)
        except (ValueError, RecursionError) as exc:
            line = self._endpoint.clean(f"{self._endpoint.name}: not JSON: {event.data}")
            raise AgentFailed(line, for_user=BROKEN) from exc
        if not isinstance(data, dict):
            raise AgentFailed(f"{self._endpoint.name}: an event that is no object", for_user=BROKEN)
        if data.get("type") == "error":
            error = data.get("error") or {}
            raise from_stream(self._endpoint, str(error.get("type") or ""), str(error.get("message") or ""))
        return data
