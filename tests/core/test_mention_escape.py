import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.mention_escape import ZERO_WIDTH_SPACE, clean, escape_channel_mentions

Z = ZERO_WIDTH_SPACE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("hi @channel", f"hi @{Z}channel", id="channel"),
        pytest.param("@all and @here!", f"@{Z}all and @{Z}here!", id="all and here"),
        pytest.param("@CHANNEL @Here", f"@{Z}CHANNEL @{Z}Here", id="any case"),
        pytest.param("(@all) *@all* _@all_", f"(@{Z}all) *@{Z}all* _@{Z}all_", id="in marks"),
        pytest.param("@all-hands @here.", f"@{Z}all-hands @{Z}here.", id="the server splits words at dots and dashes"),
        pytest.param("@allison @here_team @channels @bob", "@allison @here_team @channels @bob", id="usernames"),
        pytest.param("mail me@here.com", "mail me@here.com", id="addresses"),
        pytest.param("type `@channel` to ping", "type `@channel` to ping", id="code span"),
        pytest.param("```\n@channel\n```\n@all", f"```\n@channel\n```\n@{Z}all", id="fence"),
        pytest.param("```\n@channel", "```\n@channel", id="fence still open"),
        pytest.param("```\n@all\n  ```\n@all", f"```\n@all\n  ```\n@{Z}all", id="an indented end is doubtful"),
        pytest.param("a ` b @channel", f"a ` b @{Z}channel", id="lone backtick"),
        pytest.param("\\`@channel`", f"\\`@{Z}channel`", id="escaped backtick"),
        pytest.param("\\``x` @all `", f"\\``x` @{Z}all `", id="an escape shortens the run"),
        pytest.param("- `a\n- @all `", f"- `a\n- @{Z}all `", id="a span can't cross list items"),
        pytest.param("`b\nc` @all `d`", f"`b\nc` @{Z}all `d`", id="a span across lines shifts the pairs"),
        pytest.param("[a](`) @all `", f"[a](`) @{Z}all `", id="a link swallows a backtick"),
        pytest.param("http://x/` @all `", f"http://x/` @{Z}all `", id="a URL swallows a backtick"),
        pytest.param("  ```\n```\n@all\n```", f"  ```\n```\n@{Z}all\n```", id="an indented fence is doubtful"),
        pytest.param("- ```\n@all", f"- ```\n@{Z}all", id="a fence in a list item ends with it"),
        pytest.param("> ```\n@all", f"> ```\n@{Z}all", id="a fence in a quote ends with it"),
        pytest.param("~~~\n```\n~~~\n@all\n```", f"~~~\n```\n~~~\n@{Z}all\n```", id="tildes and backticks"),
        pytest.param("```\n```\u00a0\n```\n@all\n```", f"```\n```\u00a0\n```\n@{Z}all\n```", id="no-break space"),
        pytest.param("``` a`b\n@all\n```", f"``` a`b\n@{Z}all\n```", id="an info with a backtick opens nothing"),
        pytest.param("```\n```\r@all\r\n```", f"```\n```\n@{Z}all\n```", id="carriage returns"),
        pytest.param("&#64;channel &commat;all", f"&#64;{Z}channel &commat;{Z}all", id="entity for the at sign"),
        pytest.param("@chan&#110;el", f"@{Z}chan&#110;el", id="entity for a letter"),
        pytest.param("a\0b", "ab", id="NUL"),
    ],
)
def test_defuse(text: str, expected: str) -> None:
    """Only what would ping a channel gets a zero-width space."""
    assert escape_channel_mentions(text) == expected


TOKENS = st.lists(
    st.sampled_from(["@channel", "@all", "@here", "@bob", "`", "```", "~~~", "\n", "\n\n", " ", "- ", "\\", "](", "x"]),
    max_size=25,
).map("".join)


@given(TOKENS)
def test_defusing_twice_changes_nothing(text: str) -> None:
    """It is idempotent, and without the zero-width spaces it is the text."""
    once = escape_channel_mentions(text)
    assert escape_channel_mentions(once) == once
    assert once.replace(Z, "") == text


@given(TOKENS.filter(lambda text: "`" not in text and "~" not in text))
def test_without_code_no_broadcast_survives(text: str) -> None:
    """Outside code nothing pings the channel."""
    assert not re.search(r"(?<![A-Za-z0-9])@(channel|all|here)(?![A-Za-z0-9_])", escape_channel_mentions(text))


@given(st.text())
def test_cleaned_text_can_be_stored(text: str) -> None:
    """No NUL, no carriage return, encodable as UTF-8."""
    cleaned = clean(text)
    assert not {"\0", "\r"} & set(cleaned)
    cleaned.encode()


def test_a_lone_surrogate_is_replaced() -> None:
    """A broken stream does not break the request."""
    assert clean("a\ud800b") == "a\ufffdb"
