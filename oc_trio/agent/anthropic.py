"""`anthropic-messages`: an agent over Anthropic's Messages API or a compatible server.

It makes the requests of a turn. `anthropic_wire` builds bodies, `anthropic_reading` reads responses, `http_stream` has
the bytes, `tool_loop` the loop of tool calls.
"""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import httpx
from attrs import field

from oc_trio.agent import shapes
from oc_trio.agent.address import below, printable_url, secrets_in, with_key
from oc_trio.agent.answer_stream import read_answer
from oc_trio.agent.anthropic_reading import MessageReader
from oc_trio.agent.anthropic_wire import request_body
from oc_trio.agent.failures import Endpoint, error_in, from_stream, provider_tag
from oc_trio.agent.http_stream import Deadlines, HttpStream, open_http_stream, read_event
from oc_trio.agent.port import TurnRequest
from oc_trio.agent.sse import ServerSentEvent
from oc_trio.agent.stream import Emit, EventStream, open_events
from oc_trio.agent.tool_loop import MAX_ROUNDS, ModelResponse, ToolRound, call_ids, converse
from oc_trio.agent.traced_request import TracedRequest
from oc_trio.agent.unsupported import Unsupported, ask_adapting
from oc_trio.classes import frozen
from oc_trio.core.json_body import BadJson
from oc_trio.core.model_apis import ModelApi
from oc_trio.errors import AgentFailed

VERSION = "2023-06-01"
DEFAULT_URL = "https://api.anthropic.com"
NEEDED = frozenset({"max_tokens"})  # required in every request


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
    """Runs any number of turns concurrently, over one HTTP client."""

    def __init__(self, settings: AnthropicSettings, http: httpx.AsyncClient) -> None:
        self._settings = settings
        self._http = http
        self._url = messages_url(settings.base_url)
        self._provider = provider_tag(ModelApi.ANTHROPIC.value, self._url)
        secrets = (settings.api_key, *settings.headers.values(), *secrets_in(settings.base_url))
        self._endpoint = Endpoint(f"{settings.model} at {printable_url(settings.base_url)}", secrets)

    def run(self, request: TurnRequest) -> AbstractAsyncContextManager[EventStream]:
        async def produce(emit: Emit) -> None:
            await converse(self, request, emit, self._settings.max_rounds)

        return open_events(produce)

    async def ask(self, request: TurnRequest, rounds: tuple[ToolRound, ...], emit: Emit) -> ModelResponse:
        """One request; repeated without the fields (tools among them) that the server refuses by name."""
        settings = self._settings
        model = request.model or settings.model
        taken = call_ids(request, rounds)

        def make(tools: bool) -> dict[str, Any]:
            offered = tools and settings.tools
            return request_body(request, rounds, model, settings.options, self._provider, tools=offered)

        async def ask_once(body: Mapping[str, Any], emit: Emit) -> ModelResponse:
            traced = TracedRequest(request.span, "anthropic", model, self._url, emit)
            return await traced.run(partial(self._ask_once, body, MessageReader(self._provider, taken)))

        return await ask_adapting(settings.unsupported, model, make, ask_once, emit, NEEDED)

    async def _ask_once(
        self, body: Mapping[str, Any], reading: MessageReader, emit: Emit, trace: Mapping[str, str]
    ) -> ModelResponse:
        settings = self._settings
        headers = {"Accept": "text/event-stream", "anthropic-version": VERSION, **trace, **settings.headers}
        if settings.api_key:
            headers = with_key(headers, "x-api-key", settings.api_key)
        async with open_http_stream(self._http, self._endpoint, self._url, body, headers, settings.deadlines) as stream:
            await read_answer(reading, stream, self._endpoint, self._parse, emit, lambda _: reading.stopped)
        for event in reading.end():
            await emit(event)
        if reading.empty and reading.finish_reason == "refusal":
            raise AgentFailed(f"{self._endpoint.name}: refusal", for_user="The model refused to answer this.")
        if reading.empty and reading.finish_reason == "max_tokens":
            raise AgentFailed(
                f"{self._endpoint.name}: max_tokens reached before any text",
                for_user="The model used up its length limit before it said anything.",
            )
        return reading.answer()

    async def _parse(self, stream: HttpStream, event: ServerSentEvent) -> Mapping[str, Any]:
        """The JSON value of an event. Raises AgentError where it is an error, in any of the forms that servers use."""
        try:
            data = await read_event(event.data)
        except BadJson as exc:
            if event.event == "error":
                raise from_stream(self._endpoint, "", event.data) from exc
            raise stream.unreadable(event.data) from exc
        if error := error_in(data) or (("", event.data) if event.event == "error" else None):
            raise from_stream(self._endpoint, *error)
        data = shapes.mapping(data)
        # Some compatible servers name the type only in the event's header line.
        if event.event and "type" not in data:
            return {**data, "type": event.event}
        return data
