"""Refused parts of a request are found in the error text, left out from then on, and logged once with their key."""

import json
from typing import Any

import pytest
from attrs import evolve

from oc_trio.agent.anthropic import AnthropicAgent, AnthropicSettings
from oc_trio.agent.failures import REFUSED, TOO_LONG
from oc_trio.agent.openai import OpenAIAgent, OpenAISettings
from oc_trio.agent.port import Message, Role, ToolCall, TurnRequest
from oc_trio.agent.refusals import RefusedParts, find_refused, refused_fields, refuses_tools
from oc_trio.agent.unsupported import Unsupported
from oc_trio.core.turn_events import Failed, Final, Opaque
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
    pytest.param(400, "invalid tool configuration", id="openclaw"),
]


@pytest.mark.parametrize(("status", "words"), TOOLS_REFUSED)
async def test_a_model_without_tools_is_asked_without_them(status: int, words: str, logbook: Logbook) -> None:
    """In the same turn, and from then on; the log says once which key settles it."""
    known = Unsupported("local")
    async with serve_model(refusal(words, status), HELLO, HELLO) as server, client() as http:
        for _ in range(2):  # another agent of the same provider
            agent = OpenAIAgent(OpenAISettings(server.base_url, "gemma3:1b", unsupported=known), http)
            assert (await collect(agent, turn(Tools())))[-1] == Final("Hi")
    assert ["tools" in recorded.body for recorded in server.requests] == [True, False, False]
    (line,) = logbook.find("takes no tools")
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
    assert ["tools" in recorded.body for recorded in server.requests] == [True, False]


async def test_nothing_is_asked_again_after_the_first_word() -> None:
    """After the first text a refusal ends the turn: a repeat would say that text twice."""
    chunks = {"choices": [{"delta": {"content": "Half"}}]}, {"error": {"message": "m does not support tools"}}
    async with serve_model(Reply(body=sse(*chunks))) as server, client() as http:
        events = await collect(OpenAIAgent(OpenAISettings(server.base_url, "m"), http), turn(Tools()))
    assert isinstance(events[-1], Failed)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "words",
    [
        '"gemma3" does not support thinking',
        "thinking is not supported by this model",
        "Model grok-4 does not support parameter reasoningEffort.",
    ],
)
async def test_a_model_that_does_not_think(words: str) -> None:
    """Ollama speaks of thinking where `reasoning_effort` was sent."""
    async with serve_model(refusal(words), HELLO) as server, client() as http:
        agent = OpenAIAgent(OpenAISettings(server.base_url, "gemma3"), http)
        assert (await collect(agent, evolve(turn(Tools()), thinking="low")))[-1] == Final("Hi")
    assert server.requests[0].body.keys() - server.requests[1].body.keys() == {"reasoning_effort"}


async def test_it_is_remembered_for_that_model_only(logbook: Logbook) -> None:
    """The same server has others that take tools."""
    known = Unsupported("local")
    async with serve_model(refusal("m1 does not support tools"), HELLO, HELLO) as server, client() as http:
        for model in ("m1", "m2"):
            await collect(OpenAIAgent(OpenAISettings(server.base_url, model, unsupported=known), http), turn(Tools()))
    assert [(recorded.body["model"], "tools" in recorded.body) for recorded in server.requests] == [
        ("m1", True),
        ("m1", False),
        ("m2", True),
    ]
    assert len(logbook.find("takes no tools")) == 1


