"""Whatever a completions server sends is read, ignored, or fails the turn with a sentence."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oc_trio.agent.failures import BROKEN, OVERLOADED
from oc_trio.agent.openai_reading import CompletionReader
from oc_trio.agent.port import ToolResult
from oc_trio.core.turn_events import Failed, Final, TextDelta, Usage
from oc_trio.errors import AgentError
from tests.agent.model_server import Reply, Tools, serve_model, sse
from tests.agent.test_openai import ask, delta, turn

VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    10**30,
    1.5,
    "",
    "text",
    "\ud83d",
    [],
    [None],
    {},
    {"a": 1},
    [{"text": 5}],
    {"error": 1},
)
CHUNK = {
    "model": "m",
    "choices": [
        {
            "index": 0,
            "delta": {
                "content": "x",
                "reasoning_content": "y",
                "tool_calls": [{"index": 0, "id": "a", "function": {"name": "look", "arguments": "{}"}}],
            },
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1},
}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, one in inner for found in places(one, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


@pytest.mark.parametrize("path", places(CHUNK), ids=lambda path: ".".join(map(str, path)))
async def test_any_value_in_any_place_is_read_or_fails_in_words(path: tuple[Any, ...]) -> None:
    """Only an agent's own errors come out, and what comes out is clean."""
    async with serve_model() as server:
        for value in VALUES:
            bad = json.dumps(replaced(CHUNK, path, value)).encode()
            body = b"data: " + bad + b"\n\n" + sse(delta("after"), delta(None, "stop"))
            server.replies = [Reply(body=body), Reply(body=sse(delta("done"), delta(None, "stop")))]
            try:
                events = await ask(server, turn(tools=Tools(ToolResult("r"), ToolResult("r"), ToolResult("r"))))
            except AgentError:
                continue
            assert isinstance(events[-1], Final | Failed)
            repr(events).encode()
            "".join(event.text for event in events if isinstance(event, TextDelta)).encode()


KEYS = ("choices", "delta", "message", "content", "tool_calls", "usage", "index", "model", "x", "text", "finish_reason")
JSON = st.recursive(
    st.sampled_from([value for value in VALUES if not isinstance(value, dict | list)]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=15,
)


@pytest.mark.slow
@settings(deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(KEYS), JSON), max_size=4))
def test_garbage_is_never_an_error(chunks: list[dict[str, Any]]) -> None:
    """The text of an answer is clean."""
    completion = CompletionReader("p")
    for chunk in chunks:
        completion.feed(chunk)
    completion.end()
    answer = completion.answer()
    json.dumps([dict(one.call.opaque.message) for one in answer.calls], ensure_ascii=False).encode()
    f"{answer.text}{answer.usage}".encode()


@pytest.mark.parametrize(
    "usage",
    [{"prompt_tokens": 1000.0, "completion_tokens": -1}, {"prompt_tokens": 10**30, "completion_tokens": True}, [], "x"],
)
async def test_token_counts_that_can_not_be_right_are_unknown(usage: object) -> None:
    """The answer is an answer all the same."""
    body = sse(delta("Hello"), {**delta(None, "stop"), "usage": usage})
    async with serve_model(Reply(body=body)) as server:
        assert (await ask(server))[-1] == Final("Hello", usage=Usage(model="m1"))


async def test_halves_of_an_emoji_in_two_deltas_meet() -> None:
    """A half that stays alone is replaced."""
    body = sse(delta("a\ud83d"), delta("\ude00b\ud83d"), delta(None, "stop"))
    async with serve_model(Reply(body=body)) as server:
        assert (await ask(server))[-1] == Final("a\U0001f600b\ufffd", usage=Usage(model="m1"))


ERROR = {"message": "Upstream idle timeout SECRETWORDS", "code": 502}
ERRORS = [
    {"error": ERROR},
    {"error": "Upstream SECRETWORDS"},
    {"object": "error", **ERROR},
    [{"error": ERROR}],
    "Upstream SECRETWORDS",
    {"errors": [ERROR]},
    {"detail": "Upstream SECRETWORDS"},
    {"choices": [{"delta": {"content": ""}, "finish_reason": "error", "error": ERROR}]},
    {"choices": [{"delta": {}, "error": ERROR}]},
    {"choices": [{"finish_reason": "error", "native_finish_reason": "SECRETWORDS"}]},
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: json.dumps(error)[:40])
async def test_an_error_is_an_error_in_every_dress(error: object) -> None:
    """Before the first word it is raised, after it the stream ends with it; its words are the operator's."""
    whole = Reply(body=json.dumps(error).encode(), content_type="application/json")
    after = Reply(body=sse(delta("Half"), error))
    async with serve_model(whole, after) as server:
        with pytest.raises(AgentError) as caught:
            await ask(server)
        events = await ask(server)
    assert events[0] == TextDelta("Half")
    assert isinstance(events[-1], Failed)
    assert {caught.value.for_user, events[-1].for_user} <= {OVERLOADED, BROKEN}
    if "SECRETWORDS" in json.dumps(error) and "native" not in json.dumps(error):
        assert "SECRETWORDS" in str(caught.value)
        assert "SECRETWORDS" in events[-1].for_operator


