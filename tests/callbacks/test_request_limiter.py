"""Counting sources: rates, concurrency, and a table that does not grow."""

from ipaddress import ip_address

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.callbacks.request_limiter import Limits, RequestLimiter, RequestPermit, Standing, source_key

LIMITS = Limits(rate=10.0, burst=3.0, at_once=2, total=4, sources=5)


def test_a_burst_passes_and_then_the_rate_counts() -> None:
    """Three at once, then one every tenth of a second."""
    gate = RequestLimiter(LIMITS)
    passed = []
    for at in (0.0, 0.0, 0.0, 0.0, 0.1, 0.1):
        place = gate.enter("a", at)
        passed.append(place is not None)
        if place is not None:
            gate.leave(place)
    assert passed == [True, True, True, False, True, False]


def test_one_source_has_two_going_at_a_time() -> None:
    """The third waits for nobody: it is refused until one of the others has left."""
    gate = RequestLimiter(LIMITS)
    places = [gate.enter("a", 0.0) for _ in range(3)]
    assert [place is not None for place in places] == [True, True, False]
    assert places[0] is not None
    gate.leave(places[0])
    assert gate.enter("a", 1.0)


def test_all_sources_together_have_four_going() -> None:
    """Many sources can't have more going than the total."""
    gate = RequestLimiter(LIMITS)
    assert [gate.enter(name, 0.0) is not None for name in "abcde"] == [True, True, True, True, False]


def test_strangers_take_no_place_of_those_who_are_known() -> None:
    """Known by a secret, listed by the operator, or genuine before: each of them has places of its own."""
    gate = RequestLimiter(evolve(LIMITS, known_seconds=60.0))
    gate.vouch("chat server", 0.0)
    for name in "abcd":
        assert gate.enter(name, 1.0)
    assert gate.enter("stranger", 1.0) is None
    assert gate.enter("token", 1.0, Standing.KNOWN)
    assert gate.enter("listed", 1.0, Standing.LISTED)
    assert gate.enter("chat server", 59.0)
    assert gate.enter("chat server", 61.0) is None, "its last genuine call was too long ago"


def test_who_becomes_known_meanwhile_is_counted_where_it_came_in() -> None:
    gate = RequestLimiter(LIMITS)
    place = gate.enter("a", 0.0)
    assert place is not None
    gate.vouch("a", 0.0)
    gate.leave(place)
    assert gate.active == 0


def test_a_flood_of_one_source_leaves_another_alone() -> None:
    """Refusals are counted for the source that caused them."""
    gate = RequestLimiter(LIMITS)
    for _ in range(100):
        gate.enter("flood", 0.0)
    assert gate.enter("calm", 0.0)


@given(st.lists(st.tuples(st.text("abcdefghij", min_size=1, max_size=2), st.booleans()), max_size=200))
def test_the_table_is_bounded_and_the_counts_come_back(steps: list[tuple[str, bool]]) -> None:
    """However sources come and go, the table keeps its size and nobody is counted twice or forgotten."""
    gate, inside = RequestLimiter(LIMITS), list[RequestPermit]()
    for at, (name, leaves) in enumerate(steps):
        place = gate.enter(name, float(at))
        if place is not None:
            inside.append(place)
        if leaves and inside:
            gate.leave(inside.pop())
        assert len(gate) <= LIMITS.sources + LIMITS.total
        assert gate.active == len(inside) <= LIMITS.total
    for place in inside:
        gate.leave(place)
    assert gate.active == 0


@pytest.mark.parametrize(
    ("address", "key"),
    [
        pytest.param("192.0.2.7", "192.0.2.7", id="IPv4"),
        pytest.param("2001:db8::1", "2001:db8::/64", id="IPv6 by its network"),
    ],
)
def test_an_address_is_counted_by_what_one_machine_owns(address: str, key: str) -> None:
    """An IPv6 machine can't get a fresh allowance by changing its address."""
    assert source_key(ip_address(address)) == key
    assert source_key(None) == "unknown"
