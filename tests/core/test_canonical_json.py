import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.canonical_json import MAX_DEPTH, canonical_json, codepoint_json, js_number, python_json

VECTORS = json.loads((Path(__file__).parent / "data" / "canonical_json_vectors.json").read_text("utf-8"))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("vector", VECTORS["contexts"], ids=lambda vector: vector["token"][:8])
def test_spells_as_the_original_does(vector: dict[str, Any]) -> None:
    assert canonical_json(vector["context"]) == vector["text"]


@pytest.mark.parametrize(("number", "text"), VECTORS["numbers"], ids=[text for _, text in VECTORS["numbers"]])
def test_numbers_print_as_javascript_prints_them(number: float, text: str) -> None:
    assert js_number(number) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (-0.0, "0"),
        (10**21, "1e+21"),
        (2**53 + 1, "9007199254740992"),
        (10**400, "null"),
        (math.inf, "null"),
        (math.nan, "null"),
        (-12.5, "-12.5"),
    ],
    ids=str,
)
def test_numbers_that_json_files_cannot_hold(number: float, text: str) -> None:
    assert js_number(number) == text


def test_array_indices_come_first_in_numeric_order() -> None:
    value = {"_x": 1, "10": 2, "2": 3, "01": 4, "4294967295": 5, "4294967294": 6}
    assert list(json.loads(canonical_json(value))) == ["2", "10", "4294967294", "_x", "01", "4294967295"]


def test_lone_surrogates_are_escaped_and_others_are_not() -> None:
    assert canonical_json("\ud800é😀\u001f") == '"\\ud800é😀\\u001f"'


def test_python_spelling_is_the_documented_samples() -> None:
    assert python_json({"b": "é", "B": [1, 2]}) == '{"B":[1,2],"b":"\\u00e9"}'


def test_codepoint_spelling_puts_upper_case_first() -> None:
    assert codepoint_json({"b": 1, "B": 2, "_": 3}) == '{"B":2,"_":3,"b":1}'


def test_too_deep_is_refused() -> None:
    value: Any = 1
    for _ in range(MAX_DEPTH + 1):
        value = [value]
    with pytest.raises(ValueError, match="nested deeper"):
        canonical_json(value)


@pytest.mark.parametrize("value", [{1: 2}, {"a": object()}, {"a": {1, 2}}], ids=["key", "object", "set"])
def test_what_json_has_not_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        canonical_json(value)


@pytest.mark.slow
@given(JSON)
def test_the_spelling_reads_back_as_the_value(value: Any) -> None:
    assert json.loads(canonical_json(value), parse_int=float) == value


@given(st.dictionaries(st.text(max_size=4), st.integers(0, 9), max_size=6))
def test_insertion_order_does_not_matter(value: dict[str, int]) -> None:
    assert canonical_json(dict(reversed(value.items()))) == canonical_json(value)
