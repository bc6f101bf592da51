"""The Messages API is read to its end, thinking is sent back signed, and failures become honest sentences."""

import gc
import json
from typing import Any

import pytest
import trio

from oc_trio.agent.anthropic import AnthropicAgent, AnthropicSettings
from oc_trio.agent.failures import BAD_KEY, BROKEN, BUSY, NO_MODEL, OVERLOADED, TOO_LONG, TOO_SLOW
from oc_trio.agent.http_stream import Deadlines
from oc_trio.agent.port import ImagePart, Message, Role, ToolCall, ToolResult, TurnRequest
from oc_trio.core.turn_events import AgentEvent, Failed, Final, TextDelta, Thinking, ToolEnded, ToolStatus, Usage
from oc_trio.errors import AgentError, AgentFailed, AgentUnavailable
from oc_trio.ids import AgentId, SessionKey
from tests.agent.model_server import ModelServer, Reply, Tools, client, collect, serve_model

KEY = "sk-ant-very-secret"


def stream(*events: dict[str, Any]) -> bytes:
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events).encode()


def start() -> dict[str, Any]:
    usage = {"input_tokens": 5, "cache_read_input_tokens": 2, "output_tokens": 1}
    return {"type": "message_start", "message": {"model": "claude", "usage": usage}}


def block(index: int, kind: str, **more: object) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": {"type": kind, **more}}


def delta(index: int, kind: str, **more: object) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **more}}


def end(reason: str = "end_turn") -> tuple[dict[str, Any], ...]:
    usage = {"output_tokens": 9}
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}, {"type": "message_stop"}


def text(*parts: str, reason: str = "end_turn") -> Reply:
    deltas = [delta(0, "text_delta", text=part) for part in parts]
    return Reply(body=stream(start(), block(0, "text", text=""), {"type": "ping"}, *deltas, *end(reason)))


def turn(tools: Tools | None = None, **more: Any) -> TurnRequest:
    more = {"messages": (Message(Role.USER, "hello"),), **({"tools": tools} if tools else {}), **more}
    return TurnRequest(AgentId("a"), SessionKey("s"), "Be kind.", **more)


async def ask(server: ModelServer, request: TurnRequest | None = None, **settings: Any) -> list[AgentEvent]:
    async with client() as http:
        made = AnthropicSettings(**{"model": "m", "api_key": KEY, "base_url": server.base_url, **settings})
        return await collect(AnthropicAgent(made, http), request or turn())


STALLED = Reply(chunks=(stream(start(), block(0, "text", text=""), delta(0, "text_delta", text="Half")),), pause=True)


async def test_a_streamed_answer_becomes_deltas_and_one_final() -> None:
    """Usage counts cached input too, and the last count of output wins."""
    async with serve_model(text("Good ", "day")) as server:
        events = await ask(server)
    assert events == [TextDelta("Good day"), Final("Good day", usage=Usage(7, 9, "claude"))]
    (recorded,) = server.requests
    assert recorded.path == "/v1/messages"
    assert (recorded.headers["x-api-key"], recorded.headers["anthropic-version"]) == (KEY, "2023-06-01")
    assert recorded.body == {
        "model": "m",
        "system": "Be kind.",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}],
        "stream": True,
        "max_tokens": 8192,
    }


async def test_the_base_url_may_name_the_version() -> None:
    """Both spellings that are in use lead to the same place."""
    async with serve_model(text("x")) as server:
        await ask(server, base_url=f"{server.base_url}/v1/")
    assert server.requests[0].path == "/v1/messages"


async def test_thinking_images_and_transcripts_are_sent_as_the_api_wants_them() -> None:
    """Neighbours of one side are merged, tool results belong to the user's side."""
    messages = (
        Message(Role.USER, "see", images=(ImagePart("image/png", b"\x01"),)),
        Message(Role.ASSISTANT, "", tool_calls=(ToolCall("c", "look", {"a": 1}),)),
        Message(Role.TOOL, "found", tool_call_id="c"),
        Message(Role.USER, "and?"),
    )
    async with serve_model(text("x")) as server:
        await ask(server, turn(messages=messages, thinking="low"), options={"max_tokens": 100, "top_k": 1})
    body = server.requests[0].body
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 2048}
    assert (body["max_tokens"], body["top_k"]) == (2148, 1)
    user, assistant, result = body["messages"]
    assert user["content"][0]["source"] == {"type": "base64", "media_type": "image/png", "data": "AQ=="}
    assert assistant["content"] == [{"type": "tool_use", "id": "c", "name": "look", "input": {"a": 1}}]
    assert [part["type"] for part in result["content"]] == ["tool_result", "text"]


