"""The rate limiter of one server, shared by all accounts that call it: a queue of callers around `core.ratelimit`.

Bounds: `MAX_WAITERS` callers, `MAX_WAIT` seconds each; beyond either a call raises MattermostUnavailable. A TYPING call
never waits.
"""

import math
from bisect import insort
from collections.abc import Mapping
from itertools import count

import trio
from attrs import field

from oc_trio.classes import define
from oc_trio.core.ratelimit import UNLIMITED, Lane, RatePolicy, learn, room_for, with_policy
from oc_trio.core.token_bucket import Bucket, full, pause
from oc_trio.errors import MattermostUnavailable
from oc_trio.wakeup import Wakeup

# Thousands of turns may want to write at once after an outage; more than this only use memory.
MAX_WAITERS = 2000
# As long as a request may take: who waits for longer learns that the server is as good as away.
MAX_WAIT = 30.0


@define(eq=False)
class _Ticket:
    lane: Lane
    number: int
    turn: trio.Event = field(factory=trio.Event)


@define(eq=False)
class RateBudget:
    """Token bucket with priority lanes; create it inside a Trio run.

    `policy` holds until the server has answered, and where it limits calls but does not say how; `unlimited` where it
    does not limit them.
    """

    policy: RatePolicy = field(factory=RatePolicy)
    unlimited: RatePolicy = UNLIMITED
    # Whether the server limits calls, None as long as it has not answered.
    _is_limiting: bool | None = field(init=False, default=None)
    _bucket: Bucket = field(init=False)
    # Sorted: who comes first in the better lane goes first. Numbers are unique, so two tickets are never compared.
    _waiting: list[tuple[Lane, int, _Ticket]] = field(init=False, factory=list)
    _numbers: "count[int]" = field(init=False, factory=count)
    # Who waits for capacity, one behind the other: else each token would wake all of them.
    _line: trio.StrictFIFOLock = field(init=False, factory=trio.StrictFIFOLock)
    _changed: Wakeup = field(init=False, factory=Wakeup)

    def __attrs_post_init__(self) -> None:
        self._bucket = full(self.policy.rate, self.policy.burst, trio.current_time())

    @property
    def pause_left(self) -> float:
        """Seconds for which the server wants no call at all; 0 for none."""
        return max(0.0, self._bucket.paused_until - trio.current_time())

    @property
    def waiting(self) -> int:
        """How many callers wait for a token."""
        return len(self._waiting)

    async def acquire(self, lane: Lane) -> None:
        """Return when `lane` may make one call.

        Raises MattermostUnavailable at once for a TYPING call that would have to wait or when MAX_WAITERS wait already,
        else after MAX_WAIT seconds.
        """
        # With others in line nobody takes a token out of turn.
        wait = 0.0 if self._waiting else self._take(lane)
        if not self._waiting and wait <= 0.0:
            return
        # A typing event that comes late says something that is no longer true.
        if lane is Lane.TYPING or len(self._waiting) >= MAX_WAITERS:
            # With others in line `wait` is 0, and the caller would come back in the same moment.
            raise MattermostUnavailable("our own rate budget for this server is spent", retry_after=max(wait, 0.1))
        ticket = _Ticket(lane, next(self._numbers))
        entry = (lane, ticket.number, ticket)
        insort(self._waiting, entry)
        try:
            with trio.fail_after(MAX_WAIT):
                await self._wait_turn(ticket)
        except trio.TooSlowError:
            problem = f"waited {MAX_WAIT:g} s for our own rate budget"
            raise MattermostUnavailable(problem, retry_after=1.0) from None
        finally:
            # Cancelled and late callers as well: a ticket that nobody waits with would hold up all behind it.
            self._waiting.remove(entry)
            if self._waiting:
                # Whoever is first in line now checks whether its turn has come.
                self._waiting[0][2].turn.set()
            else:
                self._changed.set()

    async def wait_for_capacity(self, lane: Lane) -> bool:
        """Return when `lane` could make a call now, without making it; true if that took a wait.

        For callers who may still change what they are going to send: once in `acquire`, a call is as good as made.
        """
        if self._seconds_left(lane) <= 0.0:
            return False
        # One after the other, as they came, rather than all for the same room.
        async with self._line:
            while (wait := self._seconds_left(lane)) > 0.0:
                with trio.move_on_after(wait):
                    await self._changed.wait_next()
        return True

    def observe(self, headers: Mapping[str, str], *, limited: bool, retry_after: float | None) -> None:
        """Learn from an answer: its `X-Ratelimit-*` headers, and whether it was a 429."""
        now = trio.current_time()
        numbers = [_number(headers.get(f"x-ratelimit-{name}")) for name in ("limit", "remaining", "reset")]
        match numbers:
            # All three or none: a server without rate limits sends no such headers.
            case [float(limit), float(remaining), float(reset)]:
                self._note_limits(True, now)
                self._bucket = learn(self._bucket, now, limit=limit, remaining=remaining, reset=reset)
            case _:
                # A 429 without numbers is a proxy's.
                self._note_limits(limited, now)
        self._changed.set()
        if limited:
            self._bucket = pause(self._bucket, now, 1.0 if retry_after is None else retry_after)

    def _note_limits(self, is_limiting: bool, now: float) -> None:
        """Once a server, or the proxy before it, has shown that it limits calls, that stays so."""
        if is_limiting is self._is_limiting or self._is_limiting:
            return
        self._is_limiting = is_limiting
        self._bucket = with_policy(self._bucket, self.policy if is_limiting else self.unlimited, now)

    async def _wait_turn(self, ticket: _Ticket) -> None:
        while True:
            if self._waiting[0][2] is not ticket:
                # A caller of a better lane may have come in since the wake-up; when it leaves it wakes us again.
                ticket.turn = trio.Event()
                await ticket.turn.wait()
                continue
            wait = self._take(ticket.lane)
            if wait <= 0.0:
                return
            # The token is not reserved: a 429 to somebody else's call may make the wait longer meanwhile, so it is
            # taken again.
            await trio.sleep(wait)

    def _seconds_left(self, lane: Lane) -> float:
        """Until there is a token for `lane`; without end while callers wait in `acquire`, who go before."""
        return math.inf if self._waiting else room_for(self._bucket, lane, trio.current_time())[1]

    def _take(self, lane: Lane) -> float:
        self._bucket, wait = room_for(self._bucket, lane, trio.current_time())
        return wait


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and text.isascii() and text.isdigit() else None
