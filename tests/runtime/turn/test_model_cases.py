"""Whatever a model's server answers, the person reads an answer or a sentence, and the next person is answered.

Each case is one that users of comparable systems reported, or a neighbour of one as real servers produce it.
"""

import base64
import gzip
import json
import socket
import struct
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import pytest
import trio
import trio.testing
from attrs import define

from oc_trio.agent.build import build_agent
from oc_trio.agent.failures import GARBLED, UNREACHABLE
from tests.logbook import Logbook
from tests.runtime.harness import Harness, open_harness
from tests.runtime.model_harness import ANTHROPIC, FAILED, OPENAI, Answer, Serve, Server, check, insist_openai, tables
from tests.runtime.model_harness import start as start_model_gateway


def chunk(delta: Any, finish: str | None = None, **more: Any) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish, **more}
    return f"data: {json.dumps({'choices': [choice]})}\n\n"


def text(content: str) -> str:
    return chunk({"content": content})


def data(value: Any) -> str:
    return f"data: {json.dumps(value)}\n\n"


DONE = "data: [DONE]\n\n"
END = chunk({}, "stop") + DONE


def ok(words: str) -> Answer:
    return Answer(text(words) + END)


def entry(arguments: Any, call_id: str | None = "call_a", index: Any = 0, **more: Any) -> dict[str, Any]:
    """One entry of `tool_calls`; `index` and `call_id` may be left out with None."""
    made = {"type": "function", "function": {"name": "message", "arguments": arguments}, **more}
    made |= {} if index is None else {"index": index}
    return made if call_id is None else {"id": call_id, **made}


def call(arguments: Any, call_id: str | None = "call_a", index: Any = 0, **more: Any) -> str:
    return chunk({"tool_calls": [entry(arguments, call_id, index, **more)]})


def more_of(arguments: str, **more: Any) -> str:
    """A further fragment of a call."""
    return chunk({"tool_calls": [{"function": {"arguments": arguments}, **more}]})


def calls(*entries: str) -> str:
    return "".join(entries) + chunk({}, "tool_calls") + DONE


def results(body: dict[str, Any]) -> list[dict[str, Any]]:
    return [message for message in body["messages"] if message["role"] == "tool"]


def then(first: str, check: Callable[[dict[str, Any]], bool] = lambda _body: True) -> Serve:
    """`first`, and an answer once its calls have results that satisfy `check`."""

    def serve(body: dict[str, Any]) -> Answer:
        if not results(body):
            return Answer(first)
        return ok("done") if check(body) else Answer('{"error": {"message": "refused"}}', 400)

    return serve


def count(number: int) -> Callable[[dict[str, Any]], bool]:
    return lambda body: len(results(body)) == number


def refusal(words: str, status: int = 400, **more: Any) -> Answer:
    return Answer(json.dumps({"error": {"message": words, **more}}), status, "application/json")


def refusing(words: str, name: str, status: int = 400) -> Serve:
    return lambda body: refusal(words, status) if name in body else ok("done")


def refusing_role(words: str, status: int = 400) -> Serve:
    """A template that knows no system message."""
    return lambda body: refusal(words, status) if body["messages"][0]["role"] == "system" else ok("done")


def refusing_more_than(most: int, words: str) -> Serve:
    return lambda body: refusal(words) if body.get("max_tokens", 0) > most else ok("done")


def always(body: str | bytes | tuple[str | bytes, ...], **more: Any) -> Serve:
    return lambda _body: Answer(body, **more)


def once(first: Answer, later: Answer) -> Serve:
    """`first` for the first request."""
    answers = [first]
    return lambda _body: answers.pop() if answers else later


def assistant(body: dict[str, Any]) -> dict[str, Any]:
    return next(message for message in reversed(body["messages"]) if message["role"] == "assistant")


def sends_back(name: str, value: Any) -> Callable[[dict[str, Any]], bool]:
    return lambda body: assistant(body).get(name) == value


def reset(*pieces: str) -> Serve:
    return always(pieces, error=httpx.ReadError("connection reset by peer"))


PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40
A, B, C = '{"action":"read"}', '{"action":"react"}', '{"action":"send"}'
WHOLE = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "done"}, "finish_reason": "stop"}]}
SIGNED = {"google": {"thought_signature": "SIG"}}
THINK = "I will think.\n</think>\n\nThe answer is 4."
NO_TOOLS = '{"error": {"message": "registry/gemma3:1b does not support tools"}}'
IDLE = "Upstream idle timeout"
ERROR = {"message": IDLE, "code": 502}


