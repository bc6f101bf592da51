"""Tracks the HTTP requests that an account is answering, and lets them finish before the account stops.

Otherwise an admitted request could fail because its account was stopping or restarting, and a caller that repeats it
would be answered twice.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import ParamSpec, TypeVar

import trio
from attrs import field

from oc_trio.callbacks.reply import UNAVAILABLE
from oc_trio.classes import define
from oc_trio.errors import CallbackRefused, FenceRefused, MattermostError

P = ParamSpec("P")
T = TypeVar("T")

# As long as the server gives to requests in flight when it stops.
GRACE_SECONDS = 3.0


@define(eq=False)
class InFlightRequests:
    """One account's requests in flight; `is_held` says whether this process still serves the account."""

    is_held: Callable[[], bool] = lambda: True
    # One for each request; the guard of the public port bounds how many there are.
    _scopes: set[trio.CancelScope] = field(init=False, factory=set)
    _is_closed: bool = field(init=False, default=False)
    _all_done: trio.Event = field(init=False, factory=trio.Event)

    def __len__(self) -> int:
        return len(self._scopes)

    def track(self, work: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        """`work` as a tracked request. It raises CallbackRefused 503, with the text UNAVAILABLE, where the account
        stops before it is done, or another process serves it by now.

        Admission is shielded, and an admitted request is answered without another checkpoint: it is never refused.
        """

        async def tracked(*args: P.args, **kwargs: P.kwargs) -> T:
            # A new request after the close is refused below, like one that was cancelled.
            if not self._is_closed:
                with trio.CancelScope() as scope:
                    self._scopes.add(scope)
                    try:
                        return await work(*args, **kwargs)
                    except FenceRefused as problem:
                        raise CallbackRefused(503, UNAVAILABLE) from problem
                    except (CallbackRefused, MattermostError) as problem:
                        # It may have been refused because Mattermost may not be asked any more.
                        if self.is_held():
                            raise
                        raise CallbackRefused(503, UNAVAILABLE) from problem
                    finally:
                        self._scopes.discard(scope)
                        if self._is_closed and not self._scopes:
                            self._all_done.set()
            raise CallbackRefused(503, UNAVAILABLE)

        return tracked

    async def close(self, seconds: float) -> None:
        """Refuse new requests, and wait for those in flight; they are cancelled after `seconds`."""
        self._is_closed = True
        for scope in self._scopes:
            scope.deadline = min(scope.deadline, trio.current_time() + seconds)
        if self._scopes:
            await self._all_done.wait()


@asynccontextmanager
async def open_in_flight(is_held: Callable[[], bool] = lambda: True) -> AsyncIterator[InFlightRequests]:
    """A tracker for as long as the block runs; if the block fails, requests in flight are cancelled at once."""
    in_flight, seconds = InFlightRequests(is_held), 0.0
    try:
        yield in_flight
        seconds = GRACE_SECONDS
    finally:
        # The wait is bounded by the scopes' deadlines, and a cancelled account must still let admitted requests be
        # answered.
        with trio.CancelScope(shield=True):
            await in_flight.close(seconds)
