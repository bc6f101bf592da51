"""Repeats a call while Mattermost is unavailable, with growing pauses."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio
from attrs import define

from oc_trio.core.backoff import RetryPolicy, no_sooner_than
from oc_trio.errors import MattermostUnavailable
from oc_trio.runtime.clock import Clock

T = TypeVar("T")


def _no_report(seconds: float, problem: MattermostUnavailable) -> None:
    """Nobody is told of a pause."""


@define(eq=False)
class RetryState:
    """The failures of one call so far. `report` is called before each pause with its length in seconds."""

    policy: RetryPolicy
    clock: Clock
    report: Callable[[float, MattermostUnavailable], None] = _no_report
    failures: int = 0
    # Answers with status 500 in a row. They are about this request; a server that is away says nothing about it.
    server_errors: int = 0

    def failed(self, problem: MattermostUnavailable) -> None:
        """Count a failure."""
        self.failures += 1
        self.server_errors = self.server_errors + 1 if problem.status == 500 else 0

    async def pause(self, problem: MattermostUnavailable) -> None:
        """Wait before the next call, at least as long as the server asked for."""
        # Random, so that the turns that a server's failure has stopped don't all come back in the same moment.
        delay = self.policy.delay(self.failures - 1, self.clock.random.random())
        seconds = no_sooner_than(delay, problem.retry_after)
        self.report(seconds, problem)
        await trio.sleep(seconds)


async def _never(_problem: MattermostUnavailable) -> None:
    """Retry for as long as it takes."""


async def retrying(
    call: Callable[[], Awaitable[T]],
    state: RetryState,
    give_up: Callable[[MattermostUnavailable], Awaitable[T | None]] = _never,
) -> T:
    """The value of `call`, which is repeated after MattermostUnavailable; other errors pass.

    `give_up` is asked after each failure, when `state` has counted it: a value ends the retries and is returned in
    place of the call's, an exception ends them and passes, None lets them go on.
    """
    while True:
        try:
            return await call()
        except MattermostUnavailable as failure:
            problem = failure
        state.failed(problem)
        value = await give_up(problem)
        if value is not None:
            return value
        await state.pause(problem)
