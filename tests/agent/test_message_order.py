"""Any conversation becomes one that the strictest servers take, and nothing that people said is lost."""

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from oc_trio.agent import anthropic_wire, openai_wire
from oc_trio.agent.message_order import EARLIER, NO_RESULT, NOT_ANSWERED, anthropic_messages, openai_messages
from oc_trio.agent.port import Message, Role, ToolCall, TurnRequest
from oc_trio.ids import AgentId, SessionKey

IDS = st.sampled_from(["", "a", "b", "call_0"])
TEXTS = st.sampled_from(["", "one", "two", "drei"])
CALLS = st.lists(st.builds(ToolCall, IDS, st.just("look"), st.just({})), max_size=3).map(tuple)
MESSAGES = st.lists(
    st.one_of(
        st.builds(Message, st.just(Role.USER), TEXTS),
        st.builds(Message, st.just(Role.ASSISTANT), TEXTS, tool_calls=CALLS),
        st.builds(Message, st.just(Role.TOOL), TEXTS, tool_call_id=IDS),
    ),
    max_size=12,
)


def request(messages: list[Message]) -> TurnRequest:
    return TurnRequest(AgentId("a"), SessionKey("s"), "Be kind.", tuple(messages))


def check_openai(messages: list[dict[str, Any]]) -> None:
    """One system message first; then user, assistant, user ..., where each call is followed by its results."""
    assert [message["role"] for message in messages].count("system") == 1
    assert messages[0]["role"] == "system"
    sides = []
    open_calls: list[str] = []
    for message in messages[1:]:
        if message["role"] == "tool":
            assert message["tool_call_id"] == open_calls.pop(0)
            continue
        assert not open_calls
        assert message["content"] or message.get("tool_calls")
        sides.append(message["role"])
        open_calls = [call["id"] for call in message.get("tool_calls", ())]
        assert len(set(open_calls)) == len(open_calls)
    assert not open_calls
    # The answer to a call follows it as the assistant's again: strict templates count neither calls nor results.
    spoken = [
        message["role"]
        for at, message in enumerate(messages[1:], 1)
        if message["role"] != "tool" and not (message["role"] == "assistant" and message.get("tool_calls"))
    ]
    assert sides[0] == "user"
    assert messages[-1]["role"] in ("user", "tool")
    assert all(one != two for one, two in pairwise(spoken))


def check_anthropic(messages: list[dict[str, Any]]) -> None:
    """User and assistant take turns; the results of a message's calls begin the next one."""
    roles = [message["role"] for message in messages]
    assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]
    earlier_calls: set[str] = set()
    for one, two in zip([{"content": []}, *messages], messages):
        assert two["content"]
        calls = [block["id"] for block in one["content"] if block["type"] == "tool_use"]
        results = [block["tool_use_id"] for block in two["content"] if block["type"] == "tool_result"]
        assert sorted(calls) == sorted(results)
        assert all(block["type"] == "tool_result" for block in two["content"][: len(results)])
        assert not earlier_calls & set(calls)
        earlier_calls |= set(calls)


@given(MESSAGES, st.booleans())
def test_openai(messages: list[Message], tools: bool) -> None:
    """Every transcript becomes a conversation that the strictest servers take."""
    body = openai_wire.request_body(request(messages), (), "m", {}, tools=tools)
    check_openai(body["messages"])
    text = str(body["messages"])
    assert all(message.text in text for message in messages if message.role is not Role.TOOL)
    assert tools or "tool_call" not in text


@given(MESSAGES, st.booleans())
def test_anthropic(messages: list[Message], tools: bool) -> None:
    """Every transcript becomes a conversation that the Messages API takes."""
    body = anthropic_wire.request_body(request(messages), (), "m", {}, tools=tools)
    check_anthropic(body["messages"])
    text = str(body["messages"])
    assert all(message.text in text for message in messages if message.role is not Role.TOOL)
    assert tools or "tool_use" not in text


def test_a_silent_turn_leaves_one_question_of_two() -> None:
    """The server that insists on alternating roles answers the next question."""
    made = openai_messages([{"role": "user", "content": "one"}, {"role": "user", "content": "two"}])
    assert made == [{"role": "user", "content": "one\n\ntwo"}]


def test_pictures_are_joined_as_parts() -> None:
    """A text and a list of parts become one list."""
    picture = {"type": "image_url", "image_url": {"url": "data:"}}
    made = openai_messages([{"role": "user", "content": "one"}, {"role": "user", "content": [picture]}])
    assert made == [{"role": "user", "content": [{"type": "text", "text": "one"}, picture]}]


def test_a_call_that_a_crash_cut_off_failed() -> None:
    """The model reads that it isn't known what the call did; what comes next is another turn."""
    call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    given_: list[dict[str, Any]] = [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "user", "content": "and?"},
    ]
    assert openai_messages(given_) == [
        {"role": "user", "content": EARLIER},
        given_[0],
        {"role": "tool", "tool_call_id": "1", "content": NO_RESULT},
        {"role": "assistant", "content": NOT_ANSWERED},
        given_[1],
    ]


def test_unknown_fields_stay() -> None:
    """What a provider wants back is not ours to drop."""
    call = {"id": "1", "type": "function", "function": {}, "extra_content": {"google": {"thought_signature": "S"}}}
    one = {"role": "assistant", "content": "", "reasoning_content": "Hm.", "tool_calls": [call]}
    given_: list[dict[str, Any]] = [
        {"role": "user", "content": "go"},
        one,
        {"role": "tool", "tool_call_id": "1", "content": "x"},
    ]
    assert openai_messages(given_) == given_


def test_signed_thinking_stays_before_its_call() -> None:
    """Blocks of the assistant keep their order."""
    thinking = {"type": "thinking", "thinking": "Hm.", "signature": "S"}
    call = {"type": "tool_use", "id": "1", "name": "look", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "1", "content": "x"}
    given_: list[dict[str, Any]] = [
        {"role": "user", "content": [{"type": "text", "text": "go"}]},
        {"role": "assistant", "content": [thinking, call]},
        {"role": "user", "content": [result]},
    ]
    assert anthropic_messages(given_) == given_