async def test_tools_are_called_and_thinking_is_sent_back_signed() -> None:
    """The second request repeats every block of the first answer unchanged."""
    first = Reply(
        body=stream(
            start(),
            block(0, "thinking", thinking=""),
            delta(0, "thinking_delta", thinking="Hm."),
            delta(0, "signature_delta", signature="sig"),
            block(1, "redacted_thinking", data="xyz"),
            block(2, "text", text=""),
            delta(2, "text_delta", text="Looking."),
            block(3, "tool_use", id="c1", name="look", input={}),
            delta(3, "input_json_delta", partial_json='{"a":'),
            delta(3, "input_json_delta", partial_json=" 1}"),
            *end("tool_use"),
        )
    )
    tools = Tools(ToolResult("nothing", ToolStatus.FAILED))
    async with serve_model(first, text("Gone.")) as server:
        events = await ask(server, turn(tools))
    assert events[:2] == [Thinking("Hm."), TextDelta("Looking.")]
    assert tools.calls == [ToolCall("c1", "look", {"a": 1})]
    assert events[3] == ToolEnded("c1", "look", ToolStatus.FAILED, "nothing")
    assert events[-1] == Final("Looking.\n\nGone.", usage=Usage(14, 18, "claude"))
    assert server.requests[0].body["tools"][0]["input_schema"] == {"type": "object", "properties": {}}
    assistant, result = server.requests[1].body["messages"][-2:]
    assert assistant["content"] == [
        {"type": "thinking", "thinking": "Hm.", "signature": "sig"},
        {"type": "redacted_thinking", "data": "xyz"},
        {"type": "text", "text": "Looking."},
        {"type": "tool_use", "id": "c1", "name": "look", "input": {"a": 1}},
    ]
    assert result["content"] == [{"type": "tool_result", "tool_use_id": "c1", "content": "nothing", "is_error": True}]


@pytest.mark.parametrize(("reason", "says"), [("max_tokens", "length limit"), ("refusal", "content filter")])
async def test_an_answer_that_is_not_whole_says_so(reason: str, says: str) -> None:
    """The reader gets what there is and a note."""
    async with serve_model(text("Half", reason=reason)) as server:
        final = (await ask(server))[-1]
    assert isinstance(final, Final)
    assert final.text.startswith("Half\n\n_(")
    assert says in final.text


@pytest.mark.parametrize("reason", ["max_tokens", "refusal"])
async def test_no_text_at_all_for_a_reason_is_a_failure(reason: str) -> None:
    """There is nothing to show, so the reason is shown."""
    async with serve_model(Reply(body=stream(start(), *end(reason)))) as server:
        with pytest.raises(AgentFailed):
            await ask(server)


STATUSES = [
    pytest.param(401, "authentication_error", f"invalid x-api-key {KEY}", AgentFailed, BAD_KEY, id="bad key"),
    pytest.param(404, "not_found_error", "model: m", AgentFailed, NO_MODEL, id="unknown model"),
    pytest.param(400, "invalid_request_error", "prompt is too long: 9 > 8", AgentFailed, TOO_LONG, id="too long"),
    pytest.param(429, "rate_limit_error", "slow", AgentUnavailable, BUSY, id="rate limited"),
    pytest.param(529, "overloaded_error", "Overloaded", AgentUnavailable, OVERLOADED, id="overloaded"),
]


@pytest.mark.parametrize(("status", "kind", "words", "error", "for_user"), STATUSES)
async def test_a_refusal_is_raised_before_the_first_event(
    status: int, kind: str, words: str, error: type[AgentError], for_user: str
) -> None:
    """Each status has one type and one sentence; the key is in neither."""
    body = json.dumps({"type": "error", "error": {"type": kind, "message": words}}).encode()
    async with serve_model(Reply(status, body, content_type="application/json")) as server:
        with pytest.raises(error) as caught:
            await ask(server)
    assert caught.value.for_user == for_user
    assert kind in str(caught.value)
    assert KEY not in str(caught.value)


async def test_an_overload_in_the_stream_before_any_text_is_raised() -> None:
    """An overload before the first text is raised, so that the model can be asked again."""
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    async with serve_model(Reply(body=stream(start(), error))) as server:
        with pytest.raises(AgentUnavailable) as caught:
            await ask(server)
    assert caught.value.for_user == OVERLOADED


@pytest.mark.parametrize(
    "reply",
    [
        Reply(chunks=STALLED.chunks, cut=True),
        Reply(chunks=(*STALLED.chunks, b"data: {nonsense\n\n")),
        Reply(chunks=(*STALLED.chunks, b"data: []\n\n")),
    ],
    ids=["cut", "nonsense", "no object"],
)
async def test_trouble_after_the_first_event_is_the_last_event(reply: Reply) -> None:
    """What was said stays; the stream ends with one Failed."""
    async with serve_model(reply) as server:
        events = await ask(server)
    assert events[0] == TextDelta("Half")
    assert isinstance(events[-1], Failed)
    assert events[-1].for_user in (BROKEN, OVERLOADED)


async def test_a_model_that_stalls_is_given_up() -> None:
    """The idle deadline runs between two chunks."""
    async with serve_model(STALLED) as server:
        events = await ask(server, deadlines=Deadlines(idle=0.05))
        assert isinstance(events[-1], Failed)
        assert events[-1].for_user == TOO_SLOW
        with trio.fail_after(30):
            await server.gone.wait()


async def test_cancelling_a_turn_closes_the_connection() -> None:
    """The server sees the reader go although it had more to say."""
    async with serve_model(STALLED) as server, client() as http:
        agent = AnthropicAgent(AnthropicSettings("m", KEY, server.base_url), http)
        with trio.CancelScope() as scope:
            async with agent.run(turn()) as events:
                async for _ in events:
                    scope.cancel()
        with trio.fail_after(30):
            await server.gone.wait()
    gc.collect()


def test_the_key_is_not_printed() -> None:
    """The settings' repr shows no secret."""
    assert KEY not in repr(AnthropicSettings("m", KEY))
