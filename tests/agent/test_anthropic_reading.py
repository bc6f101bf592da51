"""Whatever a server of the Messages API sends is read, ignored, or fails the turn with a sentence."""

import json
from typing import Any

import pytest
from attrs import evolve

from oc_trio.agent.anthropic_wire import request_body
from oc_trio.agent.failures import BROKEN, OVERLOADED
from oc_trio.agent.port import Message, Role, ToolCall, ToolResult
from oc_trio.core.turn_events import Failed, Final, Opaque, TextDelta, ToolStarted
from oc_trio.errors import AgentError
from tests.agent.model_server import Reply, Tools, serve_model, sse
from tests.agent.test_anthropic import ask, stream, turn
from tests.agent.test_openai_reading import ERROR, VALUES, places, replaced

EVENTS: list[dict[str, Any]] = [
    {"type": "message_start", "message": {"model": "claude", "usage": {"input_tokens": 7, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "SIG"}},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Look."}},
    {"type": "content_block_start", "index": 2, "content_block": {"type": "tool_use", "id": "c", "name": "look"}},
    {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": '{"a": 1}'}},
    {"type": "content_block_stop", "index": 2},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 3}},
    {"type": "message_stop"},
]
DONE: list[dict[str, Any]] = [
    *EVENTS[:1],
    *EVENTS[4:6],
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
    EVENTS[-1],
]


@pytest.mark.slow
@pytest.mark.parametrize("at", range(len(EVENTS)))
async def test_any_value_in_any_place_is_read_or_fails_in_words(at: int) -> None:
    """Only an agent's own errors come out; an event may also be left out or come twice."""
    bad = [replaced(EVENTS[at], path, value) for path in places(EVENTS[at]) for value in VALUES]
    given = [[*EVENTS[:at], one, *EVENTS[at + 1 :]] for one in bad]
    given += [[*EVENTS[:at], *EVENTS[at + 1 :]], [*EVENTS[:at], EVENTS[at], *EVENTS[at:]]]
    for events in given:
        body = "".join(f"data: {json.dumps(one)}\n\n" for one in events).encode()
        results = (ToolResult("r"),) * 3
        async with serve_model(Reply(body=body), Reply(body=stream(*DONE))) as server:
            try:
                requests = await ask(server, turn(tools=Tools(*results)))
            except AgentError:
                continue
        assert isinstance(requests[-1], Final | Failed)
        repr(requests).encode()


@pytest.mark.parametrize(
    "error",
    [
        {"type": "error", "error": {"type": "overloaded_error", **ERROR}},
        {"type": "error", "error": "SECRETWORDS"},
        {"type": "error", "message": "SECRETWORDS"},
        {"error": ERROR},
        "SECRETWORDS",
    ],
    ids=str,
)
async def test_an_error_is_an_error_in_every_dress(error: object) -> None:
    """After text, too; its words are the operator's."""
    async with serve_model(Reply(body=sse(*DONE[:3], error, *DONE[3:]))) as server:
        events = await ask(server)
    assert events[0] == TextDelta("Look.")
    assert isinstance(events[-1], Failed)
    assert events[-1].for_user in (OVERLOADED, BROKEN)
    assert "SECRETWORDS" in events[-1].for_operator


async def test_one_whole_message_is_an_answer() -> None:
    """From a server that doesn't stream, under any type."""
    message: dict[str, Any] = {
        "type": "message",
        "content": [{"type": "text", "text": "Hello"}],
        "stop_reason": "end_turn",
    }
    async with serve_model(Reply(body=json.dumps(message).encode(), content_type="text/plain")) as server:
        assert (await ask(server))[-1] == Final("Hello")


async def test_a_stream_that_ends_properly_without_a_stop_is_an_answer() -> None:
    """What is missing is the end of the stream, not of the answer."""
    async with serve_model(Reply(body=stream(*DONE[:3]))) as server:
        end = (await ask(server))[-1]
    assert isinstance(end, Final)
    assert end.text == "Look."


async def test_an_interrupted_turn_goes_on_thinking_with_what_it_kept() -> None:
    """The blocks of the answer stand as they came, for the same provider alone."""
    async with serve_model(Reply(body=stream(*EVENTS)), Reply(body=stream(*DONE))) as server:
        events = await ask(server, turn(tools=Tools(ToolResult("found"))))
    sent = server.requests[1].body["messages"][1]["content"]
    assert sent[0] == {"type": "thinking", "thinking": "hm", "signature": "SIG"}
    assert [block["type"] for block in sent] == ["thinking", "text", "tool_use"]
    opaque = next(event.opaque for event in events if isinstance(event, ToolStarted))
    written = (
        Message(Role.USER, "go"),
        Message(Role.ASSISTANT, "Look.", tool_calls=(ToolCall("c", "look", {"a": 1}, opaque),)),
        Message(Role.TOOL, "found", tool_call_id="c"),
    )
    request = evolve(turn(), messages=written, thinking="low")
    body = request_body(request, (), "m", {}, opaque.provider)
    assert body["messages"][1]["content"] == sent
    assert "thinking" in body
    other = request_body(request, (), "m", {}, "another")
    assert "thinking" not in other
    assert [block["type"] for block in other["messages"][1]["content"]] == ["text", "tool_use"]
    assert Opaque() == evolve(opaque, provider="", batch="", message={}, call={})
