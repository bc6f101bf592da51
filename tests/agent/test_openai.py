"""An OpenAI-compatible endpoint is read to its end, its tools are run, and its failures become honest sentences."""

import gc
from typing import Any

import pytest
import trio

from oc_trio.agent.failures import (
    BAD_KEY,
    BROKEN,
    BUSY,
    NO_CREDIT,
    NO_MODEL,
    OVERLOADED,
    REFUSED,
    TOO_LONG,
    TOO_SLOW,
    UNREACHABLE,
)
from oc_trio.agent.http_stream import Deadlines
from oc_trio.agent.openai import OpenAIAgent, OpenAISettings
from oc_trio.agent.port import ImagePart, Message, Role, ToolCall, ToolResult, TurnRequest
from oc_trio.agent.tool_loop import NO_ANSWER
from oc_trio.core.turn_events import (
    AgentEvent,
    Failed,
    Final,
    TextDelta,
    Thinking,
    ToolEnded,
    ToolStarted,
    ToolStatus,
    Usage,
)
from oc_trio.errors import AgentError, AgentFailed, AgentUnavailable
from oc_trio.ids import AgentId, SessionKey
from tests.agent.model_server import ModelServer, Reply, Tools, client, collect, serve_model, sse

KEY = "sk-very-secret-key"


def delta(text: str | None = None, finish: str | None = None, **more: object) -> dict[str, Any]:
    return {"model": "m1", "choices": [{"delta": {"content": text, **more}, "finish_reason": finish}]}


def turn(text: str = "hello", tools: Tools | None = None, **more: Any) -> TurnRequest:
    messages = (Message(Role.USER, text),)
    more = {"messages": messages, **({"tools": tools} if tools else {}), **more}
    return TurnRequest(AgentId("a"), SessionKey("s"), "Be kind.", **more)


async def ask(server: ModelServer, request: TurnRequest | None = None, **settings: Any) -> list[AgentEvent]:
    async with client() as http:
        made = OpenAISettings(**{"base_url": f"{server.base_url}/v1", "model": "m", "api_key": KEY, **settings})
        return await collect(OpenAIAgent(made, http), request or turn())


STALLED = Reply(chunks=(sse(delta("Half"), done=False),), pause=True)
HELLO = Reply(body=sse(delta("Good "), delta("day"), delta(None, "stop")))


async def test_a_streamed_answer_becomes_deltas_and_one_final() -> None:
    """Deltas arrive as increments; usage comes in a last chunk without choices."""
    usage = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}
    chunks = (sse(delta("Good "), done=False), sse(delta("day"), delta("", "stop"), usage))
    async with serve_model(Reply(chunks=chunks)) as server:
        events = await ask(server)
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "Good day"
    assert events[-1] == Final("Good day", usage=Usage(7, 2, "m1"))
    (recorded,) = server.requests
    assert recorded.path == "/v1/chat/completions"
    assert recorded.headers["authorization"] == f"Bearer {KEY}"
    assert recorded.body == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hello"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_headers_options_images_and_thinking_reach_the_server() -> None:
    """The operator's options win over ours; the turn's model wins over the agent's."""
    message = Message(Role.USER, "see", images=(ImagePart("image/png", b"\x01"),))
    async with serve_model(HELLO) as server:
        request = turn(messages=(message,), thinking="high", model="other")
        await ask(server, request, headers={"X-Org": "me"}, options={"temperature": 0.5})
    (recorded,) = server.requests
    assert recorded.headers["x-org"] == "me"
    assert (recorded.body["model"], recorded.body["temperature"]) == ("other", 0.5)
    assert recorded.body["reasoning_effort"] == "high"
    assert recorded.body["messages"][1]["content"] == [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AQ=="}},
    ]


async def test_a_connection_is_reused_for_the_next_turn() -> None:
    """The stream is read to its end after [DONE]."""
    async with serve_model(HELLO, HELLO) as server, client() as http:
        agent = OpenAIAgent(OpenAISettings(server.base_url, "m"), http)
        await collect(agent, turn())
        await collect(agent, turn())
    assert (server.connections, len(server.requests)) == (1, 2)


