"""Whom a text mentions."""

import pytest

from oc_trio.sandbox.mentions import channels_in, hashtags_in, names_in


@pytest.mark.parametrize(
    ("text", "mentioned"),
    [
        pytest.param("@bot hello", True, id="at the start"),
        pytest.param("@BOT hello", True, id="upper case"),
        pytest.param("hi (@bot), there", True, id="in parentheses"),
        pytest.param("hello @bot.", True, id="before a dot"),
        pytest.param("@bot: go", True, id="before a colon"),
        pytest.param("> @bot said", True, id="in a quote"),
        pytest.param("bot hello", False, id="bare name"),
        pytest.param("me@bot hello", False, id="e-mail"),
        pytest.param("try `@bot` there", False, id="code span"),
        pytest.param("```\n@bot\n```", False, id="code block"),
        pytest.param("@botx hello", False, id="longer name"),
    ],
)
def test_what_counts_as_a_mention(text: str, mentioned: bool) -> None:
    """A name counts after an @ that starts a word, outside code."""
    assert ("bot" in names_in(text)) is mentioned


def test_channels_and_hashtags_are_found() -> None:
    """A tilde names a channel; a tag starts with a letter."""
    text = "see ~town-square and ~nonesuch #one #two_3 #1"
    assert channels_in(text) == ("town-square", "nonesuch")
    assert hashtags_in(text) == "#one #two_3"
