"""Retries an unavailable agent with backoff, until its first event."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from random import Random

import trio
from attrs import field

from oc_trio.agent.first_event import FirstEventStream, open_with_first_event
from oc_trio.agent.port import Agent, TurnRequest
from oc_trio.classes import frozen
from oc_trio.core.backoff import exponential
from oc_trio.errors import AgentUnavailable
from oc_trio.retry import RetryState, retrying
from oc_trio.telemetry.log import get_logger

log = get_logger(part="agent")


@frozen
class RetrySettings:
    """`attempts` counts the first one too; waits are in seconds and double from `first_wait` to `longest_wait`.

    Gives up on a `Retry-After` longer than `longest_wait`, so that a fallback or the reader can go on, and after
    `give_up_after` seconds in all: a model that has missed its deadline once is not given the same time thrice.
    """

    attempts: int = 3
    first_wait: float = 1.0
    longest_wait: float = 20.0
    give_up_after: float = 60.0

    def delay(self, attempt: int, rand: float) -> float | None:
        """Seconds to wait after failure number `attempt`, from 0, or None to give up; `rand` adds up to half."""
        if attempt + 1 >= self.attempts:
            return None
        return min(exponential(self.first_wait, self.longest_wait, attempt) * (1 + rand / 2), self.longest_wait)


@frozen
class RetryingAgent:
    """`agent`, asked up to `retry.attempts` times; `random` gives the jitter, `on_pause` is called with each wait."""

    agent: Agent
    retry: RetrySettings = RetrySettings()
    random: Random = field(factory=Random, repr=False, eq=False)
    on_pause: Callable[[float], object] | None = field(default=None, repr=False, eq=False)

    @asynccontextmanager
    async def run(self, request: TurnRequest) -> AsyncIterator[FirstEventStream]:
        async with AsyncExitStack() as stack:
            yield await self._open(stack, request)

    async def _open(self, stack: AsyncExitStack, request: TurnRequest) -> FirstEventStream:
        give_up_at = trio.current_time() + self.retry.give_up_after
        # No pause beyond it: people would sit through it for nothing.
        state = RetryState(AgentUnavailable, self.retry, self.random.random, partial(self._report, request), give_up_at)

        async def open_stream() -> FirstEventStream:
            return await stack.enter_async_context(open_with_first_event(self.agent, request))

        async def give_up(problem: AgentUnavailable) -> None:
            if (problem.retry_after or 0.0) > self.retry.longest_wait:
                raise problem

        return await retrying(open_stream, state, give_up)

    def _report(self, request: TurnRequest, seconds: float, problem: AgentUnavailable) -> None:
        log.warning("model unavailable, asking again", reason=str(problem), wait_s=round(seconds, 2))
        request.span.event("retry", {"oc_trio.wait_s": round(seconds, 2)})
        if self.on_pause is not None:
            self.on_pause(seconds)
