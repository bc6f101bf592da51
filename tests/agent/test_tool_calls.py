"""However a server writes its calls down, each is made once, and no two have the same id."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.agent.port import ToolCall
from oc_trio.agent.tool_calls import ToolCallReader, free_id

A, B = '{"q": 1}', '{"q": 2}'


def call(name: str | None = None, arguments: object = None, **more: object) -> dict[str, Any]:
    return {"function": {"name": name, "arguments": arguments}, **more}


def read(*chunks: object, taken: tuple[str, ...] = ()) -> list[tuple[str, str, Any]]:
    """Id, name and the `q` of each call; each of `chunks` is a list of entries, or one entry."""
    reader = ToolCallReader(("look", "find", "lookup"))
    for chunk in chunks:
        reader.feed(chunk if isinstance(chunk, list) else [chunk])
    return [
        (one.call.id, one.call.name, one.problem or one.call.arguments.get("q"))
        for one in reader.requested_calls(taken)
    ]


FIRST, SECOND = "call00000", "call00001"
TWO = [(FIRST, "look", 1), (SECOND, "find", 2)]
CASES = [
    pytest.param([call("look", A, index=0, id="a"), call("find", B, index=0, id="b")], TWO, id="one index for all"),
    pytest.param([[call("look", A, index=0), call("find", B, index=0)]], TWO, id="one index, no ids, one chunk"),
    pytest.param([call("look", A, index=0), call("find", B, index=0)], TWO, id="one index, no ids"),
    pytest.param([call("look", A), call("find", B)], TWO, id="nothing at all"),
    pytest.param([[call("look", A), call("find", B)]], TWO, id="nothing at all, one chunk"),
    pytest.param([[call("look", A, id=""), call("find", B, id="")]], TWO, id="empty ids"),
    pytest.param([[call("look", A, id="a"), call("find", B, id="a")]], TWO, id="the same id"),
    pytest.param([call("look", A, id="a"), call("find", B, id="a")], TWO, id="the same id, two chunks"),
    pytest.param([call("look", A, index=0, id="a"), call("find", B, index=1, id="a")], TWO, id="only numbers differ"),
    pytest.param([call("look", {"q": 1}, id="a"), call("find", {"q": 2}, id="a")], TWO, id="objects under one id"),
    pytest.param([call("look", "", index="0"), call(None, A, index="0"), call("find", B, index="1")], TWO, id="texts"),
    pytest.param(
        [call("look", ""), call("find", ""), call(None, B)],
        [(FIRST, "look", None), (SECOND, "find", 2)],
        id="whole names",
    ),
    pytest.param([call("lo", index=0, id="a"), call("ok", index=0), call(None, A, index=0)], TWO[:1], id="pieces"),
    pytest.param(
        [call("look", "", index=0, id="a"), call("look", A[:4], index=0), call("look", A[4:], index=0)],
        TWO[:1],
        id="the name in each fragment",
    ),
    pytest.param([call("look", A[:4], id="a"), call("look", A[4:], id="a")], TWO[:1], id="name and id in each"),
    pytest.param(
        [call("look", "", index=0, id="a"), call(None, A[:4], index=0, id="b"), call(None, A[4:], index=0, id="c")],
        TWO[:1],
        id="a new id with each fragment",
    ),
    pytest.param([call("look", A, index=0, id="a"), call("look", A, index=0, id="a")], TWO[:1], id="sent twice"),
    pytest.param([call("look", "{}", index=0, id="a"), call(None, A, index=0)], TWO[:1], id="announced as empty"),
    pytest.param([call("look", A + B, id="a")], [(FIRST, "look", 1), (SECOND, "look", 2)], id="glued"),
    pytest.param([call("look", f" {A}\n{B}", id="a")], [(FIRST, "look", 1), (SECOND, "look", 2)], id="glued by lines"),
    pytest.param(
        [call("look", A[:3], id="a"), call(None, A[3:] + B)], [(FIRST, "look", 1), (SECOND, "look", 2)], id="glued late"
    ),
    pytest.param([call("look", '"{\\"q\\": 1}"')], TWO[:1], id="encoded twice"),
    pytest.param([call("look", [1])], [(FIRST, "look", "The arguments must be a JSON object.")], id="a list"),
    pytest.param([call("look", "7")], [(FIRST, "look", "The arguments must be a JSON object.")], id="a number"),
    pytest.param([call("look", 7)], [(FIRST, "look", "The arguments must be a JSON object.")], id="a bare number"),
    pytest.param([call("look", '{"q')], [(FIRST, "look", "The arguments are not valid JSON: not JSON")], id="cut"),
    pytest.param([call(None, A)], [(FIRST, "unnamed_tool", "The call names no tool.")], id="no name"),
    pytest.param([{"function": None}, None, 5, {}, {"function": "x"}][:4], [], id="nothing to call"),
    pytest.param([{"name": "look", "arguments": A}], TWO[:1], id="without its wrapper"),
]


@pytest.mark.parametrize(("chunks", "expected"), CASES)
def test_each_call_is_made_once(chunks: list[object], expected: list[tuple[str, str, Any]]) -> None:
    """Names and arguments as meant; ids differ."""
    calls = read(*chunks)
    assert [one[1:] for one in calls] == [one[1:] for one in expected]
    ids = [one[0] for one in calls]
    assert all(ids)
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    "chunks",
    [
        [[call("look", "{}", index=at, id=f"c{at}") for at in range(20_000)]],
        [[call("look", "{}" * 400_000)]],
        [[call("look", '{"a": "' + "x" * 900_000 + '"}')], [call(arguments=" ", index=0) for _ in range(20_000)]],
    ],
    ids=["calls", "objects behind each other", "fragments of a whole one"],
)
def test_very_many_calls_are_read_soon_and_bounded(chunks: list[list[Any]]) -> None:
    """What grows with their square would hold the process up for minutes."""
    before = time.process_time()
    assert 1 <= len(read(*chunks)) <= 128
    assert time.process_time() - before < 4.0


def test_arguments_that_are_too_long_are_a_problem_in_words() -> None:
    """The model reads it as the result of its call."""
    reader = ToolCallReader()
    reader.feed([call("look", '{"a": "' + "x" * 1_000_000 + '"}')])
    [requested] = reader.requested_calls()
    assert requested.problem == "The arguments are longer than 1,000,000 characters."
    assert requested.call.arguments == {}


def test_ids_differ_from_those_of_the_conversation() -> None:
    """Some servers begin to count anew with each answer."""
    assert read(call("look", A, id="call_0"), taken=("call_0",))[0][0] == "call00001"
    assert free_id({"call00001"}) == "call00002"
    assert read(call("look", A, id="call_1"), taken=("call_0",))[0][0] == "call_1"


def test_halves_of_an_emoji_meet_or_are_replaced() -> None:
    """The pieces are joined before they are read."""
    reader = ToolCallReader()
    reader.feed([call("look", '{"q": "\ud83d')])
    reader.feed([call(None, '\ude00\ud83d", "r": "\\ud83d"}')])
    (requested,) = reader.requested_calls()
    assert requested.call == ToolCall(FIRST, "look", {"q": "\U0001f600\ufffd", "r": "\ufffd"})


def test_unknown_fields_stay_with_the_call() -> None:
    """They go back to the server with its result."""
    reader = ToolCallReader()
    reader.feed([{**call("look", A), "extra_content": {"google": {"thought_signature": "S"}}}])
    (requested,) = reader.requested_calls()
    assert requested.call.opaque.call == {"extra_content": {"google": {"thought_signature": "S"}}}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "a", A, "\ud83d", "{"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "index", "function", "name", "arguments", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.slow
@given(st.lists(st.lists(JSON, max_size=3), max_size=4))
def test_garbage_is_never_an_error(chunks: list[list[Any]]) -> None:
    """Whatever the entries are, ids stay apart and names are there."""
    reader = ToolCallReader()
    for chunk in chunks:
        reader.feed(chunk)
    requested_calls = reader.requested_calls()
    assert len({one.call.id for one in requested_calls}) == len(requested_calls)
    assert all(one.call.name for one in requested_calls)
