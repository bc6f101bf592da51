"""Small talk is a function of the conversation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.agent.port import Message, Role
from oc_trio.agent.scripted_replies import reply

SUMS = [
    pytest.param("2+2", "2+2 is 4.", id="plus"),
    pytest.param("what is 5 - 7", "5 - 7 is -2.", id="minus"),
    pytest.param("3 x 3?", "3 x 3 is 9.", id="times"),
]


@pytest.mark.parametrize(("text", "answer"), SUMS)
def test_sums(text: str, answer: str) -> None:
    """Whole numbers, one sign."""
    assert reply((Message(Role.USER, text),)) == answer


def test_only_the_last_five_are_recalled() -> None:
    """The last five questions are recalled, with their numbers."""
    questions = [Message(Role.USER, f"word {at}") for at in range(1, 8)]
    answer = reply((*questions, Message(Role.USER, "what did I say?")))
    assert answer.splitlines()[2:] == [f"{at}. word {at}" for at in range(3, 8)]


@given(st.lists(st.tuples(st.sampled_from([Role.USER, Role.ASSISTANT]), st.text()), max_size=5), st.text())
def test_there_is_always_something_to_say(before: list[tuple[Role, str]], text: str) -> None:
    """No message makes it fall silent, and the same conversation gets the same answer."""
    messages = (*(Message(role, earlier_text) for role, earlier_text in before), Message(Role.USER, text))
    answer = reply(messages)
    assert answer
    assert reply(messages) == answer
