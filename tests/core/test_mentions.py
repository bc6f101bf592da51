"""Who a text speaks to."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.events import Post
from oc_trio.core.mentions import (
    agent_text,
    is_blank,
    is_mentioned,
    is_mentioned_in,
    strip_mention,
    strip_prefix,
)
from oc_trio.ids import ChannelId, PostId, UserId

MENTIONS = ["@bot", "@bot hi", "hi @bot", "@BOT!", "hey @bot.", "@bot: do", "@bot, do", "(@bot)", '"@bot"', "@bot_"]
MENTIONS += [
    "> @bot",
    "**@bot**",
    "*@bot*",
    "line\n@bot",
    "done.@bot",
    "-@bot",
    "`code` @bot",
    "@bot…",
    "@bot's",
    "~@bot",
]
SILENCE = ["bot", "@bot12", "@bot-two", "@bot_2", "@bot.x", "@bot:x", "me@bot", "me@bot.example", "`@bot`", "@ bot"]
SILENCE += ["```\n@bot\n```", "    @bot", "@channel", "@all", "@here", "", "@", "@bo", ":@bot:", "@@bot", "~~~\n@bot"]
SILENCE += ["https://medium.example/@bot", "[him](/@bot)", "a `b @bot` c", "@bot@bot", "@bótbot"]


@pytest.mark.parametrize("text", MENTIONS)
def test_mentions(text: str) -> None:
    """These name the bot."""
    assert is_mentioned(text, "bot")


@pytest.mark.parametrize("text", SILENCE)
def test_no_mentions(text: str) -> None:
    """These do not."""
    assert not is_mentioned(text, "bot")


@pytest.mark.parametrize(
    ("text", "username", "expected"),
    [
        pytest.param("@my-bot.v2 hi", "my-bot.v2", True, id="a-name-with-dots-and-dashes"),
        pytest.param("@my-bot.v2.", "my-bot.v2", True, id="then-a-full-stop"),
        pytest.param("@my-bot.v2", "my-bot", False, id="its-beginning-is-another-name"),
        pytest.param("@my-bot", "My-Bot", True, id="the-name-in-any-case"),
        pytest.param("@", "", False, id="no-name"),
    ],
)
def test_names(text: str, username: str, expected: bool) -> None:
    """User names may hold dots, dashes and underscores."""
    assert is_mentioned(text, username) is expected


@pytest.mark.parametrize(
    ("props", "expected"),
    [
        pytest.param({}, False, id="none"),
        pytest.param({"attachments": [{"text": "ask @bot"}]}, True, id="text"),
        pytest.param({"attachments": [{"pretext": "@bot"}]}, True, id="pretext"),
        pytest.param({"attachments": [{"fields": [{"value": "@bot"}, {"value": 7}, None]}]}, True, id="field"),
        pytest.param({"attachments": [{"title": "@bot"}]}, False, id="title"),
        pytest.param({"attachments": [{"text": "`@bot`"}]}, False, id="code"),
        pytest.param({"attachments": "@bot"}, False, id="no-list"),
        pytest.param({"attachments": [None, {"text": None, "fields": {}}]}, False, id="odd"),
    ],
)
def test_attachments(props: dict[str, Any], expected: bool) -> None:
    """Attachments speak as well."""
    post = Post(PostId("p"), ChannelId("c"), UserId("u"), message="hi", props=props)
    assert is_mentioned_in(post, "bot") is expected


@pytest.mark.parametrize(
    ("text", "stripped"),
    [
        pytest.param("@bot hi", "hi", id="leading"),
        pytest.param("@bot: hi", "hi", id="leading-colon"),
        pytest.param("@bot, hi", "hi", id="leading-comma"),
        pytest.param("hi @bot", "hi", id="trailing"),
        pytest.param("hi @bot, do", "hi, do", id="inline-comma"),
        pytest.param("hey @bot do", "hey do", id="inline"),
        pytest.param("@bot @BOT x", "x", id="twice"),
        pytest.param("> @bot hi", "> hi", id="quote"),
        pytest.param("# @bot title\n- a\n  - b", "# title\n- a\n  - b", id="heading-and-list"),
        pytest.param("   @bot x", "   x", id="indentation"),
        pytest.param("@bot\n\nhello\n\n", "hello", id="lines-of-its-own"),
        pytest.param("a\n@bot\nb", "a\n\nb", id="a-line-inside"),
        pytest.param("@bot\n```\n@bot  x\n```", "```\n@bot  x\n```", id="fence-stays"),
        pytest.param("`@bot` or @bot", "`@bot` or", id="span-stays"),
        pytest.param("@bot see\n\n    x = 1", "see\n\n    x = 1", id="indented-code-stays"),
        pytest.param("no  name  here \n", "no  name  here \n", id="untouched"),
        pytest.param("@bot", "", id="bare"),
    ],
)
def test_strip_mention(text: str, stripped: str) -> None:
    """The name goes, the text and its form stay."""
    assert strip_mention(text, "bot") == stripped


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("@bot do it", "do it", id="text"),
        pytest.param(" @bot ", "@bot", id="bare-mention-stays"),
        pytest.param("\u200b\u0301 \n", "", id="nothing-visible"),
        pytest.param("", "", id="empty"),
    ],
)
def test_agent_text(text: str, expected: str) -> None:
    """A bare mention reaches the agent as it is, an invisible text does not."""
    assert agent_text(text, "bot") == expected


@pytest.mark.parametrize(
    ("text", "rest"),
    [(">hi", "hi"), ("> hi", "hi"), ("  ! go", "go"), ("hi", None), ("", None), (">", ""), ("hi >", None)],
)
def test_strip_prefix(text: str, rest: str | None) -> None:
    """A prefix at the beginning goes with the blanks after it."""
    assert strip_prefix(text, (">", "!", "")) == rest


PIECES = st.lists(
    st.sampled_from(["@bot", "@BOT", "bot", " ", "\n", "`", ".", ":", "x", "-", "@", "> ", "_", ","]), max_size=14
)


@given(PIECES)
def test_stripping_leaves_no_new_text(pieces: list[str]) -> None:
    """Stripping only takes away: what is left is a subsequence of what was there."""
    text = "".join(pieces)
    remaining = iter(text)
    assert all(char in remaining for char in strip_mention(text, "bot"))


@given(st.text())
def test_blank_texts_have_no_letters(text: str) -> None:
    """A blank text holds nothing that could be read."""
    assert not (is_blank(text) and any(char.isalnum() for char in text))


@pytest.mark.parametrize("piece", ["](", "@bot", "@bot.", "<:", "@bot\n", "\n@bot", "http://@bot"])
def test_hard_texts_take_no_time(piece: str) -> None:
    """The longest post there can be is judged in a blink, however it is built: it is done several times a message."""
    text = (piece * 16383)[:16370] + " @bot @bot"
    began = time.process_time()
    is_mentioned(text, "bot")
    strip_mention(text, "bot")
    assert time.process_time() - began < 0.5
