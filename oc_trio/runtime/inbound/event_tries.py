"""Tries at one event or post: a defect may be one of the moment, so it is passed over only at the third.

Events wait behind the one that is tried. Where one was given up shortly before, the next is not waited for: nobody may
hold an account up by what the program fails at.
"""

import math
from collections.abc import Awaitable, Callable

import trio
from attrs import define

from oc_trio.errors import MattermostError, StoreError
from oc_trio.runtime.error_boundary import About, ErrorBoundary

# Before the second try and before the third.
PAUSES = (0.1, 1.0)
# For so long after an event was given up, others are tried without a pause.
HURRY_SECONDS = 60.0

# What a defect is told from: the connection's trouble, and the journal's.
PASSING = (StoreError, MattermostError)

Work = Callable[[], Awaitable[object]]


@define(eq=False)
class EventTries:
    """One account's; what is tried raises `PASSING` as ever."""

    boundary: ErrorBoundary
    _given_up_at: float = -math.inf

    async def carry_out(self, work: Work, part: str, about: About, *, again: Work) -> Exception | None:
        """Do `work`, and where a defect ends it `again`; the defect of the last try, None where one went well.

        `part` and `about` are the boundary's.
        """
        boundary = self.boundary
        defect = await boundary.contain(work, part, about, passing=PASSING, will_retry=True)
        for at, seconds in enumerate(PAUSES, 1):
            if defect is None:
                return None
            is_hurried = trio.current_time() - self._given_up_at < HURRY_SECONDS
            await trio.sleep(0.0 if is_hurried else seconds)
            defect = await boundary.contain(again, part, about, passing=PASSING, will_retry=at < len(PAUSES))
        if defect is not None:
            self._given_up_at = trio.current_time()
        return defect
