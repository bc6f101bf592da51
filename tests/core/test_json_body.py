import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.json_body import (
    MAX_DEPTH,
    BadJson,
    read_json,
    read_keeping_surrogates,
    read_lenient,
    read_lenient_object,
    read_object,
)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "not JSON"),
        (b"\xff{}", "not UTF-8"),
        (b"{'a': 1}", "not JSON"),
        (b'{"a": NaN}', "not JSON: NaN"),
        (b"[" * (MAX_DEPTH + 2) + b"]" * (MAX_DEPTH + 2), "nested too deep"),
        (b"[" * 60_000, "nested too deep|not JSON"),
        (b"[" * 30_000 + b"]" * 30_000, "nested too deep"),
        (b"9" * 60_000, "not JSON"),
        (rb'{"a": "\ud83d"}', "surrogate"),
        (rb'{"a\udc00": 1}', "surrogate"),
        (rb'{"a": "x\u0000"}', "NUL"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": -1e999}', "too large"),
    ],
    ids=[
        "empty",
        "utf-8",
        "quotes",
        "nan",
        "deep",
        "deep and open",
        "very deep",
        "long number",
        "lone surrogate",
        "lone surrogate in a key",
        "nul",
        "infinite",
        "minus infinite",
    ],
)
def test_bad_bodies(body: bytes, why: str) -> None:
    with pytest.raises(BadJson, match=why):
        read_json(body)


def test_the_deepest_accepted() -> None:
    assert read_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)


def test_an_object_is_wanted() -> None:
    assert read_object(b'{"a": [1]}') == {"a": [1]}
    with pytest.raises(BadJson, match="object"):
        read_object(b"[1]")


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(BadJson):
        read_json(body)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (rb'{"a": "\ud83d"}', {"a": "\ufffd"}),
        (rb'{"a": "\ud83d\ude00"}', {"a": "\U0001f600"}),
        (rb'{"a": "\\ud83d"}', {"a": r"\ud83d"}),
        (rb'{"a": "x\u0000y"}', {"a": "xy"}),
        (b'\xef\xbb\xbf{"a": "\xff"}', {"a": "\ufffd"}),
        ('{"\ud800": 1}', {"\ufffd": 1}),
    ],
    ids=["lone", "pair", "escaped backslash", "nul", "bom and bad utf-8", "raw in a key"],
)
def test_a_peers_json_is_mended(text: str | bytes, value: object) -> None:
    assert read_lenient(text) == value


@pytest.mark.parametrize("text", ["", "{", "NaN", "[1e999]", "[" * 500, "[" * 5000 + "]" * 5000, "9" * 60_000])
def test_a_peers_json_that_cannot_be_mended_is_refused(text: str) -> None:
    with pytest.raises(BadJson):
        read_lenient(text)


def test_a_peers_object_is_wanted() -> None:
    assert read_lenient_object("{}") == {}
    with pytest.raises(BadJson, match="object"):
        read_lenient_object("null")


@given(st.text(max_size=60) | st.binary(max_size=60))
def test_whatever_a_peer_sends_is_clean_or_refused(text: str | bytes) -> None:
    with contextlib.suppress(BadJson):
        json.dumps(read_lenient(text), ensure_ascii=False).encode()


def test_what_is_no_number_beside_an_answer() -> None:
    """Servers write NaN for probabilities; the rest of the value counts."""
    text = '{"content": "x", "logprob": NaN, "more": [Infinity, -Infinity, 1e999, 1.5]}'
    assert read_keeping_surrogates(text) == {"content": "x", "logprob": None, "more": [None, None, None, 1.5]}
