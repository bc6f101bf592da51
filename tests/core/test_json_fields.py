"""Typed reading of foreign JSON."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.json_body import MAX_DEPTH_LENIENT as MAX_DEPTH
from oc_trio.core.json_fields import Fields, parse_json
from oc_trio.core.text import clean_value
from oc_trio.errors import PayloadError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("{", id="cut"),
        pytest.param("NaN", id="nan"),
        pytest.param("[-Infinity]", id="infinity"),
        pytest.param("[" * 100_000, id="deep-open"),
        pytest.param("[" * 5000 + "]" * 5000, id="deep-closed"),
        pytest.param('{"a":' * (MAX_DEPTH + 1) + "1" + "}" * (MAX_DEPTH + 1), id="one-too-deep"),
        pytest.param("9" * 5000, id="giant-number"),
    ],
)
def test_bad_json_is_refused(text: str) -> None:
    """Unreadable, bottomless and giant texts are payload errors."""
    with pytest.raises(PayloadError, match="thing"):
        parse_json(text, "thing")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param(r'"\ud800"', "\ufffd", id="lone-high"),
        pytest.param(r'"\uDC00x"', "\ufffdx", id="lone-low"),
        pytest.param(r'"\ud83d\ude00"', "\U0001f600", id="pair"),
        pytest.param(r'"\ud800\ud83d\ude00"', "\ufffd\U0001f600", id="lone-before-pair"),
        pytest.param(r'"\\ud800"', r"\ud800", id="escaped-backslash"),
        pytest.param('"\ud800"', "\ufffd", id="raw"),
        pytest.param('"' + "[" * 500 + '"', "[" * 500, id="brackets-in-a-string-are-not-depth"),
    ],
)
def test_surrogates_are_mended(text: str, value: str) -> None:
    """Lone surrogates become U+FFFD, everything else stays to the letter."""
    assert parse_json(text, "thing") == value


@pytest.mark.slow
@given(JSON)
def test_proper_json_is_read_as_it_is(value: object) -> None:
    """What json.dumps writes is read back equal, NUL apart."""
    assert parse_json(json.dumps(value), "thing") == clean_value(value)


@given(st.lists(st.sampled_from([r"\ud800", r"\uDFFF", r"\ud83d\ude00", r"\\", r"\"", "u", "\udc00", "é"])))
def test_what_is_read_can_be_encoded(pieces: list[str]) -> None:
    """Nothing that comes out holds a surrogate."""
    read = parse_json('"' + "".join(pieces) + '"', "thing")
    assert read.encode("utf-8") or not pieces


@pytest.mark.parametrize(
    ("read", "complaint"),
    [
        pytest.param(lambda f: f.text("number"), "thing.number is not a string", id="text"),
        pytest.param(lambda f: f.need("empty"), "thing has no empty", id="need-empty"),
        pytest.param(lambda f: f.need("null"), "thing has no null", id="need-null"),
        pytest.param(lambda f: f.number("text"), "thing.text is not an integer", id="number"),
        pytest.param(lambda f: f.number("true"), "thing.true is not an integer", id="boolean-is-no-number"),
        pytest.param(lambda f: f.number("huge"), "thing.huge is not within 64 bits", id="huge"),
        pytest.param(lambda f: f.flag("number"), "thing.number is not a boolean", id="flag"),
        pytest.param(lambda f: f.texts("mixed"), "thing.mixed is not a list of strings", id="texts"),
        pytest.param(lambda f: f.texts("number"), "thing.number is not a list of strings", id="texts-number"),
        pytest.param(lambda f: f.texts("text"), "thing.text is not JSON", id="texts-broken-string"),
        pytest.param(lambda f: f.items("text"), "thing.text is not a list", id="items"),
        pytest.param(lambda f: f.object("mixed"), "thing.mixed is not an object", id="object"),
        pytest.param(lambda f: f.object("text"), "thing.text is not JSON", id="object-broken-string"),
    ],
)
def test_wrong_types_are_named(read: object, complaint: str) -> None:
    """A field of the wrong type is refused by name."""
    fields = Fields.of(
        {"number": 1, "empty": "", "null": None, "text": "x", "true": True, "huge": 2**63, "mixed": ["a", 1]}, "thing"
    )
    assert callable(read)
    with pytest.raises(PayloadError) as caught:
        read(fields)
    assert str(caught.value) == complaint


def test_null_is_absent() -> None:
    """Null and absence both give the default."""
    fields = Fields.of({"a": None}, "thing")
    assert (fields.text("a", "d"), fields.number("b", 7), fields.flag("a"), fields.texts("a"), fields.items("b")) == (
        "d",
        7,
        False,
        (),
        (),
    )
    assert fields.object("a").data == {}
    assert not fields.has("a")


def test_wrapped_values_are_opened() -> None:
    """Objects and lists that come as JSON strings are read like plain ones."""
    fields = Fields.of({"list": '["a"]', "object": '{"k":"v"}', "plain": ["b"], "items": [1]}, "thing")
    assert fields.texts("list") == ("a",)
    assert fields.texts("plain") == ("b",)
    assert fields.items("items") == (1,)
    assert fields.object("object").need("k") == "v"


def test_only_objects_have_fields() -> None:
    """A list where an object belongs is refused."""
    with pytest.raises(PayloadError, match="post is not an object"):
        Fields.of([], "post")
