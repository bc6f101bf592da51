"""Repeating a call: the pauses, what passes, and what ends the retries."""

import math

import pytest
import trio
import trio.testing

from oc_trio.core.backoff import DirectRetryPolicy, RetryPolicy
from oc_trio.errors import AgentUnavailable, LeaseLost, MattermostRejected, MattermostUnavailable
from oc_trio.retry import RetryState, retrying

AWAY = MattermostUnavailable("no connection")
POLICY = RetryPolicy(initial=1.0, maximum=4.0, jitter=0.0)


def a_state(give_up_at: float = math.inf) -> tuple[RetryState[MattermostUnavailable], list[float]]:
    """A state, and the pauses that it reports."""
    pauses = list[float]()

    def report(seconds: float, _problem: MattermostUnavailable) -> None:
        pauses.append(seconds)

    return RetryState(MattermostUnavailable, POLICY, lambda: 0.5, report, give_up_at), pauses


async def always_away() -> str:
    await trio.lowlevel.checkpoint()
    raise AWAY


async def test_pauses_grow_and_keep_what_the_server_asks_for(autojump_clock: trio.testing.MockClock) -> None:
    """Up to the policy's maximum, and not before the time that the server named; each is reported."""
    state, reported = a_state()
    pauses = list[float]()
    busy = MattermostUnavailable("slow down", status=429, retry_after=40.0)
    for problem in (AWAY, AWAY, AWAY, AWAY, busy):
        began = trio.current_time()
        state.failed(problem)
        await state.pause(problem)
        pauses.append(trio.current_time() - began)
    assert pauses == reported == [1.0, 2.0, 4.0, 4.0, 40.0]


@pytest.mark.parametrize(
    "refusal",
    [MattermostRejected("no", status=403), AgentUnavailable("another's", for_user="Sorry.")],
    ids=["refused", "of another kind"],
)
async def test_a_call_is_repeated_until_it_succeeds(refusal: Exception, autojump_clock: trio.testing.MockClock) -> None:
    """Only where the server is away: any other error passes at once."""
    state, pauses = a_state()
    problems: list[Exception] = [AWAY, AWAY]

    async def call() -> str:
        await trio.lowlevel.checkpoint()
        if problems:
            raise problems.pop(0)
        return "done"

    assert await retrying(call, state) == "done"
    assert pauses == [1.0, 2.0]
    problems = [refusal]
    with pytest.raises(type(refusal)):
        await retrying(call, state)
    assert pauses == [1.0, 2.0]


async def test_giving_up(autojump_clock: trio.testing.MockClock) -> None:
    """What `give_up` returns or raises ends the retries without another pause."""
    state, pauses = a_state()

    async def value(_problem: MattermostUnavailable) -> str | None:
        return "instead" if state.failures == 3 else None

    async def raising(problem: MattermostUnavailable) -> None:
        raise problem

    assert await retrying(always_away, state, value) == "instead"
    assert pauses == [1.0, 2.0]
    with pytest.raises(MattermostUnavailable, match="no connection"):
        await retrying(always_away, state, raising)
    assert pauses == [1.0, 2.0]


async def test_no_pause_beyond_the_end(autojump_clock: trio.testing.MockClock) -> None:
    """The failure is the caller's where the next try would come too late, and where the policy has none."""
    state, pauses = a_state(give_up_at=5.0)
    with pytest.raises(MattermostUnavailable):
        await retrying(always_away, state)
    assert (pauses, trio.current_time()) == ([1.0, 2.0], 3.0)
    counted = RetryState(MattermostUnavailable, DirectRetryPolicy(max_retries=2), lambda: 0.0)
    with pytest.raises(MattermostUnavailable):
        await retrying(always_away, counted)
    assert (counted.failures, trio.current_time()) == (3, 6.0)


async def test_a_lost_lease_ends_the_retries_at_once(autojump_clock: trio.testing.MockClock) -> None:
    """Another process does it: neither a pause nor the decision to give up comes before that."""
    state, reported = a_state()
    lost = LeaseLost("the lease is lost")

    async def call() -> str:
        await trio.lowlevel.checkpoint()
        raise lost

    async def give_up(_problem: MattermostUnavailable) -> str:
        raise AssertionError

    with pytest.raises(LeaseLost):
        await retrying(call, state, give_up)
    with pytest.raises(LeaseLost):
        await state.pause(lost)
    assert (trio.current_time(), reported) == (0.0, [])
