"""What the many OpenAI-compatible servers do differently is read all the same."""

from typing import Any

import pytest

from oc_trio.agent.openai_reading import CompletionReader
from oc_trio.agent.openai_wire import request_body
from oc_trio.agent.port import Message, Role, ToolCall, TurnRequest
from oc_trio.agent.tool_calls import parse_arguments
from oc_trio.agent.tool_loop import RequestedCall
from oc_trio.core.turn_events import TextDelta, Usage
from oc_trio.ids import AgentId, SessionKey


def call(name: str | None = None, arguments: object = None, **more: object) -> dict[str, Any]:
    return {"function": {"name": name, "arguments": arguments}, **more}


CALLS = [
    pytest.param(
        [[call("a", "", index=0, id="1")], [call(None, '{"x":', index=0)], [call(None, "1}", index=0)]],
        [ToolCall("1", "a", {"x": 1})],
        id="in fragments",
    ),
    pytest.param(
        [[call("a", "{}", index=0, id="1"), call("b", "{}", index=1, id="2")]],
        [ToolCall("1", "a"), ToolCall("2", "b")],
        id="two, numbered",
    ),
    pytest.param(
        [[call("a", "{}", id="1")], [call("b", "{}", id="2")]],
        [ToolCall("1", "a"), ToolCall("2", "b")],
        id="without numbers",
    ),
    pytest.param(
        [[call("a", "{}", index=0, id="1")], [call("b", "{}", index=0, id="2")]],
        [ToolCall("1", "a"), ToolCall("2", "b")],
        id="all numbered 0",
    ),
    pytest.param([[call("a", {"x": 1})]], [ToolCall("call00000", "a", {"x": 1})], id="an object, without id"),
    pytest.param(
        [[call("a", "{}", index=0, id="1"), call("a", "", index=0, id="1")]], [ToolCall("1", "a")], id="again"
    ),
]


@pytest.mark.parametrize(("deltas", "calls"), CALLS)
def test_tool_calls_are_put_together(deltas: list[list[dict[str, Any]]], calls: list[ToolCall]) -> None:
    """Numbered, unnumbered, whole or in fragments."""
    completion = CompletionReader()
    for delta in deltas:
        completion.feed({"choices": [{"delta": {"tool_calls": delta}}]})
    assert completion.answer().calls == tuple(RequestedCall(one) for one in calls)


@pytest.mark.parametrize(
    "chunk",
    [{}, {"choices": []}, {"choices": None}, {"choices": [None]}, {"choices": [{}]}, {"choices": [{"delta": None}]}],
)
def test_chunks_without_content_are_nothing(chunk: dict[str, Any]) -> None:
    """A keep-alive or a usage chunk comes in many forms."""
    completion = CompletionReader()
    assert completion.feed(chunk) == ()
    assert completion.empty


def test_content_in_parts_and_halves() -> None:
    """Mistral sends parts; half an emoji can't be posted and is replaced."""
    completion = CompletionReader()
    parts = [{"type": "text", "text": "a"}, {"type": "other"}]
    assert completion.feed({"choices": [{"delta": {"content": parts}}]}) == (TextDelta("a"),)
    assert completion.feed({"choices": [{"delta": {"content": "\ud83d"}}]}) == ()
    assert completion.feed({"choices": [{"delta": {"refusal": "No."}}]}) == (TextDelta("\ufffdNo."),)


def test_usage_is_taken_from_wherever_it_is() -> None:
    """The last numbers count, and nonsense counts nothing."""
    completion = CompletionReader()
    completion.feed({"model": "m", "usage": {"prompt_tokens": 1, "completion_tokens": 1}})
    completion.feed({"usage": {"prompt_tokens": 5, "completion_tokens": "x"}})
    completion.feed({"usage": None})
    assert completion.answer().usage == Usage(5, 1, "m")


@pytest.mark.parametrize(
    ("text", "arguments", "problem"),
    [
        ("", {}, ""),
        (" ", {}, ""),
        ('{"a": [1]}', {"a": [1]}, ""),
        ("[1]", {}, "must be a JSON object"),
        ("{", {}, "not valid JSON"),
        ("[" * 100_000, {}, "not valid JSON"),
    ],
)
def test_arguments(text: str, arguments: dict[str, Any], problem: str) -> None:
    """What can't be used is explained to the model."""
    found, words = parse_arguments(text)
    assert found == arguments
    assert problem in words
    assert bool(words) == bool(problem)


def test_a_transcript_that_ends_with_tool_results_goes_on_from_there() -> None:
    """After an interruption the model sees what had come in."""
    messages = (
        Message(Role.USER, "go"),
        Message(Role.ASSISTANT, "", tool_calls=(ToolCall("1", "a", {"x": 1}),)),
        Message(Role.TOOL, "done", tool_call_id="1"),
    )
    body = request_body(TurnRequest(AgentId("a"), SessionKey("s"), "", messages), (), "m", {})
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "tool"]
    assert "tools" not in body
