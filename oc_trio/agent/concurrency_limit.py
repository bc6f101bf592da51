"""At most so many turns of one endpoint at the same time; the others wait for their place."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from attrs import frozen

from oc_trio.agent.port import Agent, TurnRequest
from oc_trio.core.turn_events import AgentEvent


@frozen
class LimitedAgent:
    """An agent behind a limiter that it may share with others."""

    agent: Agent
    limiter: trio.CapacityLimiter

    @asynccontextmanager
    async def run(self, request: TurnRequest) -> AsyncIterator[AsyncIterator[AgentEvent]]:
        """The agent's own stream, once there is room."""
        async with self.limiter, self.agent.run(request) as events:
            yield events
