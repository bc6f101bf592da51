"""A text that grows by small pieces."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.appendable_text import AppendableText
from oc_trio.core.text_pieces import TextPieces

PIECES = st.lists(st.sampled_from(["", " ", "\n", "a", "word ", "é"]), max_size=20)


@given(PIECES, st.sampled_from([1, 50]), PIECES)
def test_it_is_the_text_of_its_pieces(first: list[str], times: int, second: list[str]) -> None:
    """However many they are, and anew once it was cleared."""
    text = TextPieces()
    for pieces in (first * times, second * times):
        for piece in pieces:
            text.append(piece)
        whole = "".join(pieces)
        assert (str(text), bool(text), text.is_blank) == (whole, bool(whole), not whole.strip())
        assert text.length == len(whole)
        text.clear()


@pytest.mark.parametrize("make", [TextPieces, AppendableText])
def test_a_token_takes_little_more_than_its_text(make: type[TextPieces | AppendableText]) -> None:
    """A list of them would take ten times as much, for each of the answers that stream at the same time."""
    tracemalloc.start()
    try:
        text, before = make(), tracemalloc.get_traced_memory()[0]
        for number in range(10_000):
            if isinstance(text, AppendableText):
                text = text + f"w{number} "
            else:
                text.append(f"w{number} ")
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert taken < 2 * len(str(text))
