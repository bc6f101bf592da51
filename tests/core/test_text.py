"""Text from outside is cleaned once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.text import clean, clean_value, is_clean

ANY_TEXT = st.text(st.characters() | st.sampled_from("\0\ud800\udbff\udc00\udfff"))


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("plain", "plain"),
        ("half \ud83d of it", "half \ufffd of it"),
        ("\ud83d\ude00", "\ufffd\ufffd"),
        ("N\0UL", "NUL"),
        ("\U0001f600", "\U0001f600"),
    ],
)
def test_surrogates_and_nul(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


def test_a_value_is_cleaned_through_and_through() -> None:
    assert clean_value({"a\0": ["\ud800", 1, None, {"b": "\udfff"}]}) == {"a": ["\ufffd", 1, None, {"b": "\ufffd"}]}


@given(ANY_TEXT)
def test_clean_text_can_be_written_and_stays(text: str) -> None:
    cleaned = clean(text)
    cleaned.encode()
    assert is_clean(cleaned)
    assert clean(cleaned) == cleaned
