"""The one retry loop: repeats a call while what it asks is unavailable, with growing pauses.

How long the pauses are is the policy's (`core.backoff`); what the server asked for with Retry-After counts where it is
longer. Nothing here has a bound of its own: the policy, `give_up_at` or `give_up` end the retries, else cancellation.

What runs for as long as the gateway does is started again by a loop of its own: accounts by
`runtime.process.supervisor`, MCP servers by `agent.mcp`.
"""

import math
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

import trio

from oc_trio.classes import define
from oc_trio.core.backoff import no_sooner_than
from oc_trio.errors import AgentUnavailable, LeaseLost, MattermostUnavailable

T = TypeVar("T")
E = TypeVar("E", bound=MattermostUnavailable | AgentUnavailable)


class DelayPolicy(Protocol):
    """How long to wait before each retry."""

    def delay(self, attempt: int, rand: float, /) -> float | None:
        """Seconds after failure number `attempt`, counted from 0; `rand` is in [0, 1). None: no further try."""
        ...


def _no_report(seconds: float, problem: Exception) -> None:
    """Nobody is told of a pause."""


@define(eq=False)
class RetryState(Generic[E]):
    """The failures of one call so far; `kind` is the error after which it is worth repeating.

    `report` is called before each pause with its length in seconds. No pause is begun that would end after
    `give_up_at`, a time of Trio's clock.
    """

    kind: type[E]
    policy: DelayPolicy
    random: Callable[[], float]
    report: Callable[[float, E], None] = _no_report
    give_up_at: float = math.inf
    failures: int = 0

    def failed(self, problem: E) -> None:
        """Count a failure."""
        self.failures += 1

    async def pause(self, problem: E) -> None:
        """Wait before the next call, at least as long as the server asked for. Raises `problem` where there is none."""
        if isinstance(problem, LeaseLost):
            raise problem  # what is to be done is another process's by now
        # Random, so that all those that a server's failure has stopped don't come back in the same moment.
        delay = self.policy.delay(self.failures - 1, self.random())
        seconds = None if delay is None else no_sooner_than(delay, problem.retry_after)
        if seconds is None or trio.current_time() + seconds > self.give_up_at:
            raise problem  # pyright: ignore[reportGeneralTypeIssues]  # it does not look at the bound
        self.report(seconds, problem)
        await trio.sleep(seconds)


async def _never(_problem: Exception) -> None:
    """Retry for as long as it takes."""


async def retrying(
    call: Callable[[], Awaitable[T]], state: RetryState[E], give_up: Callable[[E], Awaitable[T | None]] = _never
) -> T:
    """The value of `call`, which is repeated after errors of `state.kind`; others pass.

    `give_up` is asked after each failure, when `state` has counted it: a value ends the retries and is returned in
    place of the call's, an exception ends them and passes, None lets them go on.
    """
    while True:
        try:
            return await call()
        except state.kind as failure:
            problem = failure
        # Before `give_up` is asked: what becomes of a post is another process's decision by now.
        if isinstance(problem, LeaseLost):
            raise problem
        state.failed(problem)
        value = await give_up(problem)
        if value is not None:
            return value
        await state.pause(problem)