async def test_earlier_calls_are_text_for_a_model_without_tools() -> None:
    """A conversation that another model began goes on."""
    before = (
        Message(Role.USER, "go"),
        Message(Role.ASSISTANT, "", tool_calls=(ToolCall("1", "look", {}),)),
        Message(Role.TOOL, "42", tool_call_id="1"),
    )
    async with serve_model(HELLO) as server, client() as http:
        await collect(OpenAIAgent(OpenAISettings(server.base_url, "m", tools=False), http), turn(Tools(), *before))
    (message,) = server.requests[0].body["messages"]
    assert message["role"] == "user"
    assert message["content"].startswith("go\n\n(The tool look was called before, with this result: 42)\n\nhello")
    assert "tools" not in server.requests[0].body


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
    sent = [
        {key: value for key, value in recorded.body.items() if key.startswith("max_")} for recorded in server.requests
    ]
    assert sent == [{"max_tokens": 50}, {"max_completion_tokens": 50}, {"max_completion_tokens": 50}]
    (line,) = logbook.find("the model refuses max_tokens")
    assert line["key"].startswith('models.providers.openai.models[].maxTokensField = "max_completion_tokens"')


async def test_neither_field_for_the_longest_answer() -> None:
    """If both names of the length field are refused, neither is sent."""
    replies = (refusal("unknown field max_tokens"), refusal("unknown field max_completion_tokens"), HELLO, HELLO)
    async with serve_model(*replies) as server, client() as http:
        agent = OpenAIAgent(OpenAISettings(server.base_url, "m", options={"max_tokens": 50}), http)
        await collect(agent, turn())
        await collect(agent, turn())
    assert [sorted(key for key in recorded.body if key.startswith("max_")) for recorded in server.requests] == [
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
    assert ["max_tokens" in recorded.body for recorded in server.requests] == [True, False, True]


OPTIONS = [
    ("temperature", "Unsupported value: 'temperature' does not support 0.2 with this model. Only the default (1)"),
    ("temperature", "`temperature` is deprecated for this model."),
    ("top_p", "top_p: Extra inputs are not permitted"),
    (
        "stream_options",
        "[{'type': 'extra_forbidden', 'loc': ('body', 'stream_options'), 'msg': 'Extra inputs are not'}]",
    ),
    ("stop", "stop: Extra inputs are not permitted"),
    ("stream_options", "Unknown parameter: 'stream_options'."),
    ("stream_options", "Validation error at #/stream_options: Extra inputs are not permitted"),
    ("stream_options", "The 'stream_options' parameter is only allowed when 'stream' is enabled."),
    (
        "stream_options",
        (
            "{'detail': [{'type': 'extra_forbidden', 'loc': ['body', 'stream_options', 'include_usage'], "
            "'msg': 'Extra inputs are not permitted', 'input': True}]}"
        ),
    ),
    ("stream_options", 'Invalid JSON payload received. Unknown name "stream_options": Cannot find field.'),
    ("temperature", "Unsupported parameter: 'temperature' is not supported with this model."),
    ("temperature", "`temperature` may only be set to 1 when thinking is enabled or in adaptive mode."),
    ("temperature", "litellm.UnsupportedParamsError: m does not support parameters: ['temperature'], for model=m"),
    ("top_p", "`temperature` and `top_p` cannot both be specified for this model. Please use only one."),
    ("parallel_tool_calls", "Unsupported parameter: 'parallel_tool_calls' is not supported with this model."),
    ("parallel_tool_calls", 'Unknown name "parallel_tool_calls": Cannot find field.'),
    ("tool_choice", "deepseek-reasoner does not support this tool_choice"),
    ("presence_penalty", "Argument not supported on this model: presencePenalty"),
    ("presence_penalty", "Model grok-4 does not support parameter presencePenalty."),
    ("stop", "Unsupported parameter: 'stop' is not supported with this model."),
]


@pytest.mark.parametrize(("name", "words"), OPTIONS)
async def test_optional_fields_are_left_out_by_name(name: str, words: str, logbook: Logbook) -> None:
    """Whatever the operator or the gateway added is worth less than an answer; the log names it."""
    options: dict[str, Any] = {"temperature": 0.2, "top_p": 0.5, "stop": ["x"], "presence_penalty": 1}
    options |= {"parallel_tool_calls": False, "tool_choice": "auto"}
    async with serve_model(refusal(words), HELLO) as server, client() as http:
        agent = OpenAIAgent(OpenAISettings(server.base_url, "m", options=options), http)
        assert (await collect(agent, turn()))[-1] == Final("Hi")
    assert server.requests[0].body.keys() - server.requests[1].body.keys() == {name}
    assert len(logbook.find(f"the model refuses {name}")) == 1


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


SYSTEM_REFUSED = [
    pytest.param(400, "System role not supported", id="gemma-vllm"),
    pytest.param(500, "Error: Jinja Exception: System role not supported", id="gemma-llama.cpp"),
    pytest.param(400, "Developer instruction is not enabled for models/gemma-3-27b-it", id="gemini"),
    pytest.param(
        400, "Unsupported value: 'messages[0].role' does not support 'system' with this model.", id="openai-o1-mini"
    ),
    pytest.param(400, "Conversation roles must alternate user/assistant/user/assistant/...", id="mistral-vllm"),
    pytest.param(500, "Only user and assistant roles are supported!", id="mistral-llama.cpp"),
    pytest.param(500, "Only user, assistant and tool roles are supported, got system.", id="ministral"),
    pytest.param(400, "This model doesn't support system messages. Try again without them.", id="bedrock"),
    pytest.param(422, "system prompts are not supported by this model", id="prompts"),
    pytest.param(400, "Invalid role: system", id="invalid-role"),
]


@pytest.mark.parametrize(("status", "words"), SYSTEM_REFUSED)
async def test_a_model_without_a_system_role(status: int, words: str, logbook: Logbook) -> None:
    """The text leads the first question instead, now and later; the log says so once."""
    known = Unsupported("local")
    request = evolve(turn(), system_prompt="Be kind.")
    async with serve_model(refusal(words, status), HELLO, HELLO) as server, client() as http:
        for _ in range(2):
            agent = OpenAIAgent(OpenAISettings(server.base_url, "gemma", unsupported=known), http)
            assert (await collect(agent, request))[-1] == Final("Hi")
    sent = [[(each["role"], each["content"]) for each in recorded.body["messages"]] for recorded in server.requests]
    joined = [("user", "Be kind.\n\nhello")]
    assert sent == [[("system", "Be kind."), ("user", "hello")], joined, joined]
    assert len(logbook.find("the model refuses the system role")) == 1


NOT_SYSTEM = [
    "System message must be at the beginning.",
    "Multiple system messages are not supported",
    "After the optional system message, conversation roles must alternate user/assistant/user/assistant/...",
    "The system is overloaded",
    "system_fingerprint is not supported",
]


@pytest.mark.parametrize("words", NOT_SYSTEM)
def test_other_words_about_systems(words: str) -> None:
    """A request without its system message would hide what is wrong."""
    messages = [{"role": "system", "content": "x"}, {"role": "user", "content": "y"}]
    assert not find_refused({"messages": messages}, words)


async def test_a_template_that_knows_no_results_of_tools() -> None:
    """It speaks of alternating roles: tools are the third side that it does not know."""
    before = (Message(Role.ASSISTANT, "", tool_calls=(ToolCall("1", "look", {}),)),)
    request = evolve(turn(Tools(), Message(Role.USER, "go"), *before), system_prompt="Be kind.")
    words = "Conversation roles must alternate user/assistant/user/assistant/..."
    async with serve_model(refusal(words), HELLO) as server, client() as http:
        agent = OpenAIAgent(OpenAISettings(server.base_url, "m"), http)
        assert (await collect(agent, request))[-1] == Final("Hi")
    assert [each["role"] for each in server.requests[1].body["messages"]] == ["system", "user"]
    assert "tools" not in server.requests[1].body


def messages_with(**more: object) -> list[dict[str, Any]]:
    return [{"role": "user", "content": "go"}, {"role": "assistant", "content": "", **more}]


MESSAGE_FIELDS = [
    pytest.param(
        "'messages.1' : for 'role:assistant' the following must be satisfied[('messages.1' : property "
        "'reasoning_content' is unsupported)]",
        id="groq",
    ),
    pytest.param(
        "messages.2.assistant.reasoning_content: property 'messages.2.assistant.reasoning_content' is unsupported",
        id="cerebras",
    ),
    pytest.param(
        "[{'type': 'extra_forbidden', 'loc': ['body', 'messages', 3, 'assistant', 'reasoning_content'], "
        "'msg': 'Extra inputs are not permitted'}]",
        id="mistral",
    ),
    pytest.param("Invalid JSON payload received. Unknown name \"reasoning_content\" at 'messages[1]'", id="gemini"),
    pytest.param(
        "The reasoning_content is an intermediate result for display purposes only. Please remove the "
        "reasoning_content from your message to reduce network traffic.",
        id="deepseek",
    ),
    pytest.param("Additional properties are not allowed ('reasoning_content' was unexpected)", id="schema"),
]


@pytest.mark.parametrize("words", MESSAGE_FIELDS)
async def test_a_field_of_a_message_is_left_out(words: str, logbook: Logbook) -> None:
    """What a provider gave with its tool calls and does not take back; calls and texts stay."""
    call = ToolCall("1", "look", {}, Opaque("tag", "1", {"reasoning_content": "hm"}, {}))
    before = Message(Role.USER, "go"), Message(Role.ASSISTANT, "", tool_calls=(call,))
    async with serve_model(refusal(words, 422), HELLO, HELLO) as server, client() as http:
        agent = OpenAIAgent(OpenAISettings(server.base_url, "m"), http)
        agent._provider = "tag"
        for _ in range(2):
            assert (await collect(agent, turn(Tools(), *before)))[-1] == Final("Hi")
    sent = [
        next(each for each in recorded.body["messages"] if each["role"] == "assistant") for recorded in server.requests
    ]
    assert ["reasoning_content" in each for each in sent] == [True, False, False]
    assert all(each["tool_calls"][0]["id"] == "1" for each in sent)
    assert len(logbook.find("the model refuses reasoning_content in messages")) == 1


@pytest.mark.parametrize(
    "words",
    [
        "The `reasoning_content` in the thinking mode must be passed back to the API.",
        "Missing `reasoning_content` field in the assistant message at message index 2.",
        "m does not support images",
    ],
)
def test_other_words_about_a_field_of_a_message(words: str) -> None:
    """Some servers demand it."""
    assert not find_refused({"messages": messages_with(reasoning_content="hm")}, words)


def test_fields_deep_within_messages() -> None:
    """Of a tool call, its function, a block: each is named where it is refused."""
    entry = {"id": "1", "extra_content": {}, "function": {"name": "x", "arguments": "{}", "strict": True}}
    openai = {"messages": messages_with(tool_calls=[entry])}
    words = "messages.1.tool_calls.0.extra_content: Extra inputs are not permitted"
    assert find_refused(openai, words) == RefusedParts(message_fields=frozenset({"extra_content"}))
    words = "messages.1.tool_calls.0.function.strict: Extra inputs are not permitted"
    assert find_refused(openai, words) == RefusedParts(message_fields=frozenset({"strict"}))
    block = {"type": "text", "text": "x", "citations": None}
    words = "messages.1.content.0.text.citations: Extra inputs are not permitted"
    assert find_refused({"messages": messages_with(content=[block])}, words).message_fields == {"citations"}


LONGEST = [
    pytest.param(
        "max_tokens: 100000 > 64000, which is the maximum allowed number of output tokens for claude-x",
        64000,
        id="anthropic",
    ),
    pytest.param(
        "max_tokens is too large: 100000. This model supports at most 16384 completion tokens, whereas you provided "
        "100000.",
        16384,
        id="openai",
    ),
    pytest.param(
        "Invalid 'max_tokens': integer above maximum value. Expected a value <= 16384, but got 100000 instead.",
        16384,
        id="openai-2",
    ),
    pytest.param("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]", 8192, id="deepseek"),
    pytest.param(
        "`max_tokens` must be less than or equal to `40960`, the maximum value for `max_tokens` is less than the "
        "`context_window` for this model",
        40960,
        id="groq",
    ),
    pytest.param("Range of max_tokens should be [1, 8192]", 8192, id="qwen"),
    pytest.param(
        "The parameter `max_tokens` specified in the request are not valid: integer above maximum value, expected a "
        "value <= 12288, but got 100000 instead.",
        12288,
        id="doubao",
    ),
    pytest.param(
        "The maximum tokens you requested exceeds the model limit of 2048. Try again with a maximum tokens value that "
        "is lower than 2048.",
        2048,
        id="bedrock",
    ),
    pytest.param(
        "Unable to submit request because it has a maxOutputTokens value of 100000 but the supported range is from 1 "
        "(inclusive) to 65537 (exclusive). Update the value and try again.",
        65536,
        id="gemini",
    ),
    pytest.param("too many tokens: max tokens must be less than or equal to 4096", 4096, id="cohere"),
]


@pytest.mark.parametrize(("words", "most"), LONGEST)
async def test_the_longest_answer_of_a_model(words: str, most: int, logbook: Logbook) -> None:
    """Asked again with it, now and later; the log names the key that settles it."""
    known = Unsupported("p")
    async with serve_model(refusal(words, param="max_tokens"), HELLO, HELLO) as server, client() as http:
        settings = OpenAISettings(server.base_url, "m", options={"max_tokens": 100_000}, unsupported=known)
        for _ in range(2):
            assert (await collect(OpenAIAgent(settings, http), turn()))[-1] == Final("Hi")
    assert [recorded.body["max_tokens"] for recorded in server.requests] == [100_000, most, most]
    (line,) = logbook.find("the model refuses an answer of more than")
    assert line["key"] == f'models.providers.p.models[].maxTokens = {most} (for id = "m")'


async def test_thinking_counts_into_the_longest_answer() -> None:
    """Anthropic demands a limit, and one above the budget of thinking."""
    words = "max_tokens: 32768 > 8192, which is the maximum allowed number of output tokens for m"
    answer = Reply(body=sse({"type": "message", "content": [{"type": "text", "text": "Hi"}]}, done=False))
    async with serve_model(refusal(words), answer) as server, client() as http:
        agent = AnthropicAgent(AnthropicSettings("m", base_url=server.base_url), http)
        assert (await collect(agent, evolve(turn(), thinking="high")))[-1] == Final("Hi")
    body = server.requests[1].body
    assert (body["max_tokens"], body["thinking"]["budget_tokens"]) == (8192, 4096)


ROOM = [
    pytest.param(
        "This model's maximum context length is 8192 tokens. However, you requested 8256 tokens (64 in the messages, "
        "8192 in the completion). Please reduce the length of the messages or completion.",
        8128,
        id="openai-vllm",
    ),
    pytest.param(
        "'max_tokens' or 'max_completion_tokens' is too large: 8192. This model's maximum context length is 8192 "
        "tokens and your request has 92 input tokens (8192 > 8192 - 92).",
        8100,
        id="vllm-2",
    ),
    pytest.param(
        "This model's maximum context length is 8192 tokens. However, you requested 8192 output tokens and your "
        "prompt contains at least 193 input tokens, for a total of at least 8385 tokens.",
        7999,
        id="vllm-3",
    ),
    pytest.param(
        "input length and `max_tokens` exceed context limit: 6000 + 8192 > 10000, decrease input length or "
        "`max_tokens` and try again",
        4000,
        id="anthropic",
    ),
]


@pytest.mark.parametrize(("words", "room"), ROOM)
async def test_the_room_that_this_conversation_leaves(words: str, room: int) -> None:
    """Asked again with as much, once: the next conversation may be shorter."""
    async with serve_model(refusal(words), HELLO, HELLO) as server, client() as http:
        agent = OpenAIAgent(OpenAISettings(server.base_url, "m", options={"max_tokens": 8192}), http)
        for _ in range(2):
            assert (await collect(agent, turn()))[-1] == Final("Hi")
    assert [recorded.body["max_tokens"] for recorded in server.requests] == [8192, room, 8192]


async def test_a_conversation_that_leaves_no_room_is_too_long() -> None:
    """A conversation that leaves no room for an answer fails without another request."""
    words = (
        "This model's maximum context length is 8192 tokens. However, you requested 9192 tokens (9000 in the "
        "messages, 192 in the completion). Please reduce the length of the messages or completion."
    )
    async with serve_model(refusal(words)) as server, client() as http:
        agent = OpenAIAgent(OpenAISettings(server.base_url, "m", options={"max_tokens": 192}), http)
        with pytest.raises(AgentFailed) as caught:
            await collect(agent, turn())
    assert caught.value.for_user == TOO_LONG


IDS = [
    pytest.param("Tool call id was toolu_01A|x but must be a-z, A-Z, 0-9, with a length of 9.", id="mistral"),
    pytest.param("Invalid 'messages[1].tool_calls[0].id': string too long. Expected at most 40.", id="openai"),
    pytest.param("Invalid 'messages[2].tool_call_id': string too long. Expected at most 40.", id="openai-2"),
]


@pytest.mark.parametrize("words", IDS)
async def test_ids_of_calls_that_another_provider_gave(words: str, logbook: Logbook) -> None:
    """Plain ones are sent, each with its result; otherwise a conversation could never change its model."""
    before = (
        Message(Role.USER, "go"),
        Message(Role.ASSISTANT, "", tool_calls=(ToolCall("toolu_01A|x", "look", {}), ToolCall("b", "look", {}))),
        Message(Role.TOOL, "42", tool_call_id="toolu_01A|x"),
        Message(Role.TOOL, "43", tool_call_id="b"),
    )
    async with serve_model(refusal(words), HELLO, HELLO) as server, client() as http:
        agent = OpenAIAgent(OpenAISettings(server.base_url, "m"), http)
        for _ in range(2):
            assert (await collect(agent, turn(Tools(), *before)))[-1] == Final("Hi")
    for recorded in server.requests[1:]:
        assert [call["id"] for call in recorded.body["messages"][1]["tool_calls"]] == ["call00000", "call00001"]
        results = [
            (each["tool_call_id"], each["content"]) for each in recorded.body["messages"] if each["role"] == "tool"
        ]
        assert results == [("call00000", "42"), ("call00001", "43")]
    assert len(logbook.find("the model refuses ids of tool calls")) == 1


async def test_ids_for_anthropic() -> None:
    """Its pattern has letters, digits, _ and - only."""
    before = (
        Message(Role.USER, "go"),
        Message(Role.ASSISTANT, "", tool_calls=(ToolCall("functions.look:0", "look", {}),)),
        Message(Role.TOOL, "42", tool_call_id="functions.look:0"),
    )
    words = "messages.1.content.0.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"
    answer = Reply(body=sse({"type": "message", "content": [{"type": "text", "text": "Hi"}]}, done=False))
    async with serve_model(refusal(words), answer) as server, client() as http:
        agent = AnthropicAgent(AnthropicSettings("m", base_url=server.base_url), http)
        assert (await collect(agent, turn(Tools(), *before)))[-1] == Final("Hi")
    tool_use, result = (message["content"][0] for message in server.requests[1].body["messages"][1:3])
    assert (tool_use["id"], result["tool_use_id"]) == ("call00000", "call00000")


SCHEMA = {
    "type": "object",
    "$schema": "http://json-schema.org/draft-07/schema#",
    "additionalProperties": False,
    "properties": {
        "title": {"type": "string", "title": "Title", "additionalProperties": False},
        "kind": {"enum": ["title", "$schema"], "anyOf": [{"title": "x", "type": "string"}]},
    },
    "required": ["title"],
}


async def test_keywords_in_schemas_of_tools(logbook: Logbook) -> None:
    """Gemini names those that it does not know; a property of that name stays."""
    at = "at 'tools[0].function_declarations[0].parameters': Cannot find field."
    words = f'Invalid JSON payload received. Unknown name "additionalProperties" {at}\nUnknown name "title" {at}'
    tools = Tools()
    tools.specs = (evolve(Tools().specs[0], parameters=SCHEMA),)
    async with serve_model(refusal(words), HELLO, HELLO) as server, client() as http:
        agent = OpenAIAgent(OpenAISettings(server.base_url, "m"), http)
        for _ in range(2):
            assert (await collect(agent, turn(tools)))[-1] == Final("Hi")
    for recorded in server.requests[1:]:
        assert recorded.body["tools"][0]["function"]["parameters"] == {
            "type": "object",
            "$schema": SCHEMA["$schema"],
            "properties": {
                "title": {"type": "string"},
                "kind": {"enum": ["title", "$schema"], "anyOf": [{"type": "string"}]},
            },
            "required": ["title"],
        }
    assert len(logbook.find("in schemas of tools: left out")) == 2


@pytest.mark.parametrize(
    "words",
    [
        "Missing `reasoning_content` field in the assistant message at message index 1.",
        "The `reasoning_content` in the thinking mode must be passed back to the API.",
        "thinking is enabled but reasoning_content is missing in assistant tool call message at index 1",
    ],
)
async def test_reasoning_that_another_model_never_gave(words: str) -> None:
    """Some servers want it with every tool call of the conversation."""
    before = Message(Role.USER, "go"), Message(Role.ASSISTANT, "", tool_calls=(ToolCall("1", "look", {}),))
    async with serve_model(refusal(words), HELLO) as server, client() as http:
        agent = OpenAIAgent(OpenAISettings(server.base_url, "m"), http)
        assert (await collect(agent, turn(Tools(), *before)))[-1] == Final("Hi")
    assert [each.get("reasoning_content") for each in server.requests[1].body["messages"]][:3] == [None, " ", None]


async def test_a_server_that_takes_back_what_it_said() -> None:
    """A server that demands a field and then refuses it is asked three times at most."""
    before = Message(Role.USER, "go"), Message(Role.ASSISTANT, "", tool_calls=(ToolCall("1", "look", {}),))
    wants, refuses = refusal("Missing `reasoning_content` field"), refusal("'reasoning_content' is unsupported")
    async with serve_model(*[wants, refuses] * 2) as server, client() as http:
        with pytest.raises(AgentFailed):
            await collect(OpenAIAgent(OpenAISettings(server.base_url, "m"), http), turn(Tools(), *before))
    assert len(server.requests) == 3


async def test_a_length_that_is_not_the_only_trouble() -> None:
    """What can't be mended ends it, and the length is not asked for again meanwhile."""
    length = refusal("max_tokens is too large for this conversation")
    async with serve_model(length, refusal("no"), length) as server, client() as http:
        agent = OpenAIAgent(OpenAISettings(server.base_url, "m", options={"max_tokens": 50}), http)
        with pytest.raises(AgentFailed):
            await collect(agent, turn())
    assert ["max_tokens" in recorded.body for recorded in server.requests] == [True, False]


async def test_a_model_that_does_not_stream() -> None:
    """A model that refuses to stream is asked for the whole answer at once."""
    words = "Unsupported value: 'stream' does not support true with this model. Supported values are: false."
    whole = Reply(
        body=json.dumps({"choices": [{"message": {"role": "assistant", "content": "Hi"}}]}).encode(),
        content_type="application/json",
    )
    async with serve_model(refusal(words), whole) as server, client() as http:
        agent = OpenAIAgent(OpenAISettings(server.base_url, "o1"), http)
        assert (await collect(agent, turn()))[-1] == Final("Hi")
    assert (server.requests[1].body["stream"], "stream_options" in server.requests[1].body) == (False, False)


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
    assert ["tools" in recorded.body for recorded in server.requests] == [True, False]


async def test_a_field_that_was_never_sent_is_not_tried_again() -> None:
    """One refusal is one request."""
    async with serve_model(refusal("m does not support tools")) as server, client() as http:
        with pytest.raises(AgentFailed):
            await collect(OpenAIAgent(OpenAISettings(server.base_url, "m"), http), turn())
    assert len(server.requests) == 1
