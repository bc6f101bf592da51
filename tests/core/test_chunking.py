import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.chunking import SERVER_LIMIT, ChunkMode, chunk
from oc_trio.core.code_fences import fence_after
from oc_trio.core.tables import header_after, is_row

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
        pytest.param(
            "one\n\n## Two\n\nthree", 13, LENGTH, ("one", "## Two\n\nthree"), id="a heading goes with its text"
        ),
        pytest.param("one\n\n## Two\n\nthree", 13, NEWLINE, ("one", "## Two\n\nthree"), id="and with its paragraph"),
        pytest.param("a\n# B\n## C\nd", 11, LENGTH, ("a", "# B\n## C\nd"), id="two headings"),
        pytest.param("# A\nbcd", 6, LENGTH, ("# A", "bcd"), id="a heading with nothing above it"),
        pytest.param("```\na\n# b\nc\n```", 13, LENGTH, ("```\na\n# b\n```", "```\nc\n```"), id="no heading in code"),
        pytest.param("a\n#b\nc", 5, LENGTH, ("a\n#b", "c"), id="no heading without a blank"),
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


HEAD = "| name | n |\n|------|---|"


def test_a_long_table_has_its_header_in_every_post() -> None:
    """Each further post of an answer of 120 rows begins with the header rows; the rows are all there, once."""
    rows = [f"| row {number} | {number} |" for number in range(120)]
    chunks = chunk("\n".join(["Here it is:", "", HEAD, *rows, "", "That was it."]), 500)
    assert len(chunks) > 4
    assert all(piece.startswith(f"{HEAD}\n| row ") for piece in chunks[1:])
    assert [line for piece in chunks for line in piece.split("\n") if line.startswith("| row")] == rows
    assert all(len(piece) <= 500 for piece in chunks)


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        pytest.param(
            f"some words above\n{HEAD}\n| a | 1 |",
            50,
            ("some words above", f"{HEAD}\n| a | 1 |"),
            id="header-with-a-row",
        ),
        pytest.param(
            f"some words above\n{HEAD}\n| a | 1 |", 40, ("some words above", f"{HEAD}\n| a | 1 |"), id="header-whole"
        ),
        pytest.param(f"{HEAD}\n| a | 1 |\n\nafter", 40, (f"{HEAD}\n| a | 1 |", "after"), id="the-table-is-over"),
        pytest.param(f"{HEAD}\n| a | 1 |\nafter", 40, (f"{HEAD}\n| a | 1 |", "after"), id="over-without-a-blank-line"),
        pytest.param(
            f"```\n{HEAD}\n| a | 1 |\n| b | 2 |\n```",
            46,
            (f"```\n{HEAD}\n| a | 1 |\n```", "```\n| b | 2 |\n```"),
            id="code-is-no-table",
        ),
        pytest.param(
            f"{HEAD}\n| a | 1 |\n| b | 2 |", 40, (f"{HEAD}\n| a | 1 |", "| b | 2 |"), id="no-header-worth-half-a-post"
        ),
        pytest.param(
            f"{HEAD}\n| {'word ' * 12}| 1 |\n| b | 2 |",
            60,
            (
                f"{HEAD}\n| word word word word word word",
                "word word word word word word | 1 |",
                f"{HEAD}\n| b | 2 |",
            ),
            id="a-torn-row-goes-on-without-and-the-next-has-it",
        ),
    ],
)
def test_cuts_of_tables(text: str, limit: int, expected: tuple[str, ...]) -> None:
    """A table that goes on begins with its header rows, and nothing else does."""
    assert chunk(text, limit) == expected


TABLES = st.lists(
    st.one_of(
        st.sampled_from(["words", "a | b", "| no | table |", "---|---", "```\n|a|\n|-|\n|b|\n```"]),
        st.lists(st.sampled_from(["|x|y|", "| long cell | z |", "| ||"]), max_size=9).map(
            lambda rows: "\n".join(["| h | i |", "|---|:-:|", *rows])
        ),
    ),
    max_size=5,
).map("\n\n".join)


@given(TABLES, st.integers(48, 90), st.sampled_from(ChunkMode))
def test_a_row_stands_below_a_header_wherever_the_cut_falls(text: str, limit: int, mode: ChunkMode) -> None:
    """Chunks keep the limit, a table's rows are in a table in each of them, and no row is lost, moved or doubled."""
    chunks = chunk(text, limit, mode)
    assert all(len(piece) <= limit for piece in chunks)

    def rows(part: str) -> list[str]:
        lines = part.split("\n")
        above = ["\n".join(lines[:at]) for at in range(len(lines))]
        return [
            line
            for line, before in zip(lines, above)
            if header_after(before) and is_row(line) and not fence_after(before)
        ]

    assert [row for piece in chunks for row in rows(piece)] == rows(text)
