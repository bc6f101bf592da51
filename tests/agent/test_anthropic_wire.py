"""What the Messages API demands of a request is kept, and odd stream events are survived."""

from typing import Any

import pytest

from oc_trio.agent.anthropic_reading import MessageReader
from oc_trio.agent.anthropic_wire import request_body
from oc_trio.agent.port import Message, Role, ToolCall, ToolResult, TurnRequest
from oc_trio.agent.tool_loop import ModelResponse, RequestedCall, ToolRound
from oc_trio.ids import AgentId, SessionKey

CALL = Message(Role.ASSISTANT, "", tool_calls=(ToolCall("c", "look"),))
RESULT = Message(Role.TOOL, "found", tool_call_id="c")


def body(*messages: Message, thinking: str = "", **options: Any) -> dict[str, Any]:
    request = TurnRequest(AgentId("a"), SessionKey("s"), "", messages, thinking=thinking)
    return request_body(request, (), "m", options)


def test_an_interrupted_turn_goes_on_without_thinking() -> None:
    """Its signed thinking is gone, and the API refuses tool results without it."""
    question = Message(Role.USER, "go")
    assert "thinking" in body(question, thinking="high")
    assert "thinking" not in body(question, CALL, RESULT, thinking="high")


@pytest.mark.parametrize(("thinking", "limit"), [("", 8192), ("off", 8192), ("low", 8192 + 2048)])
def test_thinking_does_not_eat_the_answer(thinking: str, limit: int) -> None:
    """The limit covers both."""
    assert body(Message(Role.USER, "go"), thinking=thinking)["max_tokens"] == limit


def test_sides_alternate_and_nothing_is_empty() -> None:
    """Neighbours are merged, empty texts left out."""
    messages = body(Message(Role.USER, "a"), Message(Role.USER, "b"), Message(Role.ASSISTANT, " "), CALL, RESULT)[
        "messages"
    ]
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert [part["text"] for part in messages[0]["content"]] == ["a", "b"]
    assert messages[2]["content"] == [{"type": "tool_result", "tool_use_id": "c", "content": "found"}]


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"type": "ping"},
        {"type": "future_event"},
        {"type": "content_block_delta", "index": 9, "delta": {"type": "input_json_delta", "partial_json": "x"}},
        {"type": "message_start"},
        {"type": "message_delta"},
    ],
)
def test_events_that_mean_nothing_to_us_are_nothing(event: dict[str, Any]) -> None:
    """New ones will come."""
    reading = MessageReader()
    assert reading.feed(event) == ()
    assert reading.empty


def test_a_call_without_arguments_is_a_call() -> None:
    """The block's own empty input counts then."""
    reading = MessageReader()
    block = {"type": "tool_use", "id": "c", "name": "look", "input": {}}
    reading.feed({"type": "content_block_start", "index": 0, "content_block": block})
    (requested,) = reading.answer().calls
    assert (requested.call, requested.problem) == (ToolCall("c", "look"), "")


def test_what_people_said_meanwhile_follows_the_results() -> None:
    """In the same message of the user's side, as the API wants it."""
    requested = RequestedCall(ToolCall("1", "look"))
    answer = ModelResponse("", (requested,))
    done = ToolRound(answer, (ToolResult("x"),), (Message(Role.USER, "wait"),))
    request = TurnRequest(AgentId("a"), SessionKey("s"), "", (Message(Role.USER, "go"),))
    body = request_body(request, (done,), "m", {})
    assert [block["type"] for block in body["messages"][-1]["content"]] == ["tool_result", "text"]
    assert body["messages"][-1]["content"][1]["text"] == "wait"