def usage(value: Any) -> Any:
    """A case with this for `usage`, in a chunk of its own and in the last one."""
    own = data({"choices": [], "usage": value})
    last = data({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": value})
    return pytest.param(always(text("done") + own + last + DONE), "done", "", id=f"5-usage-{json.dumps(value)[:30]}")


def broken(case: str, then_what: str, **more: Any) -> Any:
    """A text and then what is an error."""
    return pytest.param(always(text("one") + then_what, **more), "one\n\n", IDLE, id=case)


def param(case: str, serve: Serve, expected: str = "done", log: str = "") -> Any:
    return pytest.param(serve, expected, log, id=case)


CASES: list[Any] = [
    param("1-half-a-character", then(calls(call('{"action":"react","emoji":"\\ud83d"}')))),
    param("1-a-nul", then(calls(call('{"action":"react","emoji":"a\\u0000b"}')))),
    param("1-half-in-a-key", then(calls(call('{"action":"react","\\udc00":1}')))),
    param("1-half-in-a-name", then(calls(chunk({"tool_calls": [{"id": "x", "function": {"name": "a\ud83d"}}]})))),
    param("1-half-in-an-id", then(calls(call(A, "call\ud83d")))),
    param("1-half-in-the-text", always(text("a\ud83d") + END), "a\ufffd"),
    param("1-a-pair-in-two-chunks", always(text("a\ud83d") + text("\ude00") + END), "a\U0001f600"),
    param("2-text", always(data({"choices": [{"index": 0, "delta": "text"}]}) + text("after") + END), "textafter"),
    param("2-null", always(chunk(None) + text("after") + END), "after"),
    param("2-list", always(chunk([1]) + text("after") + END), "after"),
    param("2-content-object", always(chunk({"content": {"x": 1}}) + text("after") + END), "after"),
    param("3-null-call", always(chunk({"tool_calls": [None]}) + text("after") + END), "after"),
    param("3-text-for-calls", always(chunk({"tool_calls": "x"}) + text("after") + END), "after"),
    param("3-null-function", always(chunk({"tool_calls": [{"index": 0, "function": None}]}) + text("x") + END), "x"),
    param("4-object", always(data({"choices": {"0": {"delta": {"content": "x"}}}}) + text("after") + END), "after"),
    param("4-a-list", always("data: [1]\n\n" + text("after") + END), FAILED),
    param("4-null-choice", always(data({"choices": [None]}) + text("after") + END), "after"),
    usage({"prompt_tokens": 1000.0, "completion_tokens": -1}),
    usage({"prompt_tokens": 10**30, "completion_tokens": True}),
    usage({"prompt_tokens": "12", "completion_tokens": None}),
    usage({"prompt_tokens": {"total": 4}, "completion_tokens": [4]}),
    usage([1, 2]),
    usage("many"),
    usage({}),
    param("5-nan", always(text("done") + 'data: {"choices":[],"usage":{"prompt_tokens":NaN}}\n\n' + END)),
    param("6-a-list-for-arguments", then(calls(call([1])))),
    param("6-a-list-in-arguments", then(calls(call("[1]")))),
    param("6-no-json", then(calls(call("{nonsense")))),
    param("6-a-number", then(calls(call(4)))),
    param("6-null", then(calls(call(None)))),
    param("6-cut-off", then(calls(call('{"action":"re')))),
    param("7-reset", reset(text("one "), text("two "), text("three")), "one two three\n\n", "reset by peer"),
    param(
        "7-chunks-end-early",
        always(
            (text("one"), text(" two")),
            error=httpx.RemoteProtocolError("peer closed connection without sending complete message body"),
        ),
        "one two\n\n",
        "peer closed connection",
    ),
    param("7-in-the-middle-of-a-chunk", reset(text("one"), 'data: {"choices": [{"in'), "one\n\n"),
    param("7-in-code", reset(text("see\n\n```py\nx = 1")), "see\n\n```py\nx = 1\n```\n\n"),
    param("7-after-a-thought", reset(chunk({"reasoning_content": "hm"})), FAILED, "reset by peer"),
    param("7-before-anything", reset(), UNREACHABLE, "reset by peer"),
    param("7-in-a-call", reset(text("one"), call('{"action":"re')), "one\n\n"),
    param("7-after-the-end", reset(text("done"), chunk({}, "stop")), "done"),
    param("7-silence", always((text("one"), "", text("two")), error=httpx.ReadTimeout("")), "onetwo\n\n"),
    param("7-once-before-anything", once(Answer("", error=httpx.ReadError("reset")), ok("done"))),
    param("7-half-a-chunk-and-the-end", always(text("one") + 'data: {"choices": [{"in'), "one\n\n"),
    param("7-no-text", always(text("one").encode() + b"data: \xff\xfe\x00\n\n"), "one\n\n"),
    param(
        "7-compression",
        always((gzip.compress(text("one").encode() * 3)[:-20],), headers=(("content-encoding", "gzip"),)),
        FAILED,
    ),
    broken("8-code", data({"error": ERROR})),
    broken("8-type", data({"error": {"message": IDLE, "type": "server_error"}})),
    broken("8-text", data({"error": IDLE})),
    broken("8-object", data({"object": "error", "message": IDLE, "code": 502})),
    broken("8-list", data([{"error": ERROR}])),
    broken("8-errors", data({"errors": [{"message": IDLE}]})),
    broken("8-detail", data({"detail": IDLE})),
    broken("8-event", f"event: error\ndata: {json.dumps(ERROR)}\n\n"),
    broken("8-event-text", f"event: error\ndata: {IDLE}\n\n"),
    broken("8-field", f"error: {json.dumps(ERROR)}\n\n"),
    broken("8-bare", json.dumps({"error": ERROR}) + "\n"),
    broken("8-then-done", data({"error": ERROR}) + DONE),
    broken("8-beside-choices", data({"error": ERROR, "choices": [{"index": 0, "delta": {"content": ""}}]})),
    broken("8-string-in-string", data({"error": json.dumps({"error": ERROR})})),
    param("8-before-text", always(data({"error": ERROR})), FAILED, IDLE),
    param("8-before-text-once", once(Answer(data({"error": ERROR})), ok("done"))),
    param("8-half-a-character", always(text("one") + data({"error": {"message": f"{IDLE} \ud83d"}})), "one\n\n", IDLE),
    param(
        "8-in-the-second-round",
        lambda b: Answer(text(" two") + data({"error": ERROR})) if results(b) else Answer(text("one") + calls(call(A))),
        "one\n\ntwo\n\n",
        IDLE,
    ),
    broken("9", chunk({}, "error", error=ERROR)),
    broken("9-text", chunk({}, "error", error=IDLE)),
    broken("9-no-finish", chunk({}, None, error=ERROR)),
    broken(
        "9-beside",
        data({"error": ERROR, "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]}),
    ),
    broken("9-with-text", chunk({"content": ""}, "error", error={"message": IDLE, "metadata": {"raw": "x"}})),
    broken("8-raw", data({"error": {"message": "Provider returned error", "code": 502, "metadata": {"raw": IDLE}}})),
    broken("9-raw", chunk({}, "error", error={"message": "Provider returned error", "metadata": {"raw": IDLE}})),
    broken("9-native", chunk({}, "stop", native_finish_reason="network_error", error=ERROR)),
    param("9-native-alone", always(text("one") + chunk({}, "stop", native_finish_reason="error")), "one\n\n"),
    param("9-native-fine", always(text("done") + chunk({}, "stop", native_finish_reason="STOP") + DONE)),
    param("9-no-words", always(text("one") + chunk({}, "error")), "one\n\n"),
    param("9-network", always(text("one") + chunk({}, "network_error") + DONE), "one\n\n", "network_error"),
    param(
        "9-resources", always(text("one") + chunk({}, "insufficient_system_resource") + DONE), "one\n\n", "insufficient"
    ),
    param("9-abort", always(text("one") + chunk({}, "abort") + DONE), "one\n\n", "abort"),
    param("9-before-text", always(chunk({}, "error", error=ERROR)), FAILED, IDLE),
    param(
        "9-filter",
        always(text("one") + chunk({}, "content_filter") + DONE),
        "one\n\n_(The answer was cut off by the provider's content filter.)_",
    ),
    param(
        "9-sensitive",
        always(text("one") + chunk({}, "sensitive") + DONE),
        "one\n\n_(The answer was cut off by the provider's content filter.)_",
    ),
    param(
        "9-safety",
        always(text("one") + chunk({}, "SAFETY") + DONE),
        "one\n\n_(The answer was cut off by the provider's content filter.)_",
    ),
    param(
        "9-length",
        always(text("one") + chunk({}, "model_length") + DONE),
        "one\n\n_(The answer was cut off: the model reached its length limit.)_",
    ),
    param(
        "9-max-tokens",
        always(text("one") + chunk({}, "MAX_TOKENS") + DONE),
        "one\n\n_(The answer was cut off: the model reached its length limit.)_",
    ),
    param("10-nothing", always(DONE), "The model gave no answer."),
    param("10-stop-without-text", always(END), "The model gave no answer."),
    param("10-empty-body", always(""), "The model gave no answer."),
    param("10-comments", always(": PROCESSING\n\n: PROCESSING\n\n"), "The model gave no answer."),
    param("10-blanks", always(text(" \n ") + END), "The model gave no answer."),
    param("10-only-thoughts", always(chunk({"reasoning_content": "hm"}) + END), "The model gave no answer."),
    param(
        "10-nothing-after-calls", lambda b: Answer(END) if results(b) else Answer(text("one") + calls(call(A))), "one"
    ),
    param(
        "10-length", always(chunk({}, "length") + DONE), "The model used up its length limit before it said anything."
    ),
    param("11-unclosed", always(text("<think>Hello! How are you?") + END), "Hello! How are you?"),
    param("11-in-pieces", always("".join(map(text, "<think>Hello! How are you?")) + END), "Hello! How are you?"),
    param("11-thinking", always(text("<thinking>\nHello!\n") + END), "Hello!"),
    param("11-half-a-tag", always(text("<think>Hello!</thi") + END), "Hello!</thi"),
    param("11-upper-case", always(text("<Think>Hello!") + END), "Hello!"),
    param("11-blanks", always("".join(map(text, "\n < think >Hello!")) + END), "Hello!"),
    param("11-attribute", always("".join(map(text, '<think type="x">Hello!')) + END), "Hello!"),
    param("11-reasoning", always(text("<reasoning>Hello!") + END), "Hello!"),
    param("11-square", always("".join(map(text, "[THINK]Hello!")) + END), "Hello!"),
    param("11-upper-case-closed", always("".join(map(text, "<THINK>hm</THINK>done")) + END)),
    param("11-square-closed", always("".join(map(text, "[THINK]hm[/THINK]done")) + END)),
    param("11-triangles", always("".join(map(text, "\u25c1think\u25b7hm\u25c1/think\u25b7done")) + END)),
    param("11-seed", always("".join(map(text, "<seed:think>hm</seed:think>done")) + END)),
    param("11-no-tag", always("".join(map(text, "<thinker>done")) + END), "<thinker>done"),
    param("11-a-link", always("".join(map(text, "[This](x) is done")) + END), "[This](x) is done"),
    param("11-an-end-first", always("".join(map(text, "</think>done")) + END)),
    param("11-only-a-tag", always(text("<think>\n\n") + END), "The model gave no answer."),
    param("11-closed-and-nothing", always(text("<think>hm</think>\n") + END), "The model gave no answer."),
    param("11-closed", always(text("<think>hm</think>done") + END)),
    param("11-two", always(text("<think>hm</think>\n<think>so</think>done") + END)),
    param("11-unclosed-without-end", always(text("<think>Hello!")), "Hello!"),
    param("11-and-a-call", then(text("<think>hm") + calls(call(A)))),
    param("12", refusing("registry/gemma3:1b does not support tools", "tools")),
    param("12-llama.cpp", refusing("tools param requires --jinja flag", "tools", 500)),
    param("12-openrouter", refusing("No endpoints found that support tool use.", "tools", 404)),
    param("12-gemini", refusing("Function calling is not enabled for models/gemma-3-27b-it", "tools")),
    param(
        "12-in-a-list",
        lambda b: (
            Answer('[{"error": {"message": "Function calling is not enabled for m"}}]', 400, "application/json")
            if "tools" in b
            else ok("done")
        ),
    ),
    param(
        "12-a-refusal-in-a-list",
        always('[{"error": {"code": 400, "message": "Please use a valid role"}}]', status=400),
        FAILED,
        "HTTP 400: 400: Please use a valid role",
    ),
    param(
        "12-under-200",
        lambda b: Answer(data({"error": {"message": "m does not support tools"}})) if "tools" in b else ok("done"),
    ),
    param(
        "13",
        refusing('"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set', "tools"),
    ),
    param(
        "13-behind-a-proxy",
        lambda b: (
            Answer(data({"error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": NO_TOOLS}}}))
            if "tools" in b
            else ok("done")
        ),
    ),
    param("13-system-role", refusing_role("System role not supported")),
    param("13-system-role-jinja", refusing_role("Error: Jinja Exception: System role not supported", 500)),
    param("13-system-role-gemini", refusing_role("Developer instruction is not enabled for models/gemma-3-27b-it")),
    param(
        "13-system-role-o1",
        refusing_role("Unsupported value: 'messages[0].role' does not support 'system' with this model."),
    ),
    param("13-alternate", refusing_role("Conversation roles must alternate user/assistant/user/assistant/...")),
    param("13-stream-options", refusing("Unknown parameter: 'stream_options'.", "stream_options")),
    param(
        "13-stream-options-mistral",
        refusing(
            "{'detail': [{'loc': ['body', 'stream_options'], 'msg': 'Extra inputs are not permitted'}]}",
            "stream_options",
            422,
        ),
    ),
    param(
        "13-stream",
        lambda b: (
            refusal("Unsupported value: 'stream' does not support true with this model.")
            if b["stream"]
            else Answer(json.dumps(WHOLE), content_type="application/json")
        ),
    ),
    param(
        "14",
        refusing(
            "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead.", "max_tokens"
        ),
    ),
    param(
        "14-too-large",
        refusing_more_than(
            100,
            "max_tokens is too large: 500. This model supports at most 100 completion tokens, whereas you gave 500.",
        ),
    ),
    param("14-range", refusing_more_than(100, "Invalid max_tokens value, the valid range of max_tokens is [1, 100]")),
    param(
        "14-groq",
        refusing_more_than(
            100,
            "`max_tokens` must be less than or equal to `100`, the maximum value for `max_tokens` is less than the "
            "`context_window` for this model",
        ),
    ),
    param(
        "14-window",
        refusing_more_than(
            92,
            "This model's maximum context length is 4096 tokens. However, you requested 4504 tokens (4004 in the "
            "messages, 500 in the completion).",
        ),
    ),
    param(
        "15-signature",
        then(
            calls(call(A, extra_content=SIGNED)), lambda b: assistant(b)["tool_calls"][0].get("extra_content") == SIGNED
        ),
    ),
    param(
        "15-of-two",
        then(
            calls(call(A, extra_content=SIGNED), call(B, "call_b", 1)),
            lambda b: [c.get("extra_content") for c in assistant(b)["tool_calls"]] == [SIGNED, None],
        ),
    ),
    param(
        "15-late",
        then(
            calls(call('{"action":'), more_of('"read"}', index=0, extra_content=SIGNED)),
            lambda b: assistant(b)["tool_calls"][0].get("extra_content") == SIGNED,
        ),
    ),
    param(
        "15-in-the-function",
        then(
            calls(
                chunk(
                    {
                        "tool_calls": [
                            {
                                "index": 0,
                                "id": "c",
                                "function": {"name": "message", "arguments": A, "thought_signature": "SIG"},
                            }
                        ]
                    }
                )
            ),
            lambda b: assistant(b)["tool_calls"][0]["function"].get("thought_signature") == "SIG",
        ),
    ),
    param(
        "15-of-the-message",
        then(chunk({"extra_content": SIGNED}) + calls(call(A)), sends_back("extra_content", SIGNED)),
    ),
    param(
        "15-null",
        then(calls(call(A, extra_content=None)), lambda b: "extra_content" not in assistant(b)["tool_calls"][0]),
    ),
    param(
        "15-half-a-character",
        then(
            calls(call(A, extra_content={"s": "\ud83d"})),
            lambda b: assistant(b)["tool_calls"][0]["extra_content"] == {"s": "\ufffd"},
        ),
    ),
    param("16", then(chunk({"reasoning_content": "hm"}) + calls(call(A)), sends_back("reasoning_content", "hm"))),
    param(
        "16-in-pieces",
        then(
            chunk({"reasoning_content": "h"}) + chunk({"reasoning_content": "m"}) + calls(call(A)),
            sends_back("reasoning_content", "hm"),
        ),
    ),
    param("16-reasoning", then(chunk({"reasoning": "hm"}) + calls(call(A)), sends_back("reasoning", "hm"))),
    param(
        "16-details",
        then(
            chunk({"reasoning_details": [{"type": "reasoning.text", "text": "h"}]})
            + chunk({"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]})
            + calls(call(A)),
            lambda b: len(assistant(b)["reasoning_details"]) == 2,
        ),
    ),
    param("16-empty", then(chunk({"reasoning_content": ""}) + calls(call(A)), sends_back("reasoning_content", ""))),
    param(
        "16-a-pair-in-pieces",
        then(
            chunk({"reasoning_content": "\ud83d"}) + chunk({"reasoning_content": "\ude00"}) + calls(call(A)),
            sends_back("reasoning_content", "\U0001f600"),
        ),
    ),
    param(
        "16-with-text",
        then(
            chunk({"reasoning_content": "hm"}) + text("one") + calls(call(A)),
            lambda b: assistant(b).get("reasoning_content") == "hm" and assistant(b)["content"] == "one",
        ),
        "one\n\ndone",
    ),
    param(
        "16-refused",
        lambda b: (
            Answer(chunk({"reasoning_content": "hm"}) + calls(call(A)))
            if not results(b)
            else refusal("property 'reasoning_content' is unsupported")
            if "reasoning_content" in assistant(b)
            else ok("done")
        ),
    ),
    param("17", then(calls(call(A + B)), count(2))),
    param("17-three", then(calls(call(A + B + C)), count(3))),
    param("17-lines", then(calls(call(f"{A}\n{B}\n")), count(2))),
    param("17-commas", then(calls(call(f"{A}, {B}")), count(2))),
    param("17-in-pieces", then(calls(call(A[:5]), more_of(A[5:] + B[:4], index=0), more_of(B[4:], index=0)), count(2))),
    param("17-twice-the-same", then(calls(call(A + A)), count(2))),
    param("17-braces-in-text", then(calls(call('{"action":"react","message":"}{"}')), count(1))),
    param("18", then(calls(call(A), call(B, "call_b")), count(2))),
    param(
        "18-three-in-one-chunk",
        then(calls(chunk({"tool_calls": [entry(A, "a"), entry(B, "b"), entry(C, "c")]})), count(3)),
    ),
    param("18-no-index", then(calls(call(A, "a", None), call(B, "b", None)), count(2))),
    param("18-no-ids", then(calls(call(A, None, 0), call(B, None, 1)), count(2))),
    param("18-empty-ids", then(calls(call(A, "", 0), call(B, "", 1)), count(2))),
    param("18-same-ids", then(calls(call(A, "a", 0), call(B, "a", 1)), count(2))),
    param("18-neither", then(calls(call(A, None, None), call(B, None, None)), count(2))),
    param("18-text-index", then(calls(call(A[:5], "a", "0"), more_of(A[5:], index="0"), call(B, "b", "1")), count(2))),
    param("18-said-again-whole", then(calls(call(A, "a"), call(A, "a")), count(1))),
    param("18-an-object", then(calls(chunk({"tool_calls": entry(A)})), count(1))),
    param("18-function-call", then(calls(chunk({"function_call": {"name": "message", "arguments": A}})), count(1))),
    param("18-finish-stop", then(call(A) + END, count(1))),
    param("19", always("".join(map(text, THINK)) + END), "The answer is 4."),
    param("19-whole", always(text(THINK) + END), "The answer is 4."),
    param("19-thinking", always(text(THINK.replace("think>", "thinking>")) + END), "The answer is 4."),
    param(
        "19-a-fence-in-the-thought", always(text("```py\nx\n```\n</think>\nThe answer is 4.") + END), "The answer is 4."
    ),
    param("19-paragraphs", always("".join(map(text, "One.\n\nTwo.\n\n" + THINK)) + END), "The answer is 4."),
    param("19-nothing-after", always(text("I will think.</think>") + END), "The model gave no answer."),
    param(
        "19-before-a-call",
        lambda b: ok("The answer is 4.") if results(b) else Answer(text("hm\n</think>\n") + calls(call(A))),
        "The answer is 4.",
    ),
    param(
        "19-after-a-call",
        lambda b: Answer("".join(map(text, THINK)) + END) if results(b) else Answer(calls(call(A))),
        "The answer is 4.",
    ),
    param(
        "19-in-one-piece",
        always(json.dumps({"choices": [{"message": {"content": THINK}}]}), content_type="application/json"),
        "The answer is 4.",
    ),
    param("20", always(text("done") + END, content_type="application/json")),
    param("20-charset", always(text("done") + END, content_type="application/json; charset=utf-8")),
    param("20-octets", always(text("done") + END, content_type="application/octet-stream")),
    param("20-html", always(text("done") + END, content_type="text/html")),
    param("20-comments", always(": hello\n\n" + text("done") + ": ping\n\n" + END, content_type="text/plain")),
    param("20-lines", always((text("done") + END).replace("\n", "\r\n"), content_type="application/json")),
    param("20-bom", always("\ufeff" + text("done") + END, content_type="application/json")),
    param("20-no-blank", always((text("done") + END).replace("data: ", "data:"), content_type="application/json")),
    param(
        "20-events",
        always(
            (text("done") + END).replace("data: ", "event: message\nid: 4\ndata: "), content_type="application/json"
        ),
    ),
    param(
        "20-json-lines",
        always(
            (text("done") + END).replace("data: [DONE]", "").replace("data: ", ""), content_type="application/x-ndjson"
        ),
    ),
    param(
        "20-gzip",
        always(
            gzip.compress((text("done") + END).encode()),
            content_type="application/json",
            headers=(("content-encoding", "gzip"),),
        ),
    ),
    param("20-no-done", always(text("done"), content_type="application/json")),
    param("21-json-as-text", always(json.dumps(WHOLE), content_type="text/plain")),
    param("21-json-as-stream", always(json.dumps(WHOLE))),
    param("21-pretty", always(json.dumps(WHOLE, indent=2), content_type="text/plain")),
    param("21-blanks-before", always("\n\n  " + json.dumps(WHOLE), content_type="application/json")),
    param("21-in-a-stream", always(data(WHOLE))),
    param("21-a-page", always("<html>nginx</html>", content_type="text/html"), FAILED, "nginx"),
    param(
        "21-an-error",
        always(json.dumps({"error": {"message": "nope, sorry"}}), content_type="application/json"),
        FAILED,
        "nope, sorry",
    ),
    param("21-a-word", always("It works!", content_type="text/plain"), FAILED, "It works!"),
    param(
        "21-no-json",
        always("{malformed: <<<>>>", content_type="application/json"),
        GARBLED,
        "18 characters that are no JSON",
    ),
    param("21-null", always("null", content_type="application/json"), FAILED),
]


async def start(harness: Harness, serve: Serve, **more: Any) -> Server:
    return await start_model_gateway(harness, serve, ok("well, too"), **more)


@pytest.mark.parametrize(("serve", "expected", "log"), CASES)
async def test_what_a_server_may_answer(
    harness: Harness, logbook: Logbook, serve: Serve, expected: str, log: str
) -> None:
    """The person reads `expected` or begins to, the thread goes on, another person is answered, nothing restarts."""
    await check(harness, logbook, await start(harness, serve), expected, log)


async def test_odd_usage_is_unknown(harness: Harness) -> None:
    """What can't be a number of tokens is not counted; what can is."""
    odd = data({"choices": [], "usage": {"prompt_tokens": 1000.0, "completion_tokens": -1}})
    half = data({"choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 10**30}})
    await start(harness, once(Answer(text("done") + odd + END), Answer(text("done") + half + END)))
    for _ in range(2):
        harness.say("@helper hello")
        await harness.settled()
    rows = harness.journal.execute("SELECT input_tokens, output_tokens FROM usage ORDER BY at").fetchall()
    assert rows == [(0, 0), (12, 0)]


async def test_no_answer_is_said_and_the_roles_alternate_afterwards(harness: Harness) -> None:
    """The next question is taken by a server that insists on alternating roles."""
    server = await start(harness, always(DONE))
    post = harness.say("@helper hello")
    await harness.settled()
    assert harness.answers() == ["The model gave no answer."]
    for _ in range(2):
        harness.say("@helper are you well", root=post)
        await harness.settled()
    roles = [message["role"] for message in server.requests[-1]["messages"]]
    assert roles == ["system", "user", "assistant", "user", "assistant", "user"]
    assert server.malformed == []


async def test_refusals_are_learned_once(harness: Harness, logbook: Logbook) -> None:
    """One after another in one turn; the next turn asks as the model wants it, and the log named each once."""

    def serve(body: dict[str, Any]) -> Answer:
        if "tools" in body:
            return refusal("m does not support tools")
        if body["messages"][0]["role"] == "system":
            return refusal("System role not supported")
        if "stream_options" in body:
            return refusal("Unknown parameter: 'stream_options'.", param="stream_options")
        if body["max_tokens"] > 100:
            return refusal("max_tokens: 500 > 100, which is the maximum allowed number of output tokens for m")
        return ok("done")

    server = await start(harness, serve)
    harness.say("@helper hello")
    await harness.settled()
    assert (harness.answers(), len(server.requests)) == (["done"], 5)
    harness.say("@helper hello")
    await harness.settled()
    assert (harness.answers(), len(server.requests)) == (["done", "done"], 6)
    named = [(event["event"].split(":")[0], event["key"]) for event in logbook.events if "key" in event]
    assert named == [
        ("the model takes no tools", 'models.providers.live.models[].tools = false (for id = "m")'),
        ("the model refuses the system role", ""),
        ("the model refuses stream_options", ""),
        (
            "the model refuses an answer of more than 100 tokens",
            'models.providers.live.models[].maxTokens = 100 (for id = "m")',
        ),
    ]


async def test_19_in_posts_by_blocks(harness: Harness) -> None:
    """What was posted before the end of the thought was known goes away; the answer stands alone."""
    pieces = ("I will think about it.\n\n", "Two and two.\n\n", "\n</think>\n\nThe answer is 4.", " Really.")
    streaming = {"mode": "off", "block": {"enabled": True, "coalesce": {"minChars": 5, "idleMs": 300}}}
    server = await start(harness, always((*map(text, pieces), END)), mattermost={"streaming": streaming})
    post = harness.say("@helper hello")
    await harness.settled()
    assert "I will think about it." in harness.chat()
    assert harness.answers() == ["The answer is 4. Really."]
    harness.say("@helper are you well", root=post)
    await harness.settled()
    assert "will think" not in json.dumps(server.requests[-1])


async def test_a_thought_stays_out_of_later_prompts(harness: Harness) -> None:
    """What came before the end of a thought is not repeated to the model."""
    server = await start(harness, always("".join(map(text, THINK)) + END))
    post = harness.say("@helper hello")
    await harness.settled()
    harness.say("@helper are you well", root=post)
    await harness.settled()
    assert "I will think" not in json.dumps(server.requests[-1])


ADDRESSES = [
    (
        "http://model.test/openai/deployments/d?api-version=2024-10-21",
        "/openai/deployments/d/chat/completions?api-version=2024-10-21",
    ),
    ("http://model.test/openai/deployments/d/?api-version=1", "/openai/deployments/d/chat/completions?api-version=1"),
    ("http://model.test/v1?a=1&b=%2F", "/v1/chat/completions?a=1&b=%2F"),
    ("http://model.test/v1/", "/v1/chat/completions"),
    ("http://model.test", "/chat/completions"),
    ("http://model.test:8080/v1/chat/completions", "/v1/chat/completions"),
    ("http://model.test/v1/chat/completions?api-version=1", "/v1/chat/completions?api-version=1"),
    ("http://model.test/a%20b/v1", "/a%20b/v1/chat/completions"),
]


@pytest.mark.parametrize(("base_url", "url"), ADDRESSES, ids=[url for url, _ in ADDRESSES])
async def test_22_where_the_request_goes(harness: Harness, base_url: str, url: str) -> None:
    """A query of the base URL stays behind the path, as deployments of Azure are addressed."""
    server = await start(harness, always(text("done") + END), base_url=base_url)
    harness.say("@helper hello")
    await harness.settled()
    assert (harness.answers(), server.urls) == (["done"], [url])


def _reset(stream: trio.SocketStream) -> None:
    """Close with an RST, as a server that dies."""
    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()


@define(eq=False)
class Loopback:
    """A server on loopback that sends `pieces` of a chunked body, each once the last was read, and then a reset."""

    pieces: tuple[str, ...]
    read: Callable[[str], bool]
    requests: int = 0

    async def handle(self, stream: trio.SocketStream) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            request += await stream.receive_some()
        self.requests += 1
        head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        await stream.send_all(head.encode())
        for piece in self.pieces:
            await stream.send_all(
                f"{len(piece):x}\r\n{text(piece)}\r\n".replace(f"{len(piece):x}", f"{len(text(piece)):x}", 1).encode()
            )
            while not self.read(piece):  # noqa: ASYNC110 - the chat knows nothing of events
                await trio.sleep(0.05)
        _reset(stream)


@pytest.fixture
def stepped_clock() -> trio.testing.MockClock:
    """For real sockets: time passes only while nothing is to be read, so none runs out because the machine is busy."""
    return trio.testing.MockClock()


async def step(clock: trio.testing.MockClock) -> None:
    while True:
        await trio.testing.wait_all_tasks_blocked(0.002)
        clock.jump(0.05)


async def test_7_a_real_reset(stepped_clock: trio.testing.MockClock, nursery: trio.Nursery, logbook: Logbook) -> None:
    """Three pieces that people have read, then an RST: the text stays, with the sentence below it."""
    nursery.start_soon(step, stepped_clock)
    async with open_harness(nursery) as harness:
        pieces = ("one ", "two ", "three")

        def is_read(piece: str) -> bool:
            return any(piece.strip() in answer for answer in harness.answers())

        server = Loopback(pieces, is_read)
        listeners = await nursery.start(partial(trio.serve_tcp, server.handle, 0, host="127.0.0.1"))
        port = listeners[0].socket.getsockname()[1]
        http = httpx.AsyncClient(trust_env=False, verify=False)
        harness.make_agent = lambda spec, _http: build_agent(spec, http)
        await harness.start(None, **tables(OPENAI, f"http://127.0.0.1:{port}/v1"))
        harness.say("@helper hello")
        await harness.until(lambda: server.requests, within=600)
        await harness.settled()
        [answer] = harness.answers()
        assert answer.startswith("one two three\n\n")
        assert "broke off" in answer
        assert server.requests == 1
        assert len(harness.streams) == 1
        assert "reset" in str(logbook.find("the agent failed")).lower()
        await http.aclose()
        await harness.stop()
    nursery.cancel_scope.cancel()


async def test_a_table_of_120_rows(harness: Harness) -> None:
    """Each further post begins with the header rows."""
    head = "| name | what it is |\n|---|---|\n"
    rows = "".join(f"| row {number} | {'words ' * 9}|\n" for number in range(120))
    await start(harness, lambda _body: ok(head + rows))
    harness.say("@helper hello")
    await harness.settled()
    answers = harness.answers()
    assert len(answers) > 1
    assert all(answer.startswith(head) for answer in answers)
    assert sum(answer.count("| row ") for answer in answers) == 120


@pytest.mark.parametrize(
    ("status", "words", "expected"),
    [
        pytest.param(400, "image exceeds 5 MB maximum", "The picture is too large for this model.", id="too-large"),
        pytest.param(400, "m is not a multimodal model", "The model's server refused", id="other-words"),
    ],
)
async def test_a_picture_that_the_server_refuses(harness: Harness, status: int, words: str, expected: str) -> None:
    """It is named as the cause where the server says so; the thread goes on without it either way."""

    def serve(body: dict[str, Any]) -> Answer:
        has_picture = "image_url" in json.dumps(body["messages"])
        return refusal(words, status) if has_picture else ok("done")

    await start(harness, serve, images=True)
    file = harness.world.files.add(harness.alice.id, harness.square.id, "a.png", PNG)
    post = harness.say("@helper look", file_ids=(file.id,))
    await harness.settled()
    assert harness.answers()[0].startswith(expected)
    harness.say("@helper then something else", root=post)
    await harness.settled()
    assert harness.answers()[1:] == ["done"]


ROOTS = [
    pytest.param("look at this", ("a.png",), True, id="26"),
    pytest.param("", ("a.png",), True, id="26-without-words"),
    pytest.param("two of them", ("a.png", "b.png"), True, id="26-two"),
    pytest.param("look at this", ("a.png",), False, id="26-before-the-start"),
]


@pytest.mark.parametrize(("words", "files", "has_listener"), ROOTS)
@pytest.mark.parametrize("api", [OPENAI, ANTHROPIC])
async def test_26_a_picture_on_the_root(
    harness: Harness, api: str, words: str, files: tuple[str, ...], has_listener: bool
) -> None:
    """Who is asked about it in a reply is sent it; as long as the conversation goes on, on either wire."""
    whole = {"type": "message", "content": [{"type": "text", "text": "a cat"}], "stop_reason": "end_turn"}
    answer = ok("a cat") if api == OPENAI else Answer(json.dumps(whole))
    ids = tuple(harness.world.files.add(harness.alice.id, harness.square.id, name, PNG).id for name in files)

    async def begin() -> Server:
        return await start_model_gateway(harness, lambda _body: answer, answer, api=api, images=True)

    server = await begin() if has_listener else None
    root = harness.say(words, file_ids=ids)
    server = server or await begin()
    for _ in range(2):
        harness.say("@helper what is this", root=root)
        await harness.settled()
    assert harness.answers() == ["a cat", "a cat"]
    sent = [json.dumps(body["messages"]).count(base64.b64encode(PNG).decode()) for body in server.requests]
    assert sent == [len(files)] * 2
    assert server.malformed == []


async def test_26_a_model_without_pictures(harness: Harness) -> None:
    """A model without images reads that there is one."""
    server = await start(harness, always(text("done") + END))
    file = harness.world.files.add(harness.alice.id, harness.square.id, "a.png", PNG)
    root = harness.say("look at this", file_ids=(file.id,))
    harness.say("@helper what is this", root=root)
    await harness.settled()
    request_json = json.dumps(server.requests[-1]["messages"])
    assert "a.png" in request_json
    assert "its content is not shown" in request_json
    assert "image_url" not in request_json


@pytest.mark.parametrize("status", [401, 402, 403, 404])
async def test_a_fallback_answers_for_a_model_that_is_closed_to_us(harness: Harness, status: int) -> None:
    """A revoked key, an empty purse, a model that is gone: the next one is asked, and the first not again."""
    made = tables(OPENAI, "http://model.test/v1")
    made["models"]["providers"]["live"]["models"].append({"id": "n"})
    made["agents"]["defaults"]["model"]["fallbacks"] = ["live/n"]
    server = Server(lambda b: refusal("no", status) if b["model"] == "m" else ok("done"), insist_openai, ok("well"))
    harness.make_agent = server.agent
    await harness.start(**made)
    harness.say("@helper hello")
    await harness.settled()
    assert harness.answers() == ["done"]
    assert [body["model"] for body in server.requests] == ["m", "n"]
