"""Retries an event or post that fails with a defect, and gives it up after the third try.

A defect may be one of the moment, so a pause comes before each retry. Later events wait meanwhile; shortly after one
was given up they are retried without a pause, so that a series of poison events can't hold the account up.
"""

import math
from collections.abc import Awaitable, Callable

import trio

from oc_trio.classes import define
from oc_trio.errors import MattermostError, StoreError
from oc_trio.runtime.error_boundary import About, ErrorBoundary

# Before the second try and before the third.
PAUSES = (0.1, 1.0)
# For this long after an event was given up, others are retried without a pause.
HURRY_SECONDS = 60.0

# Not defects: the server's failures and the journal's go to the caller.
PASSING = (StoreError, MattermostError)

Work = Callable[[], Awaitable[object]]


@define(eq=False)
class EventTries:
    """One account's. What is tried may raise `PASSING`, which is not retried here."""

    boundary: ErrorBoundary
    # By Trio's clock, of any event: who is hurried by it is not the same event.
    _given_up_at: float = -math.inf

    async def run(self, work: Work, part: str, about: About, *, retry: Work) -> Exception | None:
        """Run `work`, and `retry` after a defect; the defect of the last try, None where a try succeeded.

        `part` and `about` are as in `ErrorBoundary.contain`.
        """
        boundary = self.boundary
        defect = await boundary.contain(work, part, about, passing=PASSING, will_retry=True)
        for at, seconds in enumerate(PAUSES, 1):
            if defect is None:
                return None
            is_hurried = trio.current_time() - self._given_up_at < HURRY_SECONDS
            await trio.sleep(0.0 if is_hurried else seconds)
            defect = await boundary.contain(retry, part, about, passing=PASSING, will_retry=at < len(PAUSES))
        if defect is not None:
            self._given_up_at = trio.current_time()
        return defect
