"""Whatever words a server refuses with, a request is mended step by step, stays well formed, and comes to an end.

What real servers say is in `test_unsupported`.
"""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.agent import anthropic_wire, openai_wire
from oc_trio.agent.adapted import adapted, without_thoughts
from oc_trio.agent.anthropic import NEEDED
from oc_trio.agent.port import Message, Role, ToolCall, TurnRequest
from oc_trio.agent.refusals import NOTHING, TOOLS, find_refused, refuses_thoughts
from oc_trio.agent.refused_lengths import is_too_long_an_answer, longest_answer, room_left
from oc_trio.core.turn_events import Opaque
from oc_trio.ids import AgentId, SessionKey
from tests.agent.model_server import Tools
from tests.runtime.model_harness import insist_anthropic, insist_openai

CALL = ToolCall(
    "toolu_01A",
    "look",
    {"a": 1},
    Opaque("tag", "toolu_01A", {"reasoning_content": "hm"}, {"extra_content": {"s": 1}}),
)
MESSAGES = (
    Message(Role.USER, "go"),
    Message(Role.ASSISTANT, "", tool_calls=(CALL,)),
    Message(Role.TOOL, "42", tool_call_id="toolu_01A"),
    Message(Role.ASSISTANT, "Fine."),
    Message(Role.USER, "and now?"),
)
REQUEST = TurnRequest(AgentId("a"), SessionKey("s"), "Be kind.", MESSAGES, tools=Tools(), thinking="low")
OPTIONS = {"temperature": 0.2, "max_tokens": 5000, "parallel_tool_calls": True, "stop": ["x"]}

Make = Callable[[bool], Mapping[str, Any]]


def openai(tools: bool) -> Mapping[str, Any]:
    return openai_wire.request_body(REQUEST, (), "m", OPTIONS, "tag", tools=tools)


def anthropic(tools: bool) -> Mapping[str, Any]:
    return anthropic_wire.request_body(REQUEST, (), "m", {"max_tokens": 5000}, "tag", tools=tools)


# Pieces of what servers say.
PIECES = [
    *("not supported", "does not support", "unsupported", "unknown", "Extra inputs are not permitted", "is required"),
    *("Missing", "please remove", "only the default (1) value is supported", "is not enabled", "requires --jinja"),
    *("tools", "tool use", "system role", "system messages", "System", "'system'", "thinking", "streaming", "stream"),
    *("reasoning_content", "'reasoning_content'", "extra_content", "messages.1.", "must be passed back", "is missing"),
    *("'temperature'", "temperature", "'stop'", "stream_options", "reasoning_effort", "reasoningEffort", "tool_choice"),
    *("max_tokens", "max_completion_tokens", "is too large: 5000", "supports at most 100 tokens", ": 5000 > 100"),
    *("roles must alternate", "the optional system message", "role does not support", "cannot both be specified"),
    *("Tool call id was", "tool_use.id: String should match pattern", "schema", "'type'", "'additionalProperties'"),
    *("maximum context length is 8192 tokens", "(64 in the messages,", "exceed context limit: 5 + 5000 > 4000"),
    *("Invalid `signature` in `thinking` block", ".", ":", ",", "'", '"', "9" * 30, "[1, 100]", "range of"),
]
WORDS = st.lists(st.sampled_from(PIECES) | st.text(max_size=8), max_size=12).map(" ".join)


@pytest.mark.parametrize("make", [openai, anthropic], ids=["openai", "anthropic"])
@given(WORDS)
def test_a_request_is_mended_to_an_end(make: Make, words: str) -> None:
    """Each step leaves something out that the next can't find again, and what is left is a conversation."""
    known, before = NOTHING, dict[str, Any]()
    for _ in range(10):
        body = adapted(make(TOOLS not in known.fields), known)
        if body == before:
            break
        assert list((insist_openai if make is openai else insist_anthropic)(body)) == []
        before = body
        known |= find_refused(body, words, NEEDED if make is anthropic else frozenset())
    else:
        pytest.fail(f"never at an end: {known}")
    if refuses_thoughts(body, words):
        assert not refuses_thoughts(without_thoughts(body), words)


@given(WORDS | st.text())
def test_lengths_are_numbers(words: str) -> None:
    """A length that is read from an error text is at least one token."""
    assert (longest_answer(words) or 1) >= 1
    assert (room_left(words) or 1) >= 1
    assert is_too_long_an_answer(words) in (True, False)


def test_the_request_stays_as_it_was() -> None:
    """What a model refuses is left out of a copy."""
    for make in (openai, anthropic):
        body = make(True)
        names = frozenset({"reasoning_content", "extra_content", "type"})
        everything = evolve(
            NOTHING, fields=frozenset(OPTIONS), message_fields=names, keywords=names, system=True, ids=True, longest=50
        )
        assert adapted(body, everything) != body
        assert body == make(True)
