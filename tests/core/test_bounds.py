import pytest

from oc_trio.core.bounds import cut_at_chars, cut_at_posts, with_cut_note
from oc_trio.core.chunking import SERVER_LIMIT


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("short", "short", id="whole"),
        pytest.param("x" * 12, "xxxxxxxxxx\n\n_(The answer was cut off after 10 characters.)_", id="cut"),
        pytest.param(
            "```py\nabcdefg", "```py\nabcd\n```\n\n_(The answer was cut off after 10 characters.)_", id="in code"
        ),
        pytest.param(
            "<think>abcdefgh", "_(The answer was cut off after 10 characters.)_", id="amid thinking: only the sentence"
        ),
    ],
)
def test_cut_at_chars(text: str, expected: str) -> None:
    assert cut_at_chars(text, 10) == expected


def test_marked_cut_of_nothing_is_the_sentence() -> None:
    assert with_cut_note("", "5 characters") == "_(The answer was cut off after 5 characters.)_"


def test_posts_within_the_bound_stay_as_they_are() -> None:
    assert cut_at_posts(("a", "b"), 2, 2) == ("a", "b")


def test_the_last_post_says_that_there_was_more() -> None:
    assert cut_at_posts(("a", "b", "c"), 2, 30) == ("a", "b\n\n_(The answer was cut off after 30 posts.)_")


def test_a_full_last_post_makes_room_for_the_sentence() -> None:
    [text] = cut_at_posts(("word " * 3276, "more"), 1, 1)
    assert len(text) <= SERVER_LIMIT
    assert text.endswith("word\n\n_(The answer was cut off after 1 post.)_")
