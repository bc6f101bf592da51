"""From a stranger's first message to the operator's decision."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.pairing import (
    ALPHABET,
    Asked,
    PairingPolicy,
    PairingRequest,
    ask,
    new_code,
    normalise_code,
    reply_text,
    settle,
    unexpired,
)
from oc_trio.ids import AccountId, UserId

HOUR = 3600 * 1000
WORK, HOME = AccountId("work"), AccountId("home")
POLICY = PairingPolicy()


def draws(seed: int = 1) -> Callable[[int], int]:
    return random.Random(seed).randrange


def write(
    pending: tuple[PairingRequest, ...], who: str, now: int, account: AccountId = WORK, seed: int | None = None
) -> Asked:
    draw = draws(now if seed is None else seed)
    return ask(pending, POLICY, account=account, user_id=UserId(who), username=who, now=now, draw=draw)


def test_a_stranger_gets_a_code_once() -> None:
    """The first message makes a request, the second one only marks it as seen."""
    first = write((), "alice", 0)
    assert first.created
    assert first.request is not None
    second = write(first.pending, "alice", 5)
    assert (second.created, second.request) == (
        False,
        PairingRequest(WORK, UserId("alice"), first.request.code, 0, 5, "alice"),
    )
    assert len(second.pending) == 1


def test_the_fourth_stranger_gets_nothing() -> None:
    """Three pending requests per account are the most; another account has its own three."""
    pending: tuple[PairingRequest, ...] = ()
    for now, who in enumerate("abc"):
        pending = write(pending, who, now).pending
    fourth = write(pending, "d", 3)
    assert (fourth.request, fourth.created, len(fourth.pending)) == (None, False, 3)
    assert write(pending, "d", 3, account=HOME).created
    assert write(pending, "a", 4).request is not None


def test_requests_expire() -> None:
    """An hour after the first message the code is worthless, later messages notwithstanding."""
    asked = write((), "alice", 0)
    assert asked.request is not None
    pending = write(asked.pending, "alice", HOUR - 1).pending
    assert settle(pending, POLICY, asked.request.code, account=WORK, now=HOUR - 1).request is not None
    assert settle(pending, POLICY, asked.request.code, account=WORK, now=HOUR).request is None
    assert unexpired(pending, POLICY, now=HOUR) == ()
    again = write(pending, "alice", HOUR)
    assert again.created
    assert len(again.pending) == 1


@pytest.mark.parametrize(
    ("typed", "account", "found"),
    [
        pytest.param(lambda code: code, WORK, True, id="as-shown"),
        pytest.param(lambda code: f"  {code.lower()}\n", WORK, True, id="in-small-letters"),
        pytest.param(lambda code: code, None, True, id="any-account"),
        pytest.param(lambda code: code, HOME, False, id="another-account"),
        pytest.param(lambda code: code[:-1], WORK, False, id="cut"),
        pytest.param(lambda code: "", None, False, id="empty"),
    ],
)
def test_settle(typed: Callable[[str], str], account: AccountId | None, found: bool) -> None:
    """A code is compared without case and blanks, and used up by being settled."""
    asked = write((), "alice", 0)
    assert asked.request is not None
    settled = settle(asked.pending, POLICY, typed(asked.request.code), account=account, now=1)
    assert (settled.request is not None) is found
    assert len(settled.pending) == (0 if found else 1)


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
    assert "approve mattermost ABCD2345 --account home\n" in reply_text(UserId("u1"), "ABCD2345", account=HOME)
