import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.json_body import MAX_DEPTH, BadJson, read_json, read_object


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "not JSON"),
        (b"\xff{}", "not UTF-8"),
        (b"{'a': 1}", "not JSON"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b"[" * (MAX_DEPTH + 2) + b"]" * (MAX_DEPTH + 2), "nested too deep"),
        (b"[" * 60_000, "nested too deep|not JSON"),
        (b"[" * 30_000 + b"]" * 30_000, "nested too deep"),
        (b"9" * 60_000, "not JSON"),
    ],
    ids=["empty", "utf-8", "quotes", "nan", "deep", "deep and open", "very deep", "long number"],
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
