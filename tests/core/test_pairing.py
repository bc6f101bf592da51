"""From a stranger's first message to the operator's decision."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.pairing import ALPHABET, new_code, normalise_code, reply_text
from oc_trio.ids import AccountId, UserId


def draws(seed: int = 1) -> Callable[[int], int]:
    return random.Random(seed).randrange


def test_codes_are_never_taken_twice() -> None:
    """A code that is pending already is drawn again."""
    first = new_code(draws(), taken=frozenset())
    assert new_code(draws(), taken=frozenset({first})) != first


def test_a_stuck_source_is_reported() -> None:
    """Randomness that always gives the same is an error, not an endless loop."""
    with pytest.raises(RuntimeError, match="random source"):
        new_code(lambda _: 0, taken=frozenset({"A" * 8}))


@given(st.integers())
def test_codes_can_be_read_out(seed: int) -> None:
    """Eight characters, none of which looks like another, unchanged by being typed."""
    code = new_code(draws(seed), taken=frozenset())
    assert len(code) == 8
    assert set(code) <= set(ALPHABET)
    assert not set(code) & set("01IO")
    assert normalise_code(code.lower()) == code


def test_reply() -> None:
    """The reply names the user, the code and the command."""
    assert reply_text(UserId("u1"), "ABCD2345").splitlines() == [
        "oc_trio: access not configured.",
        "",
        "Your Mattermost user id: u1",
        "Pairing code:",
        "```",
        "ABCD2345",
        "```",
        "",
        "Ask the bot owner to approve with:",
        "```",
        "oc-trio pairing approve mattermost ABCD2345",
        "```",
    ]


def test_reply_of_a_named_account() -> None:
    """Where there are several accounts, the command says which."""
    assert "approve mattermost ABCD2345 --account home\n" in reply_text(
        UserId("u1"), "ABCD2345", account=AccountId("home")
    )
