import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.transcript import ASSISTANT, TOOL, USER, TranscriptEntry, entries_within_budget, estimate


def user(tokens: int = 10) -> TranscriptEntry:
    return TranscriptEntry(USER, "question", tokens=tokens)


def bot(tokens: int = 10) -> TranscriptEntry:
    return TranscriptEntry(ASSISTANT, "answer", tokens=tokens)


def call(tokens: int = 10) -> TranscriptEntry:
    return TranscriptEntry(ASSISTANT, tool_calls='[{"id": "1"}]', tokens=tokens)


def result(tokens: int = 10) -> TranscriptEntry:
    return TranscriptEntry(TOOL, "42", tool_call_id="1", tokens=tokens)


@pytest.mark.parametrize(
    ("entries", "budget", "expected"),
    [
        pytest.param([], 100, (), id="nothing"),
        pytest.param([user(), bot(), user()], 100, (0, 1, 2), id="all fits"),
        pytest.param([user(), bot(), user(), bot(), user()], 30, (2, 3, 4), id="the oldest goes first"),
        pytest.param([user(), bot(), user(), bot(), user()], 25, (4,), id="the past begins with a user message"),
        pytest.param([user(500)], 10, (0,), id="the newest user message stays"),
        pytest.param([user(), call(), result(), bot(), user()], 40, (4,), id="a call goes with its result"),
        pytest.param([user(), call(), result(), bot(), user()], 50, (0, 1, 2, 3, 4), id="a call stays with its result"),
        pytest.param([result(), user()], 100, (1,), id="a result without a call goes"),
        pytest.param([user(), call(), result(), call(), result()], 30, (0, 3, 4), id="an exchange under way"),
        pytest.param([bot(), bot()], 10, (1,), id="no user message at all"),
    ],
)
def test_kept(entries: list[TranscriptEntry], budget: int, expected: tuple[int, ...]) -> None:
    """The entries within the budget begin where a conversation may begin."""
    assert entries_within_budget(entries, budget) == expected


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("abcd", 1), ("abcde", 2), ("漢字", 2), ("\ud800", 1)])
def test_estimate(text: str, tokens: int) -> None:
    """A quarter of the bytes, rounded up."""
    assert estimate(text) == tokens


def test_an_entry_that_was_not_counted_is_estimated() -> None:
    """Text, calls and the frame of an entry count."""
    assert TranscriptEntry(ASSISTANT, "abcd", tool_calls="[{}]").cost == 7


ENTRIES = st.lists(st.sampled_from([user, bot, call, result]).flatmap(lambda make: st.builds(make, st.integers(1, 20))))


@given(ENTRIES, st.integers(0, 200))
def test_a_trimmed_transcript_is_consistent_and_within_budget(entries: list[TranscriptEntry], budget: int) -> None:
    """Results follow their calls, the newest user message stays, the rest obeys the budget."""
    indexes = entries_within_budget(entries, budget)
    assert list(indexes) == sorted(set(indexes))
    users = [at for at, entry in enumerate(entries) if entry.role == USER]
    if users:
        assert users[-1] in indexes
    trimmed = [entries[at] for at in indexes]
    assert sum(entry.cost for entry in trimmed) <= max(budget, entries[users[-1]].cost if users else 0)
    for at, entry in zip(indexes, trimmed):
        if entry.role == TOOL:
            assert at - 1 in indexes
            assert entries[at - 1].tool_calls or entries[at - 1].role == TOOL
        if entry.tool_calls and at + 1 < len(entries) and entries[at + 1].role == TOOL:
            assert at + 1 in indexes
    if users and trimmed:
        assert trimmed[0].role == USER
