"""Retries of single calls to Mattermost: the failures of one write, of which some are about what is written, and a few
tries of a call that can be done without.
"""

import math
from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from oc_trio.classes import define
from oc_trio.core.backoff import RetryPolicy
from oc_trio.errors import MattermostUnavailable
from oc_trio.retry import RetryState, retrying

T = TypeVar("T")

# Of a call that fails. A person or a turn waits for it, so there are few.
_TRIES = 4


@define(eq=False)
class WriteRetryState(RetryState[MattermostUnavailable]):
    """`server_errors` counts answers with status 500 in a row. They are about this request; a server that is away says
    nothing about it.
    """

    server_errors: int = 0

    def failed(self, problem: MattermostUnavailable) -> None:
        """Count a failure."""
        super().failed(problem)
        self.server_errors = self.server_errors + 1 if problem.status == 500 else 0


async def with_few_tries(
    call: Callable[[], Awaitable[T]],
    retries: RetryPolicy,
    random: Callable[[], float],
    *,
    away_until: float = -math.inf,
) -> T:
    """The value of `call`, after few failures at most; while the server is away they count only from `away_until` on, a
    time of Trio's clock. Raises what the last call raised.
    """
    state, failures = RetryState(MattermostUnavailable, retries, random), 0

    async def give_up(problem: MattermostUnavailable) -> None:
        nonlocal failures
        if trio.current_time() >= away_until or not _is_away(problem):
            failures += 1
        if failures >= _TRIES:
            raise problem

    return await retrying(call, state, give_up)


def _is_away(problem: MattermostUnavailable) -> bool:
    """Whether a failure says nothing about what was asked: no connection, or a proxy that reaches nobody."""
    return problem.status in (502, 503) if problem.status is not None else not problem.ambiguous
