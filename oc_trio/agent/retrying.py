"""Retries an unavailable agent with backoff, until its first event."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random

import trio
from attrs import field, frozen

from oc_trio.agent.first_event import FirstEventStream, open_with_first_event
from oc_trio.agent.port import Agent, TurnRequest
from oc_trio.core.backoff import exponential
from oc_trio.errors import AgentUnavailable
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

    def wait(self, failures: int, retry_after: float | None, jitter: float) -> float | None:
        """Seconds to wait after that many failures, or None to give up; `jitter` is in [0, 1) and adds up to half."""
        if failures >= self.attempts or (retry_after or 0.0) > self.longest_wait:
            return None
        wait = exponential(self.first_wait, self.longest_wait, failures - 1)
        return min(max(wait * (1 + jitter / 2), retry_after or 0.0), self.longest_wait)


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
        failures = 0
        give_up_at = trio.current_time() + self.retry.give_up_after
        while True:
            try:
                return await stack.enter_async_context(open_with_first_event(self.agent, request))
            except AgentUnavailable as exc:
                failures += 1
                wait = self.retry.wait(failures, exc.retry_after, self.random.random())
                # Checked before the wait: people would sit through it for nothing.
                if wait is None or trio.current_time() + wait > give_up_at:
                    raise
                log.warning("model unavailable, asking again", reason=str(exc), wait_s=round(wait, 2))
                if self.on_pause is not None:
                    self.on_pause(wait)
            await trio.sleep(wait)
