"""What a model refuses is found in its words, left out from then on, and logged once with the key that settles it."""

import json
from typing import Any

import pytest
from attrs import evolve

from oc_trio.agent.anthropic import AnthropicAgent, AnthropicSettings
from oc_trio.agent.failures import REFUSED, TOO_LONG
from oc_trio.agent.openai import OpenAIAgent, OpenAISettings
from oc_trio.agent.port import Message, Role, ToolCall, TurnRequest
from oc_trio.agent.unsupported import Unsupported, refused_fields, refuses_tools
from oc_trio.core.turn_events import Failed, Final
from oc_trio.errors import AgentFailed
from oc_trio.ids import AgentId, SessionKey
from tests.agent.model_server import Reply, Tools, client, collect, serve_model, sse
from tests.logbook import Logbook

HELLO = Reply(body=sse({"choices": [{"delta": {"content": "Hi"}, "finish_reason": "stop"}]}))


def refusal(words: str, status: int = 400, **more: object) -> Reply:
    body = json.dumps({"error": {"message": words, **more}}).encode()
    return Reply(status, body, content_type="application/json")


def turn(tools: Tools | None = None, *before: Message) -> TurnRequest:
    messages = (*before, Message(Role.USER, "hello"))
    more: dict[str, Any] = {"tools": tools} if tools else {}
    return TurnRequest(AgentId("a"), SessionKey("s"), "", messages, **more)


TOOLS_REFUSED = [
    pytest.param(400, "registry/gemma3:1b does not support tools", id="ollama"),
    pytest.param(
        400, '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set', id="vllm"
    ),
    pytest.param(500, "tools param requires --jinja flag", id="llama.cpp"),
    pytest.param(404, "No endpoints found that support tool use. To learn more, visit: https://x", id="openrouter"),
    pytest.param(400, "No endpoints found that support the provided 'tools' value", id="openrouter-2"),
    pytest.param(400, "deepseek-reasoner does not support Function Calling", id="deepseek"),
    pytest.param(400, "`tool calling` is not supported with this model", id="groq"),
    pytest.param(400, "Function calling is not enabled for models/gemma-3-27b-it", id="gemini"),
    pytest.param(400, "This model doesn\u2019t support tool use in streaming mode.", id="bedrock"),
    pytest.param(400, "openrouter does not support parameters: ['tools'], for model=x", id="litellm"),
    pytest.param(400, "Unrecognized request argument supplied: tools", id="azure"),
    pytest.param(422, "Unsupported parameter: 'tools'", id="parameter"),
    pytest.param(400, "Tools are not supported for this model.", id="plain"),
    pytest.param(400, "this deployment has tool calling disabled", id="disabled"),
    pytest.param(501, "this model has no tool support", id="none"),
]


@pytest.mark.parametrize(("status", "words"), TOOLS_REFUSED)
async def test_a_model_without_tools_is_asked_without_them(status: int, words: str, logbook: Logbook) -> None:
    """In the same turn, and from then on; the log says once which key settles it."""
    known = Unsupported("local")
    async with serve_model(refusal(words, status), HELLO, HELLO) as server, client() as http:
        for _ in range(2):  # another agent of the same provider
            agent = OpenAIAgent(OpenAISettings(server.base_url, "gemma3:1b", unsupported=known), http)
            assert (await collect(agent, turn(Tools())))[-1] == Final("Hi")
    assert ["tools" in seen.body for seen in server.seen] == [True, False, False]
    (line,) = logbook.said("takes no tools")
    assert line["key"] == 'models.providers.local.models[].tools = false (for id = "gemma3:1b")'
    assert words[:20] in line["refusal"]


NOT_TOOLS = [
    "Invalid schema for function 'look': schema must be a JSON Schema of 'type: \"object\"'",
    "messages with role 'tool' must be a response to a preceding message with 'tool_calls'",
    "Invalid value for tools[0].function.name",
    "tool_call_id not found",
    "Duplicate tool names are not allowed",
    "The model does not support images",
    "maximum context length is 8192 tokens",
    "please stop: a user is not supported here",
]


@pytest.mark.parametrize("words", NOT_TOOLS)
def test_other_words_about_tools_are_no_refusal_of_them(words: str) -> None:
    """A turn without tools would hide what is wrong with them."""
    assert not refuses_tools(words)
    assert not refused_fields({"tools": [], "messages": [], "max_tokens": 5, "stop": [], "user": ""}, words)


