import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.chunking import SERVER_LIMIT, ChunkMode, chunk
from oc_trio.core.fences import fence_after

LENGTH, NEWLINE = ChunkMode.LENGTH, ChunkMode.NEWLINE


@pytest.mark.parametrize(
    ("text", "limit", "mode", "expected"),
    [
        pytest.param("", 10, LENGTH, (), id="nothing"),
        pytest.param(" \n ", 10, LENGTH, (), id="white space"),
        pytest.param("short", 10, LENGTH, ("short",), id="fits"),
        pytest.param("one\ntwo three", 9, LENGTH, ("one", "two three"), id="at the last line break"),
        pytest.param("one two three", 9, LENGTH, ("one two", "three"), id="at the last space"),
        pytest.param("f (a b c) d", 8, LENGTH, ("f", "(a b c)", "d"), id="not inside parentheses"),
        pytest.param("abcdefghij", 4, LENGTH, ("abcd", "efgh", "ij"), id="between characters"),
        pytest.param(
            "ab👨‍👩‍👧cd", 4, LENGTH, ("ab", "👨\u200d👩\u200d", "👧cd"), id="a sequence longer than the limit is torn"
        ),
        pytest.param("abc👍🏽d", 4, LENGTH, ("abc", "👍🏽d"), id="not inside an emoji"),
        pytest.param("abce\u0301x", 4, LENGTH, ("abc", "e\u0301x"), id="not between a letter and its accent"),
        pytest.param("ab🇩🇪🇫🇷", 3, LENGTH, ("ab", "🇩🇪", "🇫🇷"), id="not inside a flag"),
        pytest.param("a\n\nb\nc\n\nd", 5, NEWLINE, ("a", "b\nc", "d"), id="paragraphs are kept whole"),
        pytest.param("a\n\nb\nc\n\nd", 6, NEWLINE, ("a\n\nb\nc", "d"), id="paragraphs fill a post"),
        pytest.param("a\n\nb\nc\n\nd", 6, LENGTH, ("a\n\nb\nc", "d"), id="lines fill a post"),
        pytest.param("long line\nhere", 10, NEWLINE, ("long line", "here"), id="a paragraph too long is cut by length"),
        pytest.param(
            "```py\none()\ntwo()\n```", 18, LENGTH, ("```py\none()\n```", "```py\ntwo()\n```"), id="fences are repaired"
        ),
        pytest.param(
            "~~~~\none()\ntwo()\n~~~~\nend",
            17,
            LENGTH,
            ("~~~~\none()\n~~~~", "~~~~\ntwo()\n~~~~", "end"),
            id="with their own marker",
        ),
        pytest.param(
            "some words\n```\na\nb\n```", 18, LENGTH, ("some words", "```\na\nb\n```"), id="a late code block moves on"
        ),
        pytest.param("```\n  a\n  b\n```", 12, LENGTH, ("```\n  a\n```", "```\n  b\n```"), id="indentation survives"),
        pytest.param(
            "```averylongone\nabc\nde", 19, LENGTH, ("```averylongone\n```", "```\nabc\nde"), id="no room for the info"
        ),
    ],
)
def test_chunk(text: str, limit: int, mode: ChunkMode, expected: tuple[str, ...]) -> None:
    """Cuts fall where a reader would put them."""
    assert chunk(text, limit, mode) == expected


def test_the_servers_limit_holds_whatever_is_configured() -> None:
    """No chunk is longer than a post may be."""
    assert [len(piece) for piece in chunk("x" * 40_000, 100_000)] == [SERVER_LIMIT, SERVER_LIMIT, 7234]


def test_endless_accents_are_cut_all_the_same() -> None:
    """One visible character may be longer than a post."""
    assert list(map(len, chunk("a" + "\u0301" * 99, 50))) == [50, 50]


def without_space(text: str) -> str:
    return "".join(text.split())


@given(st.text("ab (.)\n\u0301👍🏽🇩🇪\u200d", max_size=120), st.integers(1, 40), st.sampled_from(ChunkMode))
def test_prose_loses_nothing_but_white_space(text: str, limit: int, mode: ChunkMode) -> None:
    """Each chunk fits, none is blank, and together they are the text."""
    chunks = chunk(text, limit, mode)
    assert all(0 < len(piece) <= limit and piece.strip() for piece in chunks)
    assert without_space("".join(chunks)) == without_space(text)


@given(st.text("`~ab \n", max_size=120), st.integers(1, 60), st.sampled_from(ChunkMode))
def test_any_text_with_fences_keeps_its_words_and_its_limit(text: str, limit: int, mode: ChunkMode) -> None:
    """Fence lines may be repeated, words are neither lost nor moved."""
    chunks = chunk(text, limit, mode)
    assert all(0 < len(piece) <= limit for piece in chunks)
    words = [char for char in text if char in "ab"]
    shown = iter("".join(chunks))
    assert all(char in shown for char in words), "a word is missing"


BLOCKS = st.lists(
    st.one_of(
        st.lists(st.sampled_from(["alpha", "beta gamma", "delta, epsilon"]), min_size=1, max_size=4).map("\n".join),
        st.builds(
            lambda mark, info, lines: f"{mark}{info}\n" + "\n".join(lines) + f"\n{mark}",
            st.sampled_from(["```", "````", "~~~"]),
            st.sampled_from(["", "py"]),
            st.lists(st.sampled_from(["x = 1", "  y = 2", "", "z()"]), min_size=1, max_size=8),
        ),
    ),
    max_size=6,
)


@given(BLOCKS, st.integers(40, 80), st.sampled_from(ChunkMode))
def test_every_chunk_of_wellformed_text_is_wellformed(blocks: list[str], limit: int, mode: ChunkMode) -> None:
    """Fences are closed and reopened; modulo fence lines and white space the text is the same."""
    text = "\n\n".join(blocks)
    chunks = chunk(text, limit, mode)
    assert all(len(piece) <= limit and fence_after(piece) is None for piece in chunks)

    def words(part: str) -> str:
        return without_space(re.sub(r"^(`{3,}|~{3,}).*$", "", part, flags=re.MULTILINE))

    assert "".join(map(words, chunks)) == words(text)
