"""Odd answers of servers that speak Anthropic's Messages API, through a whole gateway; see `test_model_cases`."""

import gzip
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from oc_trio.agent.failures import NO_CREDIT, TOO_LONG
from tests.logbook import Logbook
from tests.runtime.harness import Harness
from tests.runtime.model_harness import ANTHROPIC, FAILED, Answer, Serve, Server, check
from tests.runtime.model_harness import start as start_model_gateway


def event(kind: str, **more: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n"


def delta(value: Any, index: Any = 0) -> str:
    return event("content_block_delta", index=index, delta=value)


def block(start: Any, *deltas: Any, index: Any = 0) -> str:
    pieces = "".join(delta(each, index) for each in deltas)
    return (
        event("content_block_start", index=index, content_block=start)
        + pieces
        + event("content_block_stop", index=index)
    )


def text_delta(words: str) -> dict[str, Any]:
    return {"type": "text_delta", "text": words}


def text(words: str, index: Any = 0) -> str:
    return block({"type": "text", "text": ""}, text_delta(words), index=index)


def thought(words: str, signature: str = "SIG", index: Any = 0) -> str:
    pieces: list[Any] = [{"type": "thinking_delta", "thinking": words}]
    pieces += [{"type": "signature_delta", "signature": signature}] if signature else []
    return block({"type": "thinking", "thinking": "", "signature": ""}, *pieces, index=index)


def call(*arguments: Any, call_id: Any = "toolu_a", index: Any = 1, **more: Any) -> str:
    start = {"type": "tool_use", "id": call_id, "name": "message", "input": {}, **more}
    return block(start, *({"type": "input_json_delta", "partial_json": each} for each in arguments), index=index)


def stop(reason: Any = "end_turn", **more: Any) -> str:
    return event("message_delta", delta={"stop_reason": reason, "stop_sequence": None}, **more) + event("message_stop")


START = event("message_start", message={"id": "msg", "role": "assistant", "content": [], "model": "m", "usage": {}})
END = stop()
CALL = '{"action":"read"}'
CALLED = stop("tool_use")
IDLE = "Upstream idle timeout"
CUT = "one\n\n_(The answer was cut off: the model reached its length limit.)_"
FILTERED = "one\n\n_(The answer was cut off by the provider's content filter.)_"
NONE = "The model gave no answer."
WHOLE = {
    "type": "message",
    "role": "assistant",
    "content": [{"type": "text", "text": "done"}],
    "stop_reason": "end_turn",
}


def ok(words: str) -> Answer:
    return Answer(START + text(words) + END)


def error(kind: str, words: str = IDLE) -> str:
    return event("error", error={"type": kind, "message": words})


def refusal(words: str, status: int = 400, kind: str = "invalid_request_error") -> Answer:
    body = {"type": "error", "error": {"type": kind, "message": words}}
    return Answer(json.dumps(body), status, "application/json")


def always(body: str | bytes | tuple[str | bytes, ...], **more: Any) -> Serve:
    return lambda _body: Answer(body, **more)


def once(first: Answer, later: Answer) -> Serve:
    answers = [first]
    return lambda _body: answers.pop() if answers else later


def results(body: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for message in body["messages"] for each in message["content"] if each["type"] == "tool_result"]


def given(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The blocks of the last answer, as they are sent back."""
    blocks: list[dict[str, Any]] = []
    for message in body["messages"]:
        blocks = message["content"] if message["role"] == "assistant" else blocks
    return blocks


def then(first: str, holds: Callable[[dict[str, Any]], bool] = lambda _body: True) -> Serve:
    """`first`, and an answer once its calls have results, in a request for which `holds`."""

    def serve(body: dict[str, Any]) -> Answer:
        if not results(body):
            return Answer(START + first)
        return ok("done") if holds(body) else refusal("refused")

    return serve


def count(number: int) -> Callable[[dict[str, Any]], bool]:
    return lambda body: len(results(body)) == number


def keeps(*blocks: dict[str, Any]) -> Callable[[dict[str, Any]], bool]:
    """Whether the last answer begins with these blocks."""
    return lambda body: given(body)[: len(blocks)] == list(blocks)


def reset(*pieces: str) -> Serve:
    return always(pieces, error=httpx.ReadError("connection reset by peer"))


def param(case: str, serve: Serve, expected: str = "done", log: str = "") -> Any:
    return pytest.param(serve, expected, log, id=case)


def broken(case: str, then_what: str) -> Any:
    return param(case, always(START + text("one") + then_what), "one\n\n", IDLE)


def usage(value: Any) -> Any:
    start = event("message_start", message={"model": "m", "usage": value})
    body = start + text("done") + stop(usage=value)
    return param(f"usage-{json.dumps(value)[:30]}", always(body))


def odd(case: str, piece: str, expected: str = "done") -> Any:
    """Something odd between the beginning and the text."""
    return param(f"odd-{case}", always(START + piece + text("done", 7) + END), expected)


SIGNED = {"type": "thinking", "thinking": "hm", "signature": "SIG"}
REDACTED = {"type": "redacted_thinking", "data": "EncryptedStuff=="}
SEARCH = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [{"type": "web_search_result"}]}
NEW_KIND = {"type": "hologram", "depth": 3}

CASES = [
    broken("error-overloaded", error("overloaded_error")),
    broken("error-api", error("api_error")),
    broken("error-timeout", error("timeout_error")),
    broken("error-invalid", error("invalid_request_error")),
    broken("error-unknown", error("cosmic_ray_error")),
    broken("error-then-stop", error("api_error") + END),
    broken("error-without-event", error("api_error").replace("event: error\n", "")),
    broken("error-without-type", f"event: error\ndata: {json.dumps({'error': {'message': IDLE}})}\n\n"),
    broken("error-text", f"event: error\ndata: {IDLE}\n\n"),
    broken("error-string", f"data: {json.dumps({'type': 'error', 'error': IDLE})}\n\n"),
    broken("error-message", f"data: {json.dumps({'type': 'error', 'message': IDLE})}\n\n"),
    broken("error-openai", f"data: {json.dumps({'error': {'message': IDLE, 'code': 502}})}\n\n"),
    broken("error-detail", f"data: {json.dumps({'detail': IDLE})}\n\n"),
    param(
        "error-half-a-character", always(START + text("one") + error("api_error", f"{IDLE} \ud83d")), "one\n\n", IDLE
    ),
    param("error-before-text", always(START + error("overloaded_error")), FAILED, IDLE),
    param("error-first-of-all", always(error("overloaded_error")), FAILED, IDLE),
    param("error-before-text-once", once(Answer(START + error("overloaded_error")), ok("done"))),
    param("error-after-a-thought", always(START + thought("hm") + error("api_error")), FAILED, IDLE),
    param(
        "error-in-the-second-round",
        lambda b: (
            Answer(START + text("two") + error("api_error"))
            if results(b)
            else Answer(START + text("one") + call(CALL) + CALLED)
        ),
        "one\n\ntwo\n\n",
        IDLE,
    ),
    param("status-529-once", once(refusal("Overloaded", 529, "overloaded_error"), ok("done"))),
    param("status-529", lambda _b: refusal("Overloaded, so sorry", 529, "overloaded_error"), FAILED, "so sorry"),
    param("status-429", lambda _b: refusal("This would exceed", 429, "rate_limit_error"), FAILED, "would exceed"),
    param("status-401", lambda _b: refusal("invalid x-api-key", 401, "authentication_error"), FAILED, "x-api-key"),
    param("status-413", lambda _b: refusal("Request exceeds the maximum size", 413, "request_too_large"), TOO_LONG),
    param("status-too-long", lambda _b: refusal("prompt is too long: 210000 tokens > 200000 maximum"), TOO_LONG),
    param("status-no-credit", lambda _b: refusal("Your credit balance is too low to access the API."), NO_CREDIT),
    param("status-502-page", lambda _b: Answer("<html>cloudflare 502</html>", 502, "text/html"), FAILED, "cloudflare"),
    param(
        "broken-reset",
        reset(START + text("one "), text("two"), delta(text_delta("!"))),
        "one two!\n\n",
        "reset by peer",
    ),
    param(
        "broken-chunks-end-early",
        always((START + text("one"), " "), error=httpx.RemoteProtocolError("peer closed connection without sending")),
        "one\n\n",
        "peer closed connection",
    ),
    param("broken-in-an-event", reset(START + text("one"), "event: content_block_delta\ndata: {"), "one\n\n"),
    param("broken-half-an-event-and-the-end", always(START + text("one") + 'data: {"type": "content_bl'), "one\n\n"),
    param("broken-in-a-call", reset(START + text("one"), call('{"action":"re')), "one\n\n"),
    param("broken-in-a-thought", reset(START, thought("hm", "")), FAILED, "reset by peer"),
    param("broken-before-anything", reset(), FAILED, "reset by peer"),
    param("broken-once", once(Answer("", error=httpx.ReadError("reset")), ok("done"))),
    param(
        "broken-after-the-end", reset(START + text("done"), event("message_delta", delta={"stop_reason": "end_turn"}))
    ),
    param("broken-after-pings", reset(START + event("ping"), event("ping")), FAILED, "reset by peer"),
    param("thinking", always(START + thought("hm") + text("done", 1) + END)),
    param("thinking-back", then(thought("hm") + call(CALL) + CALLED, keeps(SIGNED))),
    param(
        "thinking-back-with-text",
        then(
            thought("hm") + text("one", 1) + call(CALL, index=2) + CALLED,
            keeps(SIGNED, {"type": "text", "text": "one"}),
        ),
        "one\n\ndone",
    ),
    param(
        "thinking-in-pieces",
        then(
            block(
                {"type": "thinking"},
                {"type": "thinking_delta", "thinking": "h"},
                {"type": "thinking_delta", "thinking": "m"},
                {"type": "signature_delta", "signature": "S"},
                {"type": "signature_delta", "signature": "IG"},
            )
            + call(CALL)
            + CALLED,
            keeps(SIGNED),
        ),
    ),
    param(
        "thinking-only-signed",
        then(
            block({"type": "thinking", "thinking": ""}, {"type": "signature_delta", "signature": "SIG"})
            + call(CALL)
            + CALLED,
            keeps({**SIGNED, "thinking": ""}),
        ),
    ),
    param("thinking-whole", then(block(SIGNED) + call(CALL) + CALLED, keeps(SIGNED))),
    param(
        "thinking-a-pair-in-pieces",
        then(
            block(
                {"type": "thinking"},
                {"type": "thinking_delta", "thinking": "\ud83d"},
                {"type": "thinking_delta", "thinking": "\ude00"},
                {"type": "signature_delta", "signature": "SIG"},
            )
            + call(CALL)
            + CALLED,
            keeps({**SIGNED, "thinking": "\U0001f600"}),
        ),
    ),
    param(
        "thinking-half-a-character",
        then(thought("h\ud83d") + call(CALL) + CALLED, keeps({**SIGNED, "thinking": "h\ufffd"})),
    ),
    param(
        "thinking-between-calls",
        then(
            thought("hm") + call(CALL) + thought("so", "GIS", 2) + call(CALL, call_id="b", index=3) + CALLED,
            lambda b: [each["type"] for each in given(b)] == ["thinking", "tool_use", "thinking", "tool_use"],
        ),
    ),
    param("thinking-alone", always(START + thought("hm") + END), NONE),
    param(
        "thinking-refused",
        lambda b: (
            refusal("messages.1.content.0: Invalid `signature` in `thinking` block")
            if "SIG" in json.dumps(b)
            else ok("done")
            if results(b)
            else Answer(START + thought("hm") + call(CALL) + CALLED)
        ),
    ),
    param("redacted", always(START + block(REDACTED) + text("done", 1) + END)),
    param(
        "redacted-back",
        then(block(REDACTED) + thought("hm", index=1) + call(CALL, index=2) + CALLED, keeps(REDACTED, SIGNED)),
    ),
    param("redacted-alone", always(START + block(REDACTED) + END), NONE),
    param("call", then(call(CALL) + CALLED, count(1))),
    param("call-half-a-character", then(call('{"action":"react","emoji":"\\ud83d"}') + CALLED)),
    param("call-a-nul", then(call('{"action":"react","emoji":"a\\u0000b"}') + CALLED)),
    param(
        "call-a-pair-in-pieces",
        then(
            call('{"action":"react","emoji":"\ud83d', '\ude00"}') + CALLED,
            lambda b: given(b)[0]["input"]["emoji"] == "\U0001f600",
        ),
    ),
    param("call-half-in-a-key", then(call('{"action":"react","\\udc00":1}') + CALLED)),
    param("call-half-in-the-name", then(call(CALL, name="a\ud83d") + CALLED)),
    param("call-half-in-the-id", then(call(CALL, call_id="a\ud83d") + CALLED)),
    param("call-no-json", then(call("{nonsense") + CALLED)),
    param("call-cut-off", then(call('{"action":"re') + CALLED)),
    param("call-a-list", then(call("[1]") + CALLED)),
    param(
        "call-an-object-for-a-piece",
        then(call({"action": "read"}) + CALLED, lambda b: given(b)[0]["input"] == {"action": "read"}),
    ),
    param("call-nothing", then(call() + CALLED)),
    param(
        "call-input-at-once",
        then(call(input={"action": "read"}) + CALLED, lambda b: given(b)[0]["input"] == {"action": "read"}),
    ),
    param("call-input-a-list", then(call(input=[1]) + CALLED)),
    param("call-no-name", then(block({"type": "tool_use", "id": "x"}) + CALLED)),
    param("call-no-id", then(call(CALL, call_id=None) + CALLED, count(1))),
    param("call-a-number-for-an-id", then(call(CALL, call_id=7) + CALLED, count(1))),
    param("call-two", then(call(CALL) + call(CALL, call_id="b", index=2) + CALLED, count(2))),
    param("call-two-of-one-id", then(call(CALL) + call(CALL, index=2) + CALLED, count(2))),
    param("call-two-of-one-index", then(call(CALL) + call(CALL, call_id="b") + CALLED, count(2))),
    param("call-end-turn", then(call(CALL) + END, count(1))),
    param("call-no-end", then(call(CALL), count(1))),
    param("call-text-behind", then(call(CALL, index=0) + text("one", 1) + CALLED, count(1)), "one\n\ndone"),
    param(
        "call-extra-field",
        then(call(CALL, caller={"type": "direct"}) + CALLED, lambda b: given(b)[0]["caller"] == {"type": "direct"}),
    ),
    param(
        "call-extra-field-refused",
        lambda b: (
            Answer(START + call(CALL, caller={"type": "direct"}) + CALLED)
            if not results(b)
            else refusal("messages.1.content.0.tool_use.caller: Extra inputs are not permitted")
            if "caller" in given(b)[0]
            else ok("done")
        ),
    ),
    usage({"input_tokens": 1000.0, "output_tokens": -1}),
    usage({"input_tokens": 10**30, "output_tokens": True}),
    usage({"input_tokens": {"a": 1}, "cache_read_input_tokens": "many"}),
    usage([1]),
    usage("none"),
    usage(None),
    param("usage-nan", always(START + text("done") + END.replace('"stop_sequence": null', '"stop_sequence": NaN'))),
    odd("server-tool", block(SEARCH) + block(FOUND, index=1)),
    odd("new-kind", block(NEW_KIND)),
    odd("new-delta", block({"type": "text", "text": ""}, {"type": "citations_delta", "citation": {"url": "x"}})),
    odd("new-event", event("content_block_pulse", index=0)),
    odd("ping", event("ping")),
    odd("null-block", event("content_block_start", index=0, content_block=None)),
    odd("block-a-list", event("content_block_start", index=0, content_block=[1])),
    odd("null-delta", block({"type": "text"}, None)),
    odd("text-for-a-delta", block({"type": "text"}, "x")),
    odd("null-text", block({"type": "text", "text": None}, text_delta("") | {"text": None})),
    odd("object-for-text", block({"type": "text"}, text_delta("") | {"text": {"a": 1}})),
    odd("delta-of-nothing", delta({"type": "input_json_delta", "partial_json": CALL}, 9)),
    odd("stop-of-nothing", event("content_block_stop", index=9)),
    odd("two-starts", START),
    odd("null", "data: null\n\n"),
    odd("data-of-blanks", "data:  \n\n"),
    param("new-kind-back", then(block(NEW_KIND) + call(CALL) + CALLED, keeps(NEW_KIND))),
    param(
        "server-tool-back",
        then(block(SEARCH) + block(FOUND, index=1) + call(CALL, index=2) + CALLED, keeps(SEARCH, FOUND)),
    ),
    param("stop-null", always(START + text("done") + stop(None))),
    param("stop-unknown", always(START + text("done") + stop("moonrise"))),
    param("stop-a-number", always(START + text("done") + stop(7))),
    param("stop-pause", always(START + text("done") + stop("pause_turn"))),
    param("stop-tool-use-without-one", always(START + text("done") + CALLED)),
    param("stop-refusal", always(START + stop("refusal")), "The model refused to answer this."),
    param("stop-refusal-after-text", always(START + text("one") + stop("refusal")), FILTERED),
    param("stop-filter-of-a-proxy", always(START + text("one") + stop("content_filter")), FILTERED),
    param("stop-max-tokens", always(START + text("one") + stop("max_tokens")), CUT),
    param("stop-length-of-a-proxy", always(START + text("one") + stop("length")), CUT),
    param("stop-window", always(START + text("one") + stop("model_context_window_exceeded")), CUT),
    param(
        "stop-max-tokens-alone",
        always(START + thought("hm") + stop("max_tokens")),
        "The model used up its length limit before it said anything.",
    ),
    param("stop-missing", always(START + text("done"))),
    param(
        "stop-only-the-delta", always(START + text("done") + event("message_delta", delta={"stop_reason": "end_turn"}))
    ),
    param("start-missing", always(text("done") + END)),
    param("start-null", always(event("message_start", message=None) + text("done") + END)),
    param("starts-missing", always(delta(text_delta("done")) + END)),
    param("index-missing", always(START + text("done", None) + END)),
    param("index-a-text", always(START + text("done", "0") + END)),
    param("text-at-once", always(START + block({"type": "text", "text": "done"}) + END)),
    param(
        "text-a-pair-in-pieces",
        always(START + block({"type": "text"}, text_delta("\ud83d"), text_delta("\ude00")) + END),
        "\U0001f600",
    ),
    param("text-half-a-character", always(START + text("a\ud83d") + END), "a\ufffd"),
    param(
        "type-only-in-the-event",
        always(
            (START + text("done") + END)
            .replace('"type": "message', '"kind": "message')
            .replace('"type": "content_block', '"kind": "content_block')
        ),
    ),
    param(
        "type-only-in-the-data",
        always(
            "\n\n".join(line for line in (START + text("done") + END).split("\n") if line.startswith("data")) + "\n\n"
        ),
    ),
    param(
        "done-at-the-end",
        always(START + text("done") + event("message_delta", delta={"stop_reason": "end_turn"}) + "data: [DONE]\n\n"),
    ),
    param("nothing", always(""), NONE),
    param("nothing-said", always(START + END), NONE),
    param("nothing-but-blanks", always(START + text(" \n") + END), NONE),
    param(
        "nothing-after-calls",
        lambda b: Answer(START + END) if results(b) else Answer(START + text("one") + call(CALL) + CALLED),
        "one",
    ),
    param("think-lone-end", always(START + text("I will think.\n</think>\n\ndone") + END)),
    param("think-unclosed", always(START + text("<think>Hello!") + END), "Hello!"),
    param("think-unclosed-without-end", always(START + text("<think>Hello!")), "Hello!"),
    param("whole", always(json.dumps(WHOLE), content_type="application/json")),
    param("whole-as-a-stream", always(json.dumps(WHOLE))),
    param(
        "whole-with-a-call",
        then(
            json.dumps(
                {
                    **WHOLE,
                    "content": [
                        SIGNED,
                        {"type": "tool_use", "id": "a", "name": "message", "input": {"action": "read"}},
                    ],
                }
            ),
            keeps(SIGNED),
        ),
    ),
    param("whole-text", always(json.dumps({**WHOLE, "content": "done"}), content_type="text/plain")),
    param("whole-null", always(json.dumps({**WHOLE, "content": None}), content_type="application/json"), FAILED),
    param("stream-as-json", always(START + text("done") + END, content_type="application/json")),
    param(
        "stream-gzip",
        always(gzip.compress((START + text("done") + END).encode()), headers=(("content-encoding", "gzip"),)),
    ),
    param("page", always("<html>nginx</html>", content_type="text/html"), FAILED, "nginx"),
    param(
        "error-under-200",
        always(json.dumps({"type": "error", "error": {"type": "api_error", "message": IDLE}})),
        FAILED,
        IDLE,
    ),
    param("refuses-tools", lambda b: refusal("m does not support tools") if "tools" in b else ok("done")),
    param(
        "refuses-system", lambda b: refusal("system: Extra inputs are not permitted") if "system" in b else ok("done")
    ),
    param(
        "refuses-so-many-tokens",
        lambda b: (
            refusal("max_tokens: 500 > 100, which is the maximum allowed number of output tokens for m")
            if b["max_tokens"] > 100
            else ok("done")
        ),
    ),
    param(
        "refuses-more-than-its-window",
        lambda b: (
            refusal("input length and `max_tokens` exceed context limit: 199900 + 500 > 200000, decrease input length")
            if b["max_tokens"] > 100
            else ok("done")
        ),
    ),
]


async def start(harness: Harness, serve: Serve, **more: Any) -> Server:
    return await start_model_gateway(
        harness, serve, ok("well, too"), **{"api": ANTHROPIC, "base_url": "http://model.test", **more}
    )


@pytest.mark.parametrize(("serve", "expected", "log"), CASES)
async def test_what_a_server_may_answer(
    harness: Harness, logbook: Logbook, serve: Serve, expected: str, log: str
) -> None:
    """The person reads `expected` or begins to, the thread goes on, another person is answered, nothing restarts."""
    await check(harness, logbook, await start(harness, serve), expected, log)


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("http://model.test", "/v1/messages"),
        ("http://model.test/v1/", "/v1/messages"),
        ("http://model.test/anthropic?api-version=1", "/anthropic/v1/messages?api-version=1"),
        ("http://model.test/v1/messages", "/v1/messages"),
    ],
)
async def test_where_the_request_goes(harness: Harness, base_url: str, url: str) -> None:
    """With or without the version; a query stays behind the path."""
    server = await start(harness, always(START + text("done") + END), base_url=base_url)
    harness.say("@helper hello")
    await harness.settled()
    assert (harness.answers(), server.urls) == (["done"], [url])


@pytest.mark.parametrize(
    "words",
    [
        (
            "messages.1.content.0: when `thinking` is enabled, a tool-loop continuation assistant turn must begin "
            "with a `thinking` block; got `tool_use`."
        ),
        (
            "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`. When "
            "`thinking` is enabled, a final `assistant` message must start with a thinking block"
        ),
        (
            "litellm.UnsupportedParamsError: m doesn't support `reasoning.effort` (its model cost map entry lacks "
            "`supports_reasoning`). To drop unsupported params set `litellm.drop_params = True`"
        ),
    ],
)
async def test_thinking_that_is_refused_is_left_out(harness: Harness, words: str) -> None:
    """A tool was used before thinking was switched on, or the model behind a proxy does not think."""

    def serve(body: dict[str, Any]) -> Answer:
        if "thinking" in body:
            return refusal(words)
        return ok("done") if results(body) else Answer(START + call(CALL) + CALLED)

    await start(harness, serve)
    first = harness.say("@helper hello")
    await harness.settled()
    for text in ("@helper /think high", "@helper go on"):
        harness.say(text, root=first)
        await harness.settled()
    assert [answer.rstrip(".") for answer in harness.answers()] == ["done", "Thinking: high", "done"]
