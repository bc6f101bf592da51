"""How long to wait."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.backoff import AUTH_RETRY, DirectRetryPolicy, RetryPolicy, no_sooner_than

RAND = st.floats(min_value=0, max_value=1, exclude_max=True)
HALF = 0.5


def test_reconnects_double_up_to_a_minute() -> None:
    """In the middle of the jitter the waits are the documented ones."""
    assert [RetryPolicy().delay(attempt, HALF) for attempt in range(7)] == [2, 4, 8, 16, 32, 60, 60]


def test_jitter_spreads_to_both_sides() -> None:
    """A fifth less to a fifth more."""
    assert RetryPolicy().delay(0, 0.0) == pytest.approx(1.6)
    assert RetryPolicy().delay(0, 0.999999) == pytest.approx(2.4, abs=0.001)


def test_a_refused_token_is_tried_slowly() -> None:
    """Minutes apart, for nothing changes within seconds."""
    assert [AUTH_RETRY.delay(attempt, HALF) for attempt in range(5)] == [30, 60, 120, 240, 300]


@pytest.mark.parametrize(
    ("rand", "waits"),
    [
        pytest.param(0.0, [1, 2, 4, None], id="least"),
        pytest.param(0.5, [1.5, 3, 6, None], id="middle"),
        pytest.param(0.999, [1.999, 3.998, 7.996, None], id="most"),
    ],
)
def test_direct_channels(rand: float, waits: list[float | None]) -> None:
    """Three retries after 1-2, 2-4 and 4-8 seconds."""
    found = [DirectRetryPolicy().delay(attempt, rand) for attempt in range(4)]
    assert found == [None if wait is None else pytest.approx(wait) for wait in waits]


@given(st.integers(0, 10_000), RAND, st.floats(0.1, 60), st.floats(0, 540))
def test_direct_jitter_stays_between(retry: int, rand: float, initial: float, more: float) -> None:
    """The wait is never under the exponential value nor over the cap."""
    policy = DirectRetryPolicy(max_retries=10_001, initial=initial, maximum=initial + more)
    wait = policy.delay(retry, rand)
    assert wait is not None
    assert min(policy.maximum, initial * 2.0 ** min(retry, 60)) <= wait <= policy.maximum


@given(st.integers(0, 100_000), RAND)
def test_waits_are_bounded(attempt: int, rand: float) -> None:
    """However often it failed, the wait is positive and at most the cap and its jitter."""
    assert 0 < RetryPolicy().delay(attempt, rand) <= 60 * 1.2


@pytest.mark.parametrize(("retry_after", "wait"), [(None, 5.0), (1.0, 5.0), (90.0, 90.0)])
def test_retry_after(retry_after: float | None, wait: float) -> None:
    """The server's wish counts where it is longer."""
    assert no_sooner_than(5.0, retry_after) == wait


@pytest.mark.parametrize("broken", [{"initial": 0.0}, {"factor": 0.5}, {"jitter": -1.0}])
def test_broken_policies_are_refused(broken: dict[str, float]) -> None:
    """A policy that would spin or shrink can't be made."""
    with pytest.raises(ValueError):
        RetryPolicy(**broken)
