"""One request to a model as a span of its turn: model, tokens, the time of the first token, and how it ended."""

from collections.abc import Awaitable, Callable, Mapping

from oc_trio.agent.stream import Emit
from oc_trio.agent.tool_loop import ModelResponse
from oc_trio.classes import frozen
from oc_trio.core.turn_events import AgentEvent, TextDelta, Thinking
from oc_trio.telemetry.tracing import Span


@frozen
class TracedRequest:
    """A request to `model` at `url`, whose events go to `emit`. `api` is a name of OpenTelemetry's conventions."""

    turn: Span
    api: str
    model: str
    url: str
    emit: Emit

    async def run(self, ask: Callable[[Emit, Mapping[str, str]], Awaitable[ModelResponse]]) -> ModelResponse:
        """What `ask` returns; it is given an `emit`, and headers that name the span to the server."""
        has_begun = False

        async def emit(event: AgentEvent) -> None:
            nonlocal has_begun
            if not has_begun and isinstance(event, TextDelta | Thinking):
                has_begun = True
                span.event("first token")
            await self.emit(event)

        with self.turn.model_request(self.api, self.model, self.url) as span:
            response = await ask(emit, span.headers)
            usage = response.usage
            span.set(
                {
                    "gen_ai.response.model": usage.model or self.model,
                    "gen_ai.usage.input_tokens": usage.input_tokens,
                    "gen_ai.usage.output_tokens": usage.output_tokens,
                    "oc_trio.tool_calls": len(response.calls),
                }
            )
            return response
