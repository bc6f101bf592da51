"""Transcripts: what goes into the journal comes out again, and the budget cuts from the old end."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.agent.port import Message, Role, ToolCall
from oc_trio.core.turn_events import Opaque, ToolStatus
from oc_trio.ids import SessionKey
from oc_trio.runtime.conversation import transcript

words = st.text(max_size=40)
calls = st.builds(ToolCall, words, words, st.dictionaries(words, st.integers() | words, max_size=3))
messages = st.builds(
    Message,
    st.sampled_from(Role),
    words,
    tool_calls=st.lists(calls, max_size=2).map(tuple),
    tool_call_id=words,
    status=st.sampled_from(ToolStatus),
    detail=words,
)


@given(messages)
def test_an_entry_comes_back_as_it_was(message: Message) -> None:
    """Roles, text, tool calls and what answers them survive the journal."""
    assert transcript.from_json(transcript.to_json(message)) == message


def test_an_entry_is_one_compact_line_of_readable_json() -> None:
    """Empty fields are left out, and umlauts are not escaped."""
    assert transcript.to_json(Message(Role.USER, "Grüße\nhier")) == '{"role":"user","text":"Grüße\\nhier"}'
    call = Message(Role.ASSISTANT, "", tool_calls=(ToolCall("c1", "look", {"at": 1}),))
    assert json.loads(transcript.to_json(call)) == {
        "role": "assistant",
        "text": "",
        "calls": [{"id": "c1", "name": "look", "arguments": {"at": 1}}],
    }
    assert json.loads(transcript.to_json(Message(Role.TOOL, "seen", tool_call_id="c1")))["of"] == "c1"


def test_rows_are_read_in_their_order() -> None:
    """What the journal lists oldest first, the model reads oldest first."""
    messages = (Message(Role.USER, "one"), Message(Role.ASSISTANT, "two"))
    assert transcript.read(SessionKey("s"), map(transcript.to_json, messages)) == messages


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        pytest.param(10_000, ["old " * 200, "answer", "newest"], id="all fit"),
        pytest.param(60, ["newest"], id="the old question goes, and its answer with it"),
        pytest.param(1, ["newest"], id="what is asked now always fits"),
    ],
)
def test_the_budget_drops_the_oldest_first(budget: int, expected: list[str]) -> None:
    """A transcript never starts in the middle of an exchange."""
    messages = (
        Message(Role.USER, "old " * 200),
        Message(Role.ASSISTANT, "answer"),
        Message(Role.USER, "newest"),
    )
    assert [message.text for message in transcript.fit_budget(budget, messages)] == expected


def test_a_tool_result_is_not_kept_without_its_call() -> None:
    """Models refuse a result whose call they can't see."""
    messages = (
        Message(Role.USER, "look " * 100),
        Message(Role.ASSISTANT, "", tool_calls=(ToolCall("c1", "look", {"at": "x" * 400}),)),
        Message(Role.TOOL, "seen", tool_call_id="c1"),
        Message(Role.USER, "thanks"),
    )
    for budget in range(1, 400, 7):
        fitting = transcript.fit_budget(budget, messages)
        if any(message.role is Role.TOOL for message in fitting):
            assert any(message.tool_calls for message in fitting)


def test_what_goes_back_to_a_provider_is_kept_and_old_rows_are_read() -> None:
    """Opaque fields are JSON as they came; a release that kept none wrote no key for them."""
    opaque = Opaque("p", "c1", {"blocks": [{"type": "thinking", "signature": "s"}]}, {"x": {"y": 1}})
    call_message = Message(Role.ASSISTANT, "", tool_calls=(ToolCall("c1", "look", {"at": 1}, opaque),))
    assert transcript.from_json(transcript.to_json(call_message)).tool_calls[0].opaque == opaque
    old = '{"role":"assistant","text":"","calls":[{"id":"c1","name":"look","arguments":{}}]}'
    assert transcript.from_json(old).tool_calls[0].opaque == Opaque()
