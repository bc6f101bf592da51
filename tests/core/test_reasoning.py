import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.reasoning import is_reasoning_only, without_reasoning


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("An answer.", "An answer.", id="an answer"),
        pytest.param(" indented ", " indented ", id="an untouched text keeps its white space"),
        pytest.param("<think>hm</think>\n\nAnswer", "Answer", id="think"),
        pytest.param("<Thinking mode='x'>hm</THINKING>Answer", "Answer", id="any case, with attributes"),
        pytest.param("A<think>x<think>y</think>z</think>B", "AB", id="nested"),
        pytest.param("Answer<think>and then", "Answer", id="unclosed"),
        pytest.param("reasons</think>Answer", "Answer", id="a lone closing tag"),
        pytest.param("<think>```</think>Answer `x`", "Answer `x`", id="a fence within"),
        pytest.param("Write `<think>` for it", "Write `<think>` for it", id="tags in code"),
        pytest.param("```\n<think>x</think>\n```", "```\n<think>x</think>\n```", id="tags in a fence"),
        pytest.param("a < b and <b>", "a < b and <b>", id="other angle brackets"),
        pytest.param("> Reasoning:\n> because\n\nAnswer", "Answer", id="quoted reasoning"),
        pytest.param("> _Reasoning:_ because\n>\n> more\nAnswer", "Answer", id="quoted, in italics"),
        pytest.param("Answer\n\n> Thinking…\n> hm", "Answer", id="a quote behind the answer"),
        pytest.param("> A quote\n\nAnswer", "> A quote\n\nAnswer", id="other quotes stay"),
        pytest.param("```\n> Reasoning: x\n```", "```\n> Reasoning: x\n```", id="quotes in code stay"),
        pytest.param("Reasoning:\n_first_\n_then_\n\nAnswer", "Answer", id="a label with italics"),
        pytest.param("Thinking… _hm_\nAnswer", "Answer", id="a label with italics in one line"),
        pytest.param("Reasoning: it is so because", "Reasoning: it is so because", id="an answer about reasons"),
        pytest.param("Thinking about it, yes.", "Thinking about it, yes.", id="an answer that begins so"),
        pytest.param("Reasoning:\nplain", "Reasoning:\nplain", id="a label without italics"),
    ],
)
def test_without_reasoning(text: str, expected: str) -> None:
    """Reasoning goes, everything else stays."""
    assert without_reasoning(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("Hello <", "Hello", id="bracket"),
        pytest.param("Hello <thi", "Hello", id="half a name"),
        pytest.param("Hello </reas", "Hello", id="half a closing name"),
        pytest.param("a <b", "a <b", id="another name"),
        pytest.param("x <think>y", "x", id="the whole tag"),
    ],
)
def test_a_tag_that_has_just_begun_is_held_back_while_streaming(text: str, expected: str) -> None:
    """Half a tag never flashes up."""
    assert without_reasoning(text, streaming=True) == expected


@pytest.mark.parametrize(
    ("text", "only"),
    [
        ("<think>x</think>", True),
        ("> Reasoning: x", True),
        ("Reasoning:\n_x_", True),
        ("<think>x</think>y", False),
        ("answer", False),
        ("", False),
    ],
)
def test_is_reasoning_only(text: str, only: bool) -> None:
    """A text that holds nothing but reasoning makes no post; an empty one holds none."""
    assert is_reasoning_only(text) is only


PIECES = ["<think>", "</think>", "> Reasoning:", "\n", "`", "```", "_x_", "words", "<", " "]


@given(st.lists(st.sampled_from(PIECES), max_size=20))
def test_nothing_is_made_up(pieces: list[str]) -> None:
    """What is left is a selection of what was there, in its order."""
    text = "".join(pieces)
    rest = iter(text)
    assert all(char in rest for char in without_reasoning(text))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (">", ""),
        ("> Rea", ""),
        ("> thinking", ""),
        ("Yes.\n> Reas", "Yes."),
        ("> quoted", "> quoted"),
        ("> R2", "> R2"),
    ],
)
def test_a_quote_that_may_become_reasoning_is_held_back(text: str, shown: str) -> None:
    """While the text is being streamed; a whole text is taken as it is."""
    assert without_reasoning(text, streaming=True) == shown
