from random import Random

import pytest
import trio

from oc_trio.core.backoff import RetryPolicy
from oc_trio.errors import MattermostRejected, MattermostUnavailable
from oc_trio.runtime.clock import Clock
from oc_trio.runtime.delivery.retry import RetryState, retrying
from tests.runtime.conftest import run_in_no_time

FAULT, AWAY = MattermostUnavailable("internal error", status=500), MattermostUnavailable("no connection")


def a_state() -> tuple[RetryState, list[float]]:
    """A state, and the pauses that it reports."""
    pauses = list[float]()
    policy = RetryPolicy(initial=1.0, maximum=4.0, jitter=0.0)
    return RetryState(policy, Clock(lambda: 0, Random(1)), lambda seconds, _problem: pauses.append(seconds)), pauses


def test_only_server_errors_in_a_row_count() -> None:
    """A server that was away in between says nothing about the post."""
    state, _ = a_state()
    for problem in (FAULT, FAULT, AWAY, FAULT):
        state.failed(problem)
    assert (state.failures, state.server_errors) == (4, 1)


@pytest.mark.trio(run=run_in_no_time)
async def test_pauses_grow_and_keep_what_the_server_asks_for() -> None:
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


@pytest.mark.trio(run=run_in_no_time)
async def test_a_call_is_repeated_until_it_succeeds() -> None:
    """Only where the server is away: a refusal passes at once."""
    state, pauses = a_state()
    problems: list[Exception] = [AWAY, FAULT]

    async def call() -> str:
        await trio.lowlevel.checkpoint()
        if problems:
            raise problems.pop(0)
        return "done"

    assert await retrying(call, state) == "done"
    assert pauses == [1.0, 2.0]
    problems = [MattermostRejected("no", status=403)]
    with pytest.raises(MattermostRejected):
        await retrying(call, a_state()[0])


@pytest.mark.trio(run=run_in_no_time)
async def test_giving_up() -> None:
    """What `give_up` returns or raises ends the retries without another pause."""
    state, pauses = a_state()

    async def call() -> str:
        raise AWAY

    async def value(_problem: MattermostUnavailable) -> str | None:
        return "instead" if state.failures == 3 else None

    async def raising(problem: MattermostUnavailable) -> None:
        raise problem

    assert await retrying(call, state, value) == "instead"
    assert pauses == [1.0, 2.0]
    with pytest.raises(MattermostUnavailable, match="no connection"):
        await retrying(call, state, raising)
    assert pauses == [1.0, 2.0]
