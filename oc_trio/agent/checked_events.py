"""Validates the events of an agent from another package: an invalid one fails the turn like an error of the model."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from oc_trio.agent.port import Agent, TurnRequest
from oc_trio.classes import frozen
from oc_trio.core.event_check import BadEvent, checked
from oc_trio.core.turn_events import AgentEvent
from oc_trio.errors import AgentFailed

NONSENSE = "The agent said something I don't understand. Please tell whoever runs this bot."


@frozen
class CheckedAgent:
    """`name` is the entry point's, for the log."""

    name: str
    agent: Agent

    @asynccontextmanager
    async def run(self, request: TurnRequest) -> AsyncIterator[AsyncIterator[AgentEvent]]:
        """The agent's own stream, checked. Its iteration raises `AgentFailed` at the first event that is none."""
        async with self.agent.run(request) as events:
            yield _CheckedEvents(self.name, events)


class _CheckedEvents:
    def __init__(self, name: str, events: AsyncIterator[AgentEvent]) -> None:
        self._name = name
        self._events = aiter(events)

    def __aiter__(self) -> "_CheckedEvents":
        return self

    async def __anext__(self) -> AgentEvent:
        event = await anext(self._events)
        try:
            return checked(event)
        except BadEvent as problem:
            raise AgentFailed(f"the agent {self._name}: {problem}", for_user=NONSENSE) from problem
