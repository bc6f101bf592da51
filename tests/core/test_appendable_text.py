from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.appendable_text import AppendableText


@given(st.lists(st.text(max_size=4)), st.lists(st.text(max_size=4)), st.integers(0, 5))
def test_every_value_keeps_its_text(one: list[str], two: list[str], at: int) -> None:
    """Whatever is appended to it, or to a value that it grew out of."""
    made, texts = [AppendableText()], [""]
    for piece in one:
        made.append(made[-1] + piece)
        texts.append(texts[-1] + piece)
    branch = min(at, len(made) - 1)
    other, text = made[branch], texts[branch]
    for piece in two:
        other, text = other + piece, text + piece
    assert str(other) == text
    assert [str(value) for value in made] == texts
    assert [value.length for value in made] == [len(text) for text in texts]
    assert [value.has_words for value in made] == [bool(text.strip()) for text in texts]
    assert AppendableText(text) == other