async def test_a_refusal_under_200_counts_too() -> None:
    """Some proxies answer 200 and put the refusal where the answer should be."""
    error = {"error": {"message": "m does not support tools", "code": 400}}
    async with serve_model(Reply(body=sse(error)), HELLO) as server, client() as http:
        agent = OpenAIAgent(OpenAISettings(server.base_url, "m"), http)
        assert (await collect(agent, turn(Tools())))[-1] == Final("Hi")
    assert ["tools" in seen.body for seen in server.seen] == [True, False]


async def test_nothing_is_asked_again_after_the_first_word() -> None:
    """It would be said twice."""
    chunks = {"choices": [{"delta": {"content": "Half"}}]}, {"error": {"message": "m does not support tools"}}
    async with serve_model(Reply(body=sse(*chunks))) as server, client() as http:
        events = await collect(OpenAIAgent(OpenAISettings(server.base_url, "m"), http), turn(Tools()))
    assert isinstance(events[-1], Failed)
    assert len(server.seen) == 1


@pytest.mark.parametrize("words", ['"gemma3" does not support thinking', "thinking is not supported by this model"])
async def test_a_model_that_does_not_think(words: str) -> None:
    """Ollama speaks of thinking where `reasoning_effort` was sent."""
    async with serve_model(refusal(words), HELLO) as server, client() as http:
        agent = OpenAIAgent(OpenAISettings(server.base_url, "gemma3"), http)
        assert (await collect(agent, evolve(turn(Tools()), thinking="low")))[-1] == Final("Hi")
    assert server.seen[0].body.keys() - server.seen[1].body.keys() == {"reasoning_effort"}


async def test_it_is_remembered_for_that_model_only(logbook: Logbook) -> None:
    """The same server has others that take tools."""
    known = Unsupported("local")
    async with serve_model(refusal("m1 does not support tools"), HELLO, HELLO) as server, client() as http:
        for model in ("m1", "m2"):
            await collect(OpenAIAgent(OpenAISettings(server.base_url, model, unsupported=known), http), turn(Tools()))
    assert [(seen.body["model"], "tools" in seen.body) for seen in server.seen] == [
        ("m1", True),
        ("m1", False),
        ("m2", True),
    ]
    assert len(logbook.said("takes no tools")) == 1


async def test_earlier_calls_are_text_for_a_model_without_tools() -> None:
    """A conversation that another model began goes on."""
    before = (
        Message(Role.USER, "go"),
        Message(Role.ASSISTANT, "", tool_calls=(ToolCall("1", "look", {}),)),
        Message(Role.TOOL, "42", tool_call_id="1"),
    )
    async with serve_model(HELLO) as server, client() as http:
        await collect(OpenAIAgent(OpenAISettings(server.base_url, "m", tools=False), http), turn(Tools(), *before))
    (message,) = server.seen[0].body["messages"]
    assert message["role"] == "user"
    assert message["content"].startswith("go\n\n(The tool look was called before, with this result: 42)\n\nhello")
    assert "tools" not in server.seen[0].body


LIMITS = [
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
    "max_tokens: Extra inputs are not permitted",
    "Unrecognized request argument supplied: max_tokens",
]


@pytest.mark.parametrize("words", LIMITS)
async def test_the_other_field_for_the_longest_answer(words: str, logbook: Logbook) -> None:
    """`max_tokens` refused is `max_completion_tokens`, now and later."""
    known = Unsupported("openai")
    async with serve_model(refusal(words), HELLO, HELLO) as server, client() as http:
        settings = OpenAISettings(server.base_url, "o5", options={"max_tokens": 50}, unsupported=known)
        for _ in range(2):
            assert (await collect(OpenAIAgent(settings, http), turn()))[-1] == Final("Hi")
    sent = [{key: value for key, value in seen.body.items() if key.startswith("max_")} for seen in server.seen]
    assert sent == [{"max_tokens": 50}, {"max_completion_tokens": 50}, {"max_completion_tokens": 50}]
    (line,) = logbook.said("the model refuses max_tokens")
    assert line["key"].startswith('models.providers.openai.models[].maxTokensField = "max_completion_tokens"')


async def test_neither_field_for_the_longest_answer() -> None:
    """Then the provider decides; both names are tried once."""
    replies = (refusal("unknown field max_tokens"), refusal("unknown field max_completion_tokens"), HELLO, HELLO)
    async with serve_model(*replies) as server, client() as http:
        agent = OpenAIAgent(OpenAISettings(server.base_url, "m", options={"max_tokens": 50}), http)
        await collect(agent, turn())
        await collect(agent, turn())
    assert [sorted(key for key in seen.body if key.startswith("max_")) for seen in server.seen] == [
        ["max_tokens"],
        ["max_completion_tokens"],
        [],
        [],
    ]


