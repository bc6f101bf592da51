from random import Random

import pytest
import trio

from oc_trio.core.backoff import RetryPolicy
from oc_trio.errors import MattermostUnavailable
from oc_trio.ids import AccountId
from oc_trio.runtime.clock import Clock
from oc_trio.runtime.delivery.retry import RetryState
from oc_trio.telemetry.metrics import Metrics
from tests.runtime.conftest import run_in_no_time

FAULT, AWAY = MattermostUnavailable("internal error", status=500), MattermostUnavailable("no connection")


def some_tries() -> RetryState:
    retries = RetryPolicy(initial=1.0, maximum=4.0, jitter=0.0)
    return RetryState("p1", AccountId("default"), retries, Clock(lambda: 0, Random(1)), Metrics())


def test_only_faults_in_a_row_count() -> None:
    """A server that was away in between says nothing about the post."""
    tries = some_tries()
    for problem in (FAULT, FAULT, AWAY, FAULT):
        tries.failed(problem)
    assert (tries.made, tries.faults) == (4, 1)


@pytest.mark.trio(run=run_in_no_time)
async def test_pauses_grow_and_keep_what_the_server_asks_for() -> None:
    """Up to the policy's maximum, and not before the time that the server named."""
    tries, pauses = some_tries(), list[float]()
    busy = MattermostUnavailable("slow down", status=429, retry_after=40.0)
    for problem in (AWAY, AWAY, AWAY, AWAY, busy):
        began = trio.current_time()
        tries.failed(problem)
        await tries.pause(problem)
        pauses.append(trio.current_time() - began)
    assert pauses == [1.0, 2.0, 4.0, 4.0, 40.0]
    assert 'oc_trio_rest_retries_total{account="default",why="no answer"} 4.0' in tries.metrics.render().decode()
