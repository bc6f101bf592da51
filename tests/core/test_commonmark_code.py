"""Where the code is in a text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.commonmark_code import blank_code, commonmark_code_ranges


@pytest.mark.parametrize(
    ("text", "code"),
    [
        pytest.param("plain", [], id="none"),
        pytest.param("a `b` c", ["`b`"], id="span"),
        pytest.param("a ``b ` c`` d", ["``b ` c``"], id="double-ticks"),
        pytest.param("a `b\nc` d", ["`b\nc`"], id="span-over-lines"),
        pytest.param("a `b\n\nc` d", [], id="no-span-over-a-blank-line"),
        pytest.param("a `b c", [], id="unclosed-span"),
        pytest.param(r"a \`b` c", [], id="escaped"),
        pytest.param("`a` x `b`", ["`a`", "`b`"], id="two-spans"),
        pytest.param("x\n```\na\n```\ny", ["```\na\n```\n"], id="fence"),
        pytest.param("```py\na\n", ["```py\na\n"], id="unclosed-fence"),
        pytest.param("~~~\n```\n~~~\nx", ["~~~\n```\n~~~\n"], id="tildes"),
        pytest.param("````\n```\n````\nx", ["````\n```\n````\n"], id="longer-fence"),
        pytest.param("```\na\n``` x\n```\ny", ["```\na\n``` x\n```\n"], id="a-closing-fence-has-no-info"),
        pytest.param("```a```", ["```a```"], id="one-line-is-a-span"),
        pytest.param("> ```\n> a\n> ```\nx", ["> ```\n> a\n> ```\n"], id="fence-in-quote"),
        pytest.param("- a\n    ```\n    b\n    ```\n", ["    ```\n    b\n    ```\n"], id="fence-in-list"),
        pytest.param("a\n\n    b\n    c\nd", ["    b\n", "    c\n"], id="indented"),
        pytest.param("a\n    b", [], id="a-paragraph-goes-on"),
        pytest.param("- a\n\n    b", [], id="a-list-item-goes-on"),
        pytest.param("- a\nplain\n\nend\n\n    b", ["    b"], id="a-list-is-over"),
    ],
)
def test_code_ranges(text: str, code: list[str]) -> None:
    """Fences, indented blocks and spans are found, and nothing that looks like them."""
    assert [text[start:end] for start, end in commonmark_code_ranges(text)] == code


@given(st.text(alphabet="`~> -\n\tab\\", max_size=60))
def test_blanking_keeps_the_shape(text: str) -> None:
    """Ranges ascend without touching each other's inside; blanking keeps the length and the line breaks."""
    ranges = commonmark_code_ranges(text)
    edges = [edge for pair in ranges for edge in pair]
    assert edges == sorted(edges)
    blanked = blank_code(text)
    assert len(blanked) == len(text)
    assert [i for i, char in enumerate(blanked) if char == "\n"] == [i for i, char in enumerate(text) if char == "\n"]


@pytest.mark.parametrize("piece", ["> ", "`", "` ", "`a``", "\\`", "- ", "\n    ", "> `"])
def test_long_texts_are_read_in_no_time(piece: str) -> None:
    """A post of 16,383 characters built to be hard is read like any other."""
    text = (piece * 16383)[:16383]
    assert len(blank_code(text)) == 16383