async def test_too_long_an_answer_for_this_conversation_is_not_remembered() -> None:
    """vLLM counts the prompt in; the next conversation may be shorter."""
    words = "'max_tokens' or 'max_completion_tokens' is too large: 8000. This model's maximum context length is 8192"
    async with serve_model(refusal(words), HELLO, HELLO) as server, client() as http:
        agent = OpenAIAgent(OpenAISettings(server.base_url, "m", options={"max_tokens": 8000}), http)
        await collect(agent, turn())
        await collect(agent, turn())
    assert ["max_tokens" in seen.body for seen in server.seen] == [True, False, True]


OPTIONS = [
    ("temperature", "Unsupported value: 'temperature' does not support 0.2 with this model. Only the default (1)"),
    ("temperature", "`temperature` is deprecated for this model."),
    ("top_p", "top_p: Extra inputs are not permitted"),
    (
        "stream_options",
        "[{'type': 'extra_forbidden', 'loc': ('body', 'stream_options'), 'msg': 'Extra inputs are not'}]",
    ),
    ("stop", "stop: Extra inputs are not permitted"),
    ("stop", "Unsupported parameter: 'stop' is not supported with this model."),
]


@pytest.mark.parametrize(("name", "words"), OPTIONS)
async def test_optional_fields_are_left_out_by_name(name: str, words: str, logbook: Logbook) -> None:
    """Whatever the operator or the gateway added is worth less than an answer; the log names it."""
    options = {"temperature": 0.2, "top_p": 0.5, "stop": ["x"]}
    async with serve_model(refusal(words), HELLO) as server, client() as http:
        agent = OpenAIAgent(OpenAISettings(server.base_url, "m", options=options), http)
        assert (await collect(agent, turn()))[-1] == Final("Hi")
    assert server.seen[0].body.keys() - server.seen[1].body.keys() == {name}
    assert len(logbook.said(f"the model refuses {name}")) == 1


@pytest.mark.parametrize(
    ("words", "for_user"),
    [
        ("Invalid 'temperature': decimal above maximum value.", REFUSED),
        ("max_tokens must be positive", REFUSED),
        ("This model's maximum context length is 8192 tokens", TOO_LONG),
        ("the request exceeds the available context size. try increasing the context size", TOO_LONG),
        ("prompt is too long: 210000 tokens > 200000 maximum", TOO_LONG),
        ("The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).", TOO_LONG),
        ("Please reduce the length of the messages or completion.", TOO_LONG),
    ],
)
async def test_a_refusal_is_too_long_only_when_it_is_one(words: str, for_user: str) -> None:
    """Anything else is a refusal, and the log's line has the words and the parameter."""
    options = {"temperature": 3, "max_tokens": -1, "stop": ["x"]}
    async with serve_model(refusal(words, param="temperature")) as server, client() as http:
        agent = OpenAIAgent(OpenAISettings(server.base_url, "m", options=options), http)
        with pytest.raises(AgentFailed) as caught:
            await collect(agent, turn())
    assert caught.value.for_user == for_user
    assert words in str(caught.value)
    assert "parameter 'temperature'" in str(caught.value)


async def test_anthropic_servers_refuse_tools_too() -> None:
    """Those that speak its API over other models."""
    events = [
        {"type": "message_start", "message": {}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "Hi"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
        {"type": "message_stop"},
    ]
    words = {"type": "error", "error": {"type": "invalid_request_error", "message": "m does not support tools"}}
    async with (
        serve_model(Reply(400, json.dumps(words).encode()), Reply(body=sse(*events, done=False))) as server,
        client() as http,
    ):
        agent = AnthropicAgent(AnthropicSettings("m", base_url=server.base_url), http)
        assert (await collect(agent, turn(Tools())))[-1] == Final("Hi")
    assert ["tools" in seen.body for seen in server.seen] == [True, False]


async def test_a_field_that_was_never_sent_is_not_tried_again() -> None:
    """One refusal is one request."""
    async with serve_model(refusal("m does not support tools")) as server, client() as http:
        with pytest.raises(AgentFailed):
            await collect(OpenAIAgent(OpenAISettings(server.base_url, "m"), http), turn())
    assert len(server.seen) == 1
