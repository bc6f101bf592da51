"""What a text begins with."""

import pytest

from oc_trio.core.text_prefix import begins_with, behind, with_prefix


def test_the_prefix_comes_once() -> None:
    """A prefix that is there already is not repeated."""
    assert [with_prefix("x", ""), with_prefix("x", "[b] "), with_prefix("[b] x", "[b]")] == ["x", "[b] x", "[b] x"]


@pytest.mark.parametrize(
    ("text", "messages", "expected"),
    [
        ("One.\n\nTwo.\nThree.", ["One.", "Two."], True),
        ("One. Two.", ["One.", "Two."], True),
        ("One. Two.", ["One."], False),
        ("Two.", ["One."], False),
        ("One.", [], False),
    ],
)
def test_messages_end_with_a_line(text: str, messages: list[str], expected: bool) -> None:
    """A message that a text repeats ends at one of its line ends; a first word that comes again is none."""
    assert begins_with(text, messages) is expected


def test_what_stands_below_the_messages_is_left() -> None:
    """Without the empty lines in between; its own lines stay as they are."""
    assert behind("One.\n\nTwo.\n\n    x = 1\nThree.", ["One.", "Two."]) == "    x = 1\nThree."
    assert behind("One.", ["One."]) == ""
    assert behind("One.", ["Two."]) is None
