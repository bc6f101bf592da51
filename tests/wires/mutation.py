"""Structure-aware mutation of recorded answers, for the gate (`test_wires`) and for `scripts/fuzz/wires.py`.

A recorded value is changed in one to three places (replaced by something odd, left out, repeated, wrapped, renamed),
written as JSON, and now and then its bytes are damaged too.
"""

import copy
import json
from typing import Any

from hypothesis import strategies as st

_DEEP = json.loads("[" * 200 + "]" * 200)
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 2**53, 10**30, -(10**30), float("inf"), float("nan")),
    *("", " ", "\0", "a\0b", "\ud83d", "\ude00 x", "\ud83d\ude00", "\ufeff", "\x1b[2J", "x" * 5_000, "1e999", "null"),
    *("http://[", "[[[", '{"a":', '{"a": "\\ud800"}', "</think>", "<think>", "@channel"),
    *([], {}, [None], [[]], [{}], {"": ""}, {"\ud800": "\0"}, {"0": {"delta": {"content": "x"}}}, _DEEP),
)
_DAMAGE = (b"\xff", b"\xed\xa0\x80", b"\0", b"\\ud800", b"\\u0000", b"\r", b"\n\n", b"}", b'"', b"[" * 2_000, b"NaN")


def places_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [path, *(place for key, item in inner for place in places_in(item, (*path, key)))]


@st.composite
def mutated(draw: st.DrawFn, recorded: Any) -> Any:
    """`recorded` (a JSON value) with one to three changes."""
    value = copy.deepcopy(recorded)
    for _ in range(draw(st.integers(1, 3))):
        value = _changed(draw, value)
    return value


def _changed(draw: st.DrawFn, value: Any) -> Any:
    *way, last = draw(st.sampled_from([place for place in places_in(value) if place] or [(None,)]))
    if last is None:
        return copy.deepcopy(draw(st.sampled_from(ODD)))  # the next change is made in it
    holder = value
    for key in way:
        holder = holder[key]
    change = draw(st.sampled_from(("replace", "replace", "replace", "drop", "repeat", "wrap", "unwrap", "rename")))
    old = holder[last]
    match change:
        case "drop":
            del holder[last]
        case "repeat" if isinstance(holder, list):
            holder.insert(last, copy.deepcopy(old))
        case "wrap":
            holder[last] = [old]
        case "unwrap" if isinstance(old, list) and old:
            holder[last] = old[0]
        case "rename" if isinstance(holder, dict):
            holder[str(draw(st.sampled_from(("x", "\ud83d", "\0", "type", "id", "content"))))] = holder.pop(last)
        case _:
            holder[last] = copy.deepcopy(draw(st.sampled_from(ODD)))
    return value


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """`data`, as it is most of the time, else cut, repeated or with foreign bytes in it."""
    change = draw(st.sampled_from(("none", "none", "none", "cut", "insert", "twice")))
    if change == "none" or not data:
        return data
    at = draw(st.integers(0, len(data)))
    match change:
        case "cut":
            return data[:at]
        case "twice":
            return data[:at] + data
        case _:
            return data[:at] + draw(st.sampled_from(_DAMAGE)) + data[at:]


def written(value: Any, *, ascii_only: bool = True) -> bytes:
    """JSON, lone surrogates as escapes or as the bytes that they would be, NaN and Infinity as Python spells them."""
    return json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")


@st.composite
def bodies(draw: st.DrawFn, *recorded: Any) -> bytes:
    """One of the recorded values, mutated and written, its bytes perhaps damaged."""
    value = draw(st.sampled_from(recorded).flatmap(mutated))
    return draw(damaged(written(value, ascii_only=draw(st.booleans()))))


@st.composite
def chunked(draw: st.DrawFn, data: bytes) -> tuple[bytes, ...]:
    """`data` in pieces, as a network cuts it."""
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=4)))
    return tuple(data[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(data)]))
