"""Two bots and their patience."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.loopguard import LoopBudget, LoopGuard
from oc_trio.ids import ChannelId, UserId

ROBOT, OTHER, TOWN, DEN = UserId("robot"), UserId("other"), ChannelId("town"), ChannelId("den")
BUDGET = LoopBudget(turns=2, window=10, cooldown=100)


def ask(*times: float, guard: LoopGuard | None = None, bot: UserId = ROBOT) -> tuple[LoopGuard, list[bool]]:
    guard, answers = guard or LoopGuard(BUDGET), []
    for now in times:
        guard, allowed = guard.admit(bot, TOWN, now=now)
        answers.append(allowed)
    return guard, answers


@pytest.mark.parametrize(
    ("times", "answers"),
    [
        pytest.param([0, 1], [True, True], id="within-the-budget"),
        pytest.param([0, 1, 2, 3], [True, True, False, False], id="over-it"),
        pytest.param([0, 11, 22, 33], [True] * 4, id="slow-enough"),
        pytest.param([0, 1, 2, 101, 102], [True, True, False, False, True], id="after-the-pause"),
        pytest.param([0, 1, 2, 50, 102, 103, 104], [True, True, False, False, True, True, False], id="and-again"),
    ],
)
def test_budget(times: list[float], answers: list[bool]) -> None:
    """So many answers within the window, then a pause that further messages don't prolong."""
    assert ask(*times)[1] == answers


def test_pairs_and_channels_are_apart() -> None:
    """One bot's noise costs no other bot, and no other channel."""
    guard, _ = ask(0, 1, 2)
    assert ask(3, guard=guard, bot=OTHER)[1] == [True]
    assert guard.admit(ROBOT, DEN, now=3)[1]


def test_no_budget_means_no_answer() -> None:
    """A budget of nothing never admits."""
    assert not LoopGuard(LoopBudget(turns=0)).admit(ROBOT, TOWN, now=0)[1]


def test_memory_is_bounded() -> None:
    """The pair unused for longest is forgotten."""
    guard = LoopGuard(BUDGET)
    for index in range(1100):
        guard, _ = guard.admit(UserId(f"u{index}"), TOWN, now=0)
    assert len(guard.pairs) == 1000


@given(st.lists(st.integers(0, 50), max_size=40).map(sorted))
def test_never_more_than_the_budget(times: list[int]) -> None:
    """No window ever holds more answers than the budget."""
    answered = [at for at, allowed in zip(times, ask(*times)[1]) if allowed]
    assert all(sum(at - 10 < other <= at for other in answered) <= 2 for at in answered)
