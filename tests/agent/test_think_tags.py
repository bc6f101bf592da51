"""Reasoning in tags leaves the text however the deltas are cut, and nothing else does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.agent.think_tags import ThinkSplitter
from oc_trio.core.turn_events import TextDelta, Thinking


def split(*deltas: str) -> tuple[str, str]:
    """The thoughts and the text."""
    splitter = ThinkSplitter()
    events = [event for delta in deltas for event in splitter.feed(delta)]
    events += splitter.end()
    thoughts = "".join(event.text for event in events if isinstance(event, Thinking))
    return thoughts, "".join(event.text for event in events if isinstance(event, TextDelta))


CASES = [
    pytest.param("hello", "", "hello", id="no tags"),
    pytest.param("<think>hm</think>hello", "hm", "hello", id="a thought"),
    pytest.param("\n <think>\nhm\n</think>\n\nhello", "\nhm\n", "hello", id="white space around"),
    pytest.param("<thinking>hm</thinking>hello", "hm", "hello", id="the longer tag"),
    pytest.param("<think>a</think><think>b</think>c", "ab", "c", id="two thoughts"),
    pytest.param("<think></think>c", "", "c", id="an empty thought"),
    pytest.param("say <think>x</think>", "", "say <think>x</think>", id="later tags are text"),
    pytest.param("<thin ice", "", "<thin ice", id="almost a tag"),
    pytest.param("<think>never closed", "never closed", "", id="unclosed"),
    pytest.param("<think>a </thin b</think>c", "a </thin b", "c", id="almost closed"),
    pytest.param("<thin", "", "<thin", id="the start of a tag at the end"),
    pytest.param("<Think>hm</THINK>hello", "hm", "hello", id="capitals"),
    pytest.param("< think >hm< / think >hello", "hm", "hello", id="blanks in tags"),
    pytest.param('<think a="b">hm</think>hello', "hm", "hello", id="an attribute"),
    pytest.param("<seed:think>hm</seed:think>hello", "hm", "hello", id="seed"),
    pytest.param("[THINK]hm [/THIN [/THINK]hello", "hm [/THIN ", "hello", id="square"),
    pytest.param("\u25c1think\u25b7hm\u25c1/think\u25b7hello", "hm", "hello", id="triangles"),
    pytest.param("[This](x)", "", "[This](x)", id="a link"),
    pytest.param("<thinker>hello", "", "<thinker>hello", id="another tag"),
    pytest.param("<think>a < b</think>c", "a < b", "c", id="less than"),
    pytest.param("  ", "", "", id="white space alone"),
    pytest.param("  a", "", "a", id="white space first"),
]


@pytest.mark.parametrize(("text", "thoughts", "reply"), CASES)
def test_cuts_make_no_difference(text: str, thoughts: str, reply: str) -> None:
    """Whole, character by character, and cut in two at every place."""
    assert split(text) == (thoughts, reply)
    assert split(*text) == (thoughts, reply)
    for at in range(len(text) + 1):
        assert split(text[:at], text[at:]) == (thoughts, reply)


@given(st.text(), st.text())
def test_text_without_a_leading_tag_is_untouched(one: str, two: str) -> None:
    """Only leading white space may be lost."""
    text = f"x{one}{two}"
    assert split(f"x{one}", two) == ("", text)
