"""The bucket never overspends, better lanes go first, and the server's word is believed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core import token_bucket
from oc_trio.core.ratelimit import Lane, RatePolicy, learn, room_for
from oc_trio.core.token_bucket import Bucket, pause


def full(policy: RatePolicy, now: float) -> Bucket:
    return token_bucket.full(policy.rate, policy.burst, now)


def spend(bucket: Bucket, lane: Lane, now: float) -> tuple[Bucket, int]:
    """Take as often as it goes at one moment."""
    for taken in range(10_000):
        bucket, wait = room_for(bucket, lane, now)
        if wait > 0:
            return bucket, taken
    raise AssertionError("the bucket has no bottom")


@given(
    st.floats(0.5, 100),
    st.integers(1, 200),
    st.lists(st.tuples(st.floats(0, 5), st.sampled_from(Lane)), max_size=80),
)
def test_no_more_goes_than_burst_and_rate_allow(rate: float, burst: int, steps: list[tuple[float, Lane]]) -> None:
    """Over any stretch of time the calls let through are at most the burst plus rate times time."""
    bucket, now, granted = full(RatePolicy(rate, burst), 0.0), 0.0, 0
    for pause_before, lane in steps:
        now += pause_before
        bucket, wait = room_for(bucket, lane, now)
        granted += wait == 0.0
        assert granted <= burst + rate * now + 1e-3


@given(st.floats(0.5, 100), st.integers(1, 200), st.sampled_from(Lane))
def test_the_wait_that_is_told_is_enough(rate: float, burst: int, lane: Lane) -> None:
    """After the wait that the bucket names, a token is there."""
    bucket, _ = spend(full(RatePolicy(rate, burst), 0.0), Lane.FINAL, 0.0)
    bucket, wait = room_for(bucket, lane, 0.0)
    assert wait > 0
    assert room_for(bucket, lane, wait + 1e-9)[1] == 0.0


def test_lower_lanes_leave_something_for_better_ones() -> None:
    """Each lane stops earlier than the one above it."""
    bucket, counts = full(RatePolicy(10, 100), 0.0), []
    for lane in sorted(Lane, reverse=True):
        bucket, taken = spend(bucket, lane, 0.0)
        counts.append(taken)
    assert counts == [50, 30, 15, 3, 2]


@pytest.mark.parametrize("lane", Lane, ids=lambda lane: lane.name)
def test_a_burst_of_one_serves_every_lane(lane: Lane) -> None:
    """No reserve is so large that a lane starves on a quiet server."""
    assert room_for(full(RatePolicy(1, 1), 0.0), lane, 0.0)[1] == 0.0


def test_the_servers_headers_set_burst_rate_and_remainder() -> None:
    """Mattermost's default limit is read as 100 at once and about 9 a second."""
    bucket = learn(full(RatePolicy(), 0.0), 0.0, limit=101, remaining=0, reset=11)
    assert (bucket.burst, round(bucket.rate, 1), bucket.tokens) == (100, 9.2, 0)


def test_a_small_reset_teaches_no_rate() -> None:
    """Whole seconds say nothing about the rate while the bucket is nearly full."""
    assert learn(full(RatePolicy(), 0.0), 0.0, limit=101, remaining=99, reset=1).rate == RatePolicy().rate


def test_a_429_stops_every_lane_until_its_time() -> None:
    """Nothing goes during the pause, and the bucket starts empty after it."""
    bucket = pause(full(RatePolicy(10, 100), 0.0), 0.0, 3.0)
    assert room_for(bucket, Lane.FINAL, 1.0)[1] == pytest.approx(2.0)
    bucket, wait = room_for(bucket, Lane.FINAL, 3.0)
    assert wait == pytest.approx(0.1)


def test_absurd_numbers_of_a_server_are_not_believed() -> None:
    """A reset in a year does not stop everything, and a boundless limit does not let everything through."""
    slow = learn(full(RatePolicy(), 0.0), 0.0, limit=10.0, remaining=0.0, reset=31_536_000.0)
    assert room_for(slow, Lane.FINAL, 0.0)[1] <= 120.0
    fast = learn(full(RatePolicy(), 0.0), 0.0, limit=float("inf"), remaining=float("inf"), reset=60.0)
    assert fast.burst <= 10_000.0
