"""Strikes: mistakes of the program count against an event, troubles of the world don't."""

import pytest
import trio

from oc_trio.errors import MattermostUnavailable, StoreError
from oc_trio.runtime.strikes import MOST_STRIKES, Strikes


def fail(strikes: Strikes, key: str, problem: Exception) -> None:
    with pytest.raises(type(problem)), strikes.counting(key):
        raise problem


def test_three_mistakes_at_the_same_event_are_enough() -> None:
    """Each comes out as it is; another event has its own count."""
    strikes = Strikes()
    for _ in range(MOST_STRIKES):
        assert not strikes.is_out("post")
        fail(strikes, "post", LookupError("a mistake"))
    assert strikes.is_out("post")
    assert not strikes.is_out("another")


@pytest.mark.parametrize(
    "problem",
    [pytest.param(MattermostUnavailable("away"), id="the server"), pytest.param(StoreError("full"), id="the journal")],
)
def test_troubles_of_the_world_are_no_strikes(problem: Exception) -> None:
    """A message is never given up because a database was away."""
    strikes = Strikes()
    for _ in range(10):
        fail(strikes, "post", problem)
    assert not strikes.is_out("post")


async def test_neither_success_nor_being_cancelled_is_a_strike() -> None:
    """A shutdown in the middle of an event says nothing about it."""
    strikes = Strikes()
    for _ in range(10):
        with strikes.counting("post"):
            pass
        with trio.CancelScope() as scope, strikes.counting("post"):
            scope.cancel()
            await trio.sleep_forever()
    assert not strikes.is_out("post")


def test_what_is_remembered_is_bounded() -> None:
    """The oldest is forgotten first, and one that fails again is young again."""
    strikes = Strikes()
    for _ in range(MOST_STRIKES):
        fail(strikes, "old", LookupError())
    for number in range(999):
        fail(strikes, f"post{number}", LookupError())
    assert strikes.is_out("old")
    fail(strikes, "one too many", LookupError())
    assert not strikes.is_out("old")
