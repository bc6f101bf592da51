"""Calls that an account is answering: it does not go before they do, so that nothing they use is closed under them.

Without this, a call that was taken in could end as an error because its account was stopping or starting again, and
whoever repeated it was answered twice.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import ParamSpec, TypeVar

import trio
from attrs import define, field

from oc_trio.callbacks.app import UNAVAILABLE
from oc_trio.errors import CallbackRefused

P = ParamSpec("P")
T = TypeVar("T")

# As long as the server gives to requests in flight when it stops.
GRACE_SECONDS = 3.0


@define(eq=False)
class InFlightRequests:
    """One account's calls in flight."""

    _scopes: set[trio.CancelScope] = field(init=False, factory=set)
    _is_closed: bool = field(init=False, default=False)
    _left: trio.Event = field(init=False, factory=trio.Event)

    def __len__(self) -> int:
        return len(self._scopes)

    def received(self, work: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        """`work` as a visit. It raises CallbackRefused 503 where the account goes before it is done.

        What is admitted is admitted in a shield and answered without waiting again: it is never refused.
        """

        async def visit(*args: P.args, **kwargs: P.kwargs) -> T:
            if not self._is_closed:
                with trio.CancelScope() as scope:
                    self._scopes.add(scope)
                    try:
                        return await work(*args, **kwargs)
                    finally:
                        self._scopes.discard(scope)
                        if self._is_closed and not self._scopes:
                            self._left.set()
            raise CallbackRefused(503, UNAVAILABLE)

        return visit

    async def leave(self, seconds: float) -> None:
        """Let nobody in any more, and wait for those who are there: for so long, then they are sent away."""
        self._is_closed = True
        for scope in self._scopes:
            scope.deadline = min(scope.deadline, trio.current_time() + seconds)
        if self._scopes:
            await self._left.wait()


@asynccontextmanager
async def open_in_flight() -> AsyncIterator[InFlightRequests]:
    """Visitors for as long as the block runs; who is still there when it fails is sent away at once."""
    visitors, seconds = InFlightRequests(), 0.0
    try:
        yield visitors
        seconds = GRACE_SECONDS
    finally:
        with trio.CancelScope(shield=True):
            await visitors.leave(seconds)
