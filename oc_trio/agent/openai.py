"""`openai-completions`: an agent over any OpenAI-compatible streaming endpoint.

It makes the requests of a turn. `openai_wire` builds bodies, `openai_reading` reads responses, `http_stream` has the
bytes, `tool_loop` the loop of tool calls.
"""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

import httpx
from attrs import field

from oc_trio.agent import shapes
from oc_trio.agent.address import below, printable_url, secrets_in, with_key
from oc_trio.agent.answer_stream import read_answer
from oc_trio.agent.failures import Endpoint, error_in, from_stream, provider_tag
from oc_trio.agent.http_stream import Deadlines, HttpStream, open_http_stream, read_event
from oc_trio.agent.openai_reading import CompletionReader, is_failure
from oc_trio.agent.openai_wire import request_body
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
    """Runs any number of turns concurrently, over one HTTP client."""

    def __init__(self, settings: OpenAISettings, http: httpx.AsyncClient) -> None:
        self._settings = settings
        self._http = http
        self._url = below(settings.base_url, "/chat/completions")
        self._provider = provider_tag(ModelApi.OPENAI.value, self._url)
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
        names, taken = [spec.name for spec in request.tools.specs], call_ids(request, rounds)

        def make(tools: bool) -> dict[str, Any]:
            offered = tools and settings.tools
            return request_body(request, rounds, model, settings.options, self._provider, tools=offered)

        async def ask_once(body: Mapping[str, Any], emit: Emit) -> ModelResponse:
            traced = TracedRequest(request.span, "openai", model, self._url, emit)
            return await traced.run(partial(self._ask_once, body, CompletionReader(self._provider, names, taken)))

        return await ask_adapting(settings.unsupported, model, make, ask_once, emit)

    async def _ask_once(
        self, body: Mapping[str, Any], completion: CompletionReader, emit: Emit, trace: Mapping[str, str]
    ) -> ModelResponse:
        settings = self._settings
        headers = {"Accept": "text/event-stream", **trace, **settings.headers}
        if settings.api_key:
            headers = with_key(headers, "Authorization", f"Bearer {settings.api_key}")
        async with open_http_stream(self._http, self._endpoint, self._url, body, headers, settings.deadlines) as stream:
            await read_answer(completion, stream, self._endpoint, self._parse, emit, lambda saw_done: saw_done)
        for event in completion.end():
            await emit(event)
        return self._checked(completion)

    async def _parse(self, stream: HttpStream, event: ServerSentEvent) -> Mapping[str, Any]:
        """The chunk in an event. Raises AgentError where it is an error, in any of the forms that servers use."""
        try:
            chunk = await read_event(event.data)
        except BadJson as exc:
            if event.event == "error":
                raise from_stream(self._endpoint, "", event.data) from exc
            raise stream.unreadable(event.data) from exc
        error = error_in(chunk) or (("", event.data) if event.event == "error" else None)
        for choice in shapes.items(chunk.get("choices")) if isinstance(chunk, dict) and not error else ():
            choice = shapes.mapping(choice)
            # OpenRouter reports an upstream failure in a second finish reason.
            reasons = [choice.get(key) for key in ("finish_reason", "native_finish_reason")]
            failure = next(filter(is_failure, reasons), None)
            if choice.get("error") or failure:
                error = error_in({"error": choice.get("error") or f"finish_reason: {failure}"})
        if error:
            raise from_stream(self._endpoint, *error)
        return shapes.mapping(chunk)

    def _checked(self, completion: CompletionReader) -> ModelResponse:
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
