"""Broken syntax is shown by place, in both languages."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.config.syntax import decode_json5, decode_json5_value, decode_toml
from oc_trio.errors import ConfigError


def test_json5_reads_what_openclaw_writes() -> None:
    """Comments, bare keys, single quotes and trailing commas."""
    assert decode_json5("{ // c\n a: 'x', /* d */ b: [1, 2,], }", "f") == {"a": "x", "b": [1, 2]}


def test_toml_1_1_is_read() -> None:
    """Inline tables may span lines."""
    assert decode_toml("a = {\n  b = 1,\n}", "f") == {"a": {"b": 1}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{ a: }", "f:1:6: not valid JSON5"),
        ("{ a: 1,\n b 2 }", "f:2:"),
        ("{ a: ", "f:1:1: not valid JSON5: the file ends too early: this { is never closed"),
        ("{\n a: [1, {\n", "f:2:9: not valid JSON5: the file ends too early: this { is never closed"),
        ("", "f:1:1: not valid JSON5: the file is empty"),
        ('{\n token: "s3cret"\n url: 1 }', "f:3:2: not valid JSON5: a comma is missing before `url`"),
        ('{\n "s3 cret" 1 }', "f:2:12: not valid JSON5: a colon is missing after this key"),
        ("[ 1\n 2 ]", "f:2:2: not valid JSON5: a comma is missing before this"),
        ('{ a: "x,\n b: "y" }', "f:1:6: not valid JSON5: the text that begins here has no closing quote on its line"),
        ("{\n /* c }", "f:2:2: not valid JSON5: the comment that begins here has no end (*/)"),
        ("{ a: [1,\n 2 }", "f:2:4: not valid JSON5: } does not close the [ of line 1"),
        (
            "{ a: s3cret }",
            "f:1:6: not valid JSON5: a text needs quotes; without them only numbers, true, false and null",
        ),
        ("{ a: \u201cs3cret\u201d }", 'f:1:6: not valid JSON5: \u201c is a typographic quote: write " instead'),
        (
            "{ a-b: 1 }",
            "f:1:3: not valid JSON5: here a key has to stand; with other characters than a-z it needs quotes",
        ),
        ("{ a: 1 } }", "f:1:10: not valid JSON5: something follows after the end"),
        ('{ a: "\\u00zz" }', "f:1:"),
        ("[1]", "must be an object at the top"),
        ("{a:" * 100 + "1" + "}" * 100, "nested too deeply"),
    ],
    ids=[
        "value missing",
        "colon missing",
        "cut off",
        "cut off inside",
        "empty",
        "comma before a key",
        "colon after a quoted key",
        "comma in a list",
        "text without an end",
        "comment without an end",
        "other bracket",
        "text without quotes",
        "typographic quotes",
        "key without quotes",
        "bracket too many",
        "escape",
        "list",
        "deep",
    ],
)
def test_broken_json5(text: str, words: str) -> None:
    """The decoder's own words are never passed on, the place is."""
    with pytest.raises(ConfigError) as caught:
        decode_json5(text, "f")
    assert words in str(caught.value)
    assert "s3cret" not in str(caught.value)


@given(st.text("{}[]:,\"'\\ab1./*\n ", max_size=40))
def test_any_text_is_json5_or_refused(text: str) -> None:
    """What the decoder refuses is refused in words, whatever it is; nothing else is raised."""
    with contextlib.suppress(ConfigError):
        decode_json5_value(text, "f")


@pytest.mark.parametrize(("text", "place"), [("a = \n", "f:1:5"), ("a = 1\na = 2", "f:2:"), ("[x\n", "f:1:")])
def test_broken_toml(text: str, place: str) -> None:
    """File, line and column."""
    with pytest.raises(ConfigError) as caught:
        decode_toml(text, "f")
    assert str(caught.value).startswith(place)


def test_deep_toml() -> None:
    """Nesting beyond reason is refused in words."""
    with pytest.raises(ConfigError):
        decode_toml("a = " + "[" * 5000 + "]" * 5000, "f")
