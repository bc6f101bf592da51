import pytest

from oc_trio.core.stop_phrases import STOP_PHRASES, is_stop_phrase


@pytest.mark.parametrize("text", ["stop", "STOP!", " Please  stop. ", "/stop", "!stop!", "стоп", "停止。", "Detén"])
def test_a_message_that_says_stop(text: str) -> None:
    """Case, marks and spaces don't matter."""
    assert is_stop_phrase(text)


@pytest.mark.parametrize("text", ["", "stop the music", "don't stop", "stopping", "full stop ahead", "!"])
def test_a_message_that_says_something_else(text: str) -> None:
    """A sentence with the word in it is for the agent."""
    assert not is_stop_phrase(text)


def test_the_phrases_are_folded() -> None:
    """Each is written as it is compared."""
    assert all(phrase == " ".join(phrase.lower().split()) for phrase in STOP_PHRASES)
