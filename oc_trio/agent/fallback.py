"""Tries agents in order while they are unavailable or refuse the key: `model.fallbacks`."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from attrs import evolve

from oc_trio.agent.first_event import FirstEventStream, open_with_first_event
from oc_trio.agent.port import Agent, TurnRequest
from oc_trio.classes import frozen
from oc_trio.errors import AgentFailed, AgentUnavailable
from oc_trio.telemetry.log import get_logger

log = get_logger(part="agent")


@frozen
class FallbackAgent:
    """At least one agent; a model chosen in the request applies to the first agent only."""

    agents: tuple[Agent, ...]

    @asynccontextmanager
    async def run(self, request: TurnRequest) -> AsyncIterator[FirstEventStream]:
        async with AsyncExitStack() as stack:
            yield await self._open(stack, request)

    async def _open(self, stack: AsyncExitStack, request: TurnRequest) -> FirstEventStream:
        for at, agent in enumerate(self.agents[:-1]):
            try:
                return await stack.enter_async_context(open_with_first_event(agent, self._request_for(at, request)))
            except (AgentUnavailable, AgentFailed) as exc:
                # Where the request itself is at fault, another model would fail as well; a refused key or a missing
                # model is this one's own problem.
                if isinstance(exc, AgentFailed) and not exc.another_may_do:
                    raise
                request.span.event("fallback", {"error.type": type(exc).__name__})
                log.warning("model unavailable, trying the next", reason=str(exc), left=len(self.agents) - at - 1)
        last = len(self.agents) - 1
        return await stack.enter_async_context(
            open_with_first_event(self.agents[last], self._request_for(last, request))
        )

    def _request_for(self, at: int, request: TurnRequest) -> TurnRequest:
        # The chosen model may not exist at the provider of a fallback.
        return evolve(request, model="") if at and request.model else request
