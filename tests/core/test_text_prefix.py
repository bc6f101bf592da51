"""The response prefix of an answer, and the earlier messages that it may repeat."""

import pytest

from oc_trio.core.text_prefix import begins_with, reply_prefix, text_after, with_prefix


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
    assert text_after("One.\n\nTwo.\n\n    x = 1\nThree.", ["One.", "Two."]) == "    x = 1\nThree."
    assert text_after("One.", ["One."]) == ""
    assert text_after("One.", ["Two."]) is None


@pytest.mark.parametrize(
    ("template", "prefix"),
    [
        ("", ""),
        ("Bot:", "Bot:"),
        ("auto", "[Otto]"),
        ("[{model}]", "[qwen3]"),
        ("{provider} {modelFull}", "local local/qwen3"),
        ("{identity.name}/{identityName}", "Otto/Otto"),
        ("{think} {thinkingLevel}", "high high"),
        ("{MODEL}", "qwen3"),
        ("{unknown}", "{unknown}"),
    ],
)
def test_names_are_filled_in(template: str, prefix: str) -> None:
    """Variables are filled in whatever their case; unknown ones stay as they are."""
    assert reply_prefix(template, identity="Otto", model="local/qwen3", thinking="high") == prefix


def test_auto_without_a_name() -> None:
    """No brackets around nothing; a name without a value stays visible."""
    assert (reply_prefix("auto"), reply_prefix("{model}")) == ("", "{model}")
