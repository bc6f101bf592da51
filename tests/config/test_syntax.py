"""Broken syntax is shown by place, in both languages."""

import pytest

from oc_trio.config.syntax import decode_json5, decode_toml
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
        ("{ a: ", "ends too early"),
        ("", "f: not valid JSON5"),
        ("[1]", "must be an object at the top"),
        ("{a:" * 100 + "1" + "}" * 100, "nested too deeply"),
    ],
    ids=["value missing", "colon missing", "cut off", "empty", "list", "deep"],
)
def test_broken_json5(text: str, words: str) -> None:
    """The decoder's own words are never passed on, the place is."""
    with pytest.raises(ConfigError) as caught:
        decode_json5(text, "f")
    assert words in str(caught.value)


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
