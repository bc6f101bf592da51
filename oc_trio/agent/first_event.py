"""Opens an agent's stream and waits for its first event; after that event nothing is retried.

`retrying` and `fallback` are both built on it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from oc_trio.agent.port import Agent, TurnRequest
from oc_trio.core.turn_events import AgentEvent


class FirstEventStream:
    """A stream whose first event was read ahead."""

    def __init__(self, first: AgentEvent | None, rest: AsyncIterator[AgentEvent]) -> None:
        self._first = first
        self._rest = rest

    def __aiter__(self) -> "FirstEventStream":
        return self

    async def __anext__(self) -> AgentEvent:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        return await anext(self._rest)


@asynccontextmanager
async def open_with_first_event(agent: Agent, request: TurnRequest) -> AsyncIterator[FirstEventStream]:
    """Yield the agent's stream once its first event is there. Raises `AgentError` where the agent has none."""
    # People may have seen a first event already: another try could then contradict it, or call a tool twice.
    async with agent.run(request) as events:
        yield FirstEventStream(await anext(events, None), events)