@pytest.mark.parametrize("finish", [None, "stop"])
async def test_a_body_that_ends_properly_is_an_answer(finish: str | None) -> None:
    """Without a finish or without [DONE]; a cut after the finish takes nothing away."""
    bodies = (sse(delta("Whole", finish), done=False), sse(delta("Whole", finish)))
    for body in bodies:
        async with serve_model(Reply(body=body)) as server:
            assert (await ask(server))[-1] == Final("Whole", usage=Usage(model="m1"))
    async with serve_model(Reply(chunks=(sse(delta("Whole", "stop"), done=False),), cut=True)) as server:
        assert (await ask(server))[-1] == Final("Whole", usage=Usage(model="m1"))


@pytest.mark.parametrize("text", ["<think>Hello! How are you?", "<thinking>\nHello! How are you?\n"])
async def test_a_thought_that_nothing_closes_is_the_answer_where_there_is_no_other(text: str) -> None:
    """Reasoning without a closing tag is shown if no other text came."""
    body = sse(*(delta(char) for char in text), delta(None, "stop"))
    async with serve_model(Reply(body=body)) as server:
        assert (await ask(server))[-1] == Final("Hello! How are you?", usage=Usage(model="m1"))


async def test_a_lone_closing_tag_ends_thinking() -> None:
    """A closing tag without an opening one ends the reasoning, however the deltas are cut."""
    text = "I will think.\n</think>\n\nThe answer is 4."
    async with serve_model(Reply(body=sse(*(delta(char) for char in text), delta(None, "stop")))) as server:
        assert (await ask(server))[-1] == Final("The answer is 4.", usage=Usage(model="m1"))


async def test_what_a_server_wants_back_goes_back_to_it() -> None:
    """Unknown fields of a call and reasoning beside it; the calls of one string are two."""
    made = {"id": "call_a", "function": {"name": "look", "arguments": '{"a": 1}{"a": 2}'}}
    signed = {**made, "extra_content": {"google": {"thought_signature": "SIG"}}}
    first = sse(delta(None, reasoning_content="hm, "), delta(reasoning_content="so"), delta(tool_calls=[signed]))
    tools = Tools(ToolResult("one"), ToolResult("two"))
    async with serve_model(Reply(body=first), Reply(body=sse(delta("Done"), delta(None, "stop")))) as server:
        events = await ask(server, turn(tools=tools))
    assert events[-1] == Final("Done", usage=Usage(model="m1"))
    assert [call.arguments for call in tools.calls] == [{"a": 1}, {"a": 2}]
    assistant, one, two = server.requests[1].body["messages"][-3:]
    assert assistant["reasoning_content"] == "hm, so"
    assert assistant["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "SIG"}}
    assert [one["content"], two["content"]] == ["one", "two"]
    assert [call["id"] for call in assistant["tool_calls"]] == [one["tool_call_id"], two["tool_call_id"]]


def test_unknown_fields_of_very_many_values_are_dropped() -> None:
    """They would be looked at, written down and sent back again and again; signatures are texts, and stay."""
    call = {
        "index": 0,
        "id": "a",
        "function": {"name": "look", "arguments": "{}"},
        "signature": "S",
        "pad": [[]] * 20_000,
    }
    completion = CompletionReader("p")
    completion.feed({"choices": [{"delta": {"tool_calls": [call], "pad": [[]] * 20_000}}]})
    [requested] = completion.answer().calls
    assert requested.call.opaque.message == {}
    assert requested.call.opaque.call == {}
    small = CompletionReader("p")
    small.feed({"choices": [{"delta": {"tool_calls": [{**call, "pad": 1}], "thought": "T"}}]})
    [requested] = small.answer().calls
    assert requested.call.opaque.message == {"thought": "T"}
    assert requested.call.opaque.call == {"signature": "S", "pad": 1}
