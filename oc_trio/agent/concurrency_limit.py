"""Limits the number of concurrent turns of one endpoint; further turns wait."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from oc_trio.agent.port import Agent, TurnRequest
from oc_trio.classes import frozen
from oc_trio.core.turn_events import AgentEvent


@frozen
class LimitedAgent:
    """An agent behind a CapacityLimiter, which it may share with other agents."""

    agent: Agent
    limiter: trio.CapacityLimiter

    @asynccontextmanager
    async def run(self, request: TurnRequest) -> AsyncIterator[AsyncIterator[AgentEvent]]:
        """The agent's own stream, once the limiter admits it."""
        waiting = request.span.child("wait for the model's endpoint")
        # Held until the stream is left: the whole turn counts, with the calls of tools between its requests.
        async with self.limiter:
            waiting.end()
            async with self.agent.run(request) as events:
                yield events