async def test_reasoning_is_kept_apart_from_the_reply() -> None:
    """Both reasoning fields and <think> tags become Thinking."""
    body = sse(
        delta(None, reasoning_content="a"),
        delta(None, reasoning="b"),
        delta("<"),
        delta("think>c</think>\n\nyes"),
        delta(None, "stop"),
    )
    async with serve_model(Reply(body=body)) as server:
        events = await ask(server)
    assert "".join(event.text for event in events if isinstance(event, Thinking)) == "abc"
    assert events[-1] == Final("yes", usage=Usage(model="m1"))


async def test_tools_are_called_and_their_results_sent_back() -> None:
    """Fragments of arguments are joined; the second request repeats the calls and carries the results."""
    first = sse(
        delta("Let me look."),
        delta(tool_calls=[{"index": 0, "id": "c1", "function": {"name": "look", "arguments": '{"a"'}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": ": 1}"}}]),
        delta(tool_calls=[{"index": 1, "id": "c2", "function": {"name": "look", "arguments": "nonsense"}}]),
        delta(None, "tool_calls"),
    )
    tools = Tools(ToolResult("found", detail="1 hit"))
    async with serve_model(Reply(body=first), Reply(body=sse(delta("It is 1."), delta(None, "stop")))) as server:
        events = await ask(server, turn(tools=tools))
    assert tools.calls == [ToolCall("c1", "look", {"a": 1})]
    assert events[1:3] == [
        ToolStarted("c1", "look", {"a": 1}),
        ToolEnded("c1", "look", ToolStatus.COMPLETED, "found", "1 hit"),
    ]
    assert isinstance(events[4], ToolEnded)
    assert events[4].status is ToolStatus.FAILED
    assert events[-1] == Final("Let me look.\n\nIt is 1.", usage=Usage(model="m1"))
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "Let me look.\n\nIt is 1."
    assert server.requests[0].body["tools"][0]["function"]["name"] == "look"
    assistant, result, refused = server.requests[1].body["messages"][-3:]
    assert assistant["tool_calls"][0]["function"] == {"name": "look", "arguments": '{"a": 1}'}
    assert result == {"role": "tool", "tool_call_id": "c1", "content": "found"}
    assert "not valid JSON" in refused["content"]


async def test_a_model_that_never_stops_calling_is_stopped() -> None:
    """The bound of rounds ends the turn with a failure, not with silence."""
    call = Reply(body=sse(delta(tool_calls=[{"id": "c", "function": {"name": "look"}}], finish="tool_calls")))
    tools = Tools(ToolResult("1"), ToolResult("2"))
    async with serve_model(call, call) as server:
        events = await ask(server, turn(tools=tools), max_rounds=2)
    assert isinstance(events[-1], Failed)
    assert "2 rounds" in events[-1].for_user
    assert len(tools.calls) == 2


@pytest.mark.parametrize(
    ("field", "request_", "words"),
    [
        ("stream_options", turn(), "Unrecognized request argument supplied: stream_options"),
        ("reasoning_effort", turn(thinking="low"), "unknown field `reasoning_effort`"),
    ],
)
async def test_a_field_that_the_server_refuses_is_dropped_for_good(
    field: str, request_: TurnRequest, words: str
) -> None:
    """It is asked again at once, and later turns leave the field out."""
    refusal = Reply(400, body=f'{{"error": {{"message": "{words}"}}}}'.encode(), content_type="application/json")
    async with serve_model(refusal, HELLO, HELLO) as server, client() as http:
        agent = OpenAIAgent(OpenAISettings(server.base_url, "m"), http)
        assert isinstance((await collect(agent, request_))[-1], Final)
        assert isinstance((await collect(agent, request_))[-1], Final)
    assert [field in recorded.body for recorded in server.requests] == [True, False, False]


async def test_a_server_that_does_not_stream_is_understood() -> None:
    """A whole completion counts as one chunk."""
    body = b'{"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}'
    async with serve_model(Reply(body=body, content_type="application/json; charset=utf-8")) as server:
        events = await ask(server)
    assert events == [TextDelta("Hi"), Final("Hi")]


@pytest.mark.parametrize(
    ("reason", "text", "says"),
    [("length", "Half", "length limit"), ("content_filter", "Half", "content filter")],
)
async def test_an_answer_that_is_not_whole_says_so(reason: str, text: str, says: str) -> None:
    """The reader gets what there is and a note."""
    async with serve_model(Reply(body=sse(delta(text), delta(None, reason)))) as server:
        final = (await ask(server))[-1]
    assert isinstance(final, Final)
    assert final.text.startswith("Half\n\n_(")
    assert says in final.text


@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_no_text_at_all_for_a_reason_is_a_failure(reason: str) -> None:
    """There is nothing to show, so the reason is shown."""
    async with serve_model(Reply(body=sse(delta(None, reason)))) as server:
        with pytest.raises(AgentFailed):
            await ask(server)


@pytest.mark.parametrize("body", [sse(delta(None, "stop")), sse(), b""])
async def test_no_text_at_all_is_a_failure_in_words(body: bytes) -> None:
    """An answer without any text fails the turn with a sentence."""
    async with serve_model(Reply(body=body)) as server:
        with pytest.raises(AgentError) as caught:
            await ask(server)
    assert caught.value.for_user == NO_ANSWER


STATUSES = [
    pytest.param(401, f"Incorrect API key provided: {KEY}", AgentFailed, BAD_KEY, id="bad key"),
    pytest.param(403, "no", AgentFailed, BAD_KEY, id="forbidden"),
    pytest.param(402, "pay", AgentFailed, NO_CREDIT, id="no credit"),
    pytest.param(404, "The model `m` does not exist", AgentFailed, NO_MODEL, id="unknown model"),
    pytest.param(400, "maximum context length is 8192 tokens", AgentFailed, TOO_LONG, id="too long"),
    pytest.param(413, "big", AgentFailed, TOO_LONG, id="too large"),
    pytest.param(400, "bad", AgentFailed, REFUSED, id="bad request"),
    pytest.param(302, "", AgentFailed, REFUSED, id="a redirect is not followed with the key"),
    pytest.param(429, "slow down", AgentUnavailable, BUSY, id="rate limited"),
    pytest.param(429, "insufficient_quota", AgentFailed, NO_CREDIT, id="quota"),
    pytest.param(500, "oops", AgentUnavailable, OVERLOADED, id="server error"),
    pytest.param(503, "loading model", AgentUnavailable, OVERLOADED, id="unavailable"),
]


@pytest.mark.parametrize(("status", "words", "kind", "for_user"), STATUSES)
async def test_a_refusal_is_raised_before_the_first_event(
    status: int, words: str, kind: type[AgentError], for_user: str
) -> None:
    """Each status has one type and one sentence; the key is in neither."""
    body = f'{{"error": {{"message": "{words}"}}}}'.encode()
    async with serve_model(Reply(status, body, content_type="application/json")) as server:
        with pytest.raises(kind) as caught:
            await ask(server)
    assert type(caught.value) is kind
    assert caught.value.for_user == for_user
    assert f"HTTP {status}" in str(caught.value)
    assert KEY not in str(caught.value)


async def test_retry_after_is_passed_on() -> None:
    """A number of seconds from the server reaches the retry policy."""
    async with serve_model(Reply(429, b"{}", headers=(("retry-after", "7"),))) as server:
        with pytest.raises(AgentUnavailable) as caught:
            await ask(server)
    assert caught.value.retry_after == 7


async def test_nobody_listening_is_unreachable() -> None:
    """The operator's line has the reason that httpx hides."""
    with pytest.raises(AgentUnavailable, match=r"refused|failed") as caught:
        await ask(ModelServer("http://127.0.0.1:9"))
    assert caught.value.for_user == UNREACHABLE


async def test_an_address_that_is_none_is_the_operators_mistake() -> None:
    """No retry helps against a scheme that does not exist."""
    with pytest.raises(AgentFailed):
        await ask(ModelServer("gopher://nowhere"))


async def test_an_error_in_the_stream_before_any_text_is_raised() -> None:
    """OpenRouter and vLLM answer 200 and then put the error into the stream."""
    async with serve_model(Reply(body=sse({"error": {"code": 429, "message": "rate limit"}}))) as server:
        with pytest.raises(AgentUnavailable) as caught:
            await ask(server)
    assert caught.value.for_user == BUSY


@pytest.mark.parametrize(
    "reply",
    [
        Reply(chunks=(sse(delta("Half"), done=False),), cut=True),
        Reply(chunks=(sse(delta("Half"), done=False), b"data: {nonsense\n\n")),
        Reply(chunks=(sse(delta("Half"), done=False), sse({"error": {"message": "overloaded"}}, delta("more")))),
    ],
    ids=["cut", "nonsense", "error"],
)
async def test_trouble_after_the_first_event_is_the_last_event(reply: Reply) -> None:
    """What was said stays; the stream ends with one Failed."""
    async with serve_model(reply) as server:
        events = await ask(server)
    assert events[0] == TextDelta("Half")
    assert isinstance(events[-1], Failed)
    assert events[-1].for_user in (BROKEN, OVERLOADED)
    assert len(events) == 2


@pytest.mark.parametrize(
    "reply", [Reply(pause=True), Reply(chunks=(b": keep-alive\n\n",), pause=True)], ids=["silent", "only comments"]
)
async def test_a_model_that_does_not_begin_is_given_up(reply: Reply) -> None:
    """The deadline for the first token covers headers and comments, and the connection is closed."""
    async with serve_model(reply) as server:
        with pytest.raises(AgentUnavailable) as caught:
            await ask(server, deadlines=Deadlines(first_token=0.05))
        assert caught.value.for_user == TOO_SLOW
        with trio.fail_after(30):
            await server.gone.wait()


async def test_a_model_that_stalls_is_given_up() -> None:
    """The idle deadline runs between two chunks; what was said stays."""
    async with serve_model(STALLED) as server:
        events = await ask(server, deadlines=Deadlines(idle=0.05))
        assert events[0] == TextDelta("Half")
        assert isinstance(events[-1], Failed)
        assert (events[-1].for_user, events[-1].retryable) == (TOO_SLOW, True)
        with trio.fail_after(30):
            await server.gone.wait()


async def test_cancelling_a_turn_closes_the_connection() -> None:
    """The server sees the reader go although it had more to say."""
    async with serve_model(STALLED) as server, client() as http:
        agent = OpenAIAgent(OpenAISettings(server.base_url, "m"), http)
        with trio.CancelScope() as scope:
            async with agent.run(turn()) as events:
                async for event in events:
                    assert event == TextDelta("Half")
                    scope.cancel()
        with trio.fail_after(30):
            await server.gone.wait()
    gc.collect()


async def _give_up(agent: OpenAIAgent) -> None:
    async with agent.run(turn()) as events:
        await anext(events)
        raise KeyError


async def test_leaving_a_turn_early_closes_the_connection_and_warns_of_nothing() -> None:
    """An error of the reader's own leaves as it is, not in a group."""
    async with serve_model(STALLED) as server, client() as http:
        agent = OpenAIAgent(OpenAISettings(server.base_url, "m"), http)
        with pytest.raises(KeyError):
            await _give_up(agent)
        with trio.fail_after(30):
            await server.gone.wait()
    gc.collect()


def test_the_key_is_not_printed() -> None:
    """Neither the settings' repr nor the headers' values show a secret."""
    assert KEY not in repr(OpenAISettings("http://x", "m", KEY, {"X-Key": KEY}))
