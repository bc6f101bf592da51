"""Reports how each request to a model ended, for the status: its error, or that it answered."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from attrs import field

from oc_trio.agent.port import Agent, TurnRequest
from oc_trio.classes import frozen
from oc_trio.core.turn_events import AgentEvent, Failed, Final
from oc_trio.errors import AgentError


@frozen
class ObservedAgent:
    """`report` is called with the error's text for operators, empty for an answer."""

    agent: Agent
    report: Callable[[str], object] = field(repr=False, eq=False)

    @asynccontextmanager
    async def run(self, request: TurnRequest) -> AsyncIterator[AsyncIterator[AgentEvent]]:
        """The agent's own stream; what it ends with is reported."""
        async with AsyncExitStack() as stack:
            try:
                events = await stack.enter_async_context(self.agent.run(request))
            except AgentError as problem:
                self.report(str(problem))
                raise
            yield _ObservedEvents(events, self.report)


class _ObservedEvents:
    def __init__(self, events: AsyncIterator[AgentEvent], report: Callable[[str], object]) -> None:
        self._events = aiter(events)
        self._report = report

    def __aiter__(self) -> "_ObservedEvents":
        return self

    async def __anext__(self) -> AgentEvent:
        try:
            event = await anext(self._events)
        except AgentError as problem:
            self._report(str(problem))
            raise
        if isinstance(event, Failed | Final):
            self._report(event.for_operator if isinstance(event, Failed) else "")
        return event
