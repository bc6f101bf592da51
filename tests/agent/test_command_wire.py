"""Lines of a program are read strictly: what is not in the contract is refused with a reason."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.agent.command_wire import ContractBroken, ToolCallLine, read_line, result_line
from oc_trio.agent.port import ToolCall, ToolResult
from oc_trio.core.turn_events import Failed, Final, PlanUpdated, TextDelta, Thinking, ToolStatus

GOOD = [
    pytest.param({"type": "text", "text": "a"}, TextDelta("a"), id="text"),
    pytest.param({"type": "thinking"}, Thinking(), id="thinking without words"),
    pytest.param({"type": "plan", "steps": []}, PlanUpdated(()), id="an empty plan"),
    pytest.param({"type": "tool_call", "id": "1", "name": "a"}, ToolCallLine(ToolCall("1", "a")), id="a call"),
    pytest.param({"type": "final"}, Final(""), id="an empty final"),
    pytest.param({"type": "failed", "for_user": "a"}, Failed("a", "a"), id="failed"),
    pytest.param({"type": "text", "text": "a", "more": 1}, TextDelta("a"), id="unknown fields are ignored"),
]


@pytest.mark.parametrize(("line", "event"), GOOD)
def test_what_the_contract_knows(line: dict[str, object], event: object) -> None:
    """One line, one event."""
    assert read_line(json.dumps(line).encode()) == event


BAD = [
    pytest.param(b"{", "not JSON", id="half a line"),
    pytest.param(b"5", "not an object", id="a number"),
    pytest.param(b"{}", "unknown type None", id="no type"),
    pytest.param(b'{"type": "tool_ended", "id": "1", "name": "a", "status": "odd"}', "odd", id="a status of its own"),
    pytest.param(b'{"type": "plan", "steps": 5}', "'plan'", id="steps that are none"),
    pytest.param(b'{"type": "tool_call", "id": 1, "name": "a"}', "'id'", id="an id that is no text"),
    pytest.param(b'{"type": "final", "buttons": [[{}]]}', "'label'", id="a button without label"),
    pytest.param(b'{"type": "final", "usage": {"input_tokens": "x"}}', "'final'", id="a count that is none"),
    pytest.param(b'{"type": "final", "usage": {"input_tokens": -1}}', "'input_tokens'", id="a negative count"),
    pytest.param(b'{"type": "final", "usage": {"output_tokens": 1%s}}' % (b"0" * 30), "'output_tokens'", id="huge"),
    pytest.param(b'{"type": "final", "usage": {"input_tokens": 1e400}}', "too large", id="an infinite count"),
    pytest.param(
        b'{"type": "plan", "steps": [' + b'{"text": "a"}, ' * 100 + b'{"text": "a"}]}',
        "'steps', a list of 100 items at most",
        id="more steps than anybody sees",
    ),
    pytest.param(
        b'{"type": "final", "media": [' + b'{"url": "http://h/"}, ' * 100 + b'{"path": "b"}]}',
        "'media', a list of 100 items at most",
        id="more files than anybody sends",
    ),
    pytest.param(
        b'{"type": "final", "buttons": [[' + b'{"label": "b"}, ' * 100 + b'{"label": "b"}]]}',
        "'buttons', a list of 100 items at most",
        id="a row of more buttons than fit",
    ),
    pytest.param(b'{"type": "final", "usage": [1]}', "'usage'", id="usage that is a list"),
    pytest.param(b'{"type": "final", "media": [null]}', "'media'", id="media that are none"),
    pytest.param(b'{"type": "final", "media": {"path": "x"}}', "'media'", id="media that are no list"),
    pytest.param(b'{"type": "final", "buttons": [{"label": "x"}]}', "'buttons'", id="a row that is none"),
    pytest.param(b'{"type": "plan", "steps": ["look"]}', "'steps'", id="steps that are texts"),
    pytest.param(b'{"type": "tool_call", "id": "1", "name": "a", "arguments": [1]}', "'arguments'", id="a list"),
    pytest.param(b'{"type": "text", "text": NaN}', "NaN", id="NaN"),
    pytest.param(b'{"type": "text", "text": "gr\xfcn"}', "not UTF-8", id="Latin-1"),
    pytest.param(b'{"type": "%s"}' % (b"x" * 10_000), "unknown type a str$", id="an endless type"),
    pytest.param(b"[" * 100_000, "nested too deep", id="too deep"),
]


@pytest.mark.parametrize(("line", "words"), BAD)
def test_what_it_does_not_know(line: bytes, words: str) -> None:
    """The reason names the field or the type."""
    with pytest.raises(ContractBroken, match=words):
        read_line(line)


def test_text_is_cleaned_and_the_log_gets_none_of_it() -> None:
    """Half an emoji and NUL don't come in; a refusal quotes no words."""
    assert read_line(rb'{"type": "text", "text": "a\ud83db\u0000c"}') == TextDelta("a\ufffdbc")
    with pytest.raises(ContractBroken) as caught:
        read_line(b'{"type": "text", "text": "confidential')
    assert "confidential" not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3), max_leaves=5
)
TYPES = st.sampled_from(["text", "plan", "tool_started", "tool_ended", "tool_call", "final", "failed"])
FIELDS = st.sampled_from(["text", "steps", "id", "name", "arguments", "media", "buttons", "usage", "for_user"])


@pytest.mark.slow
@given(TYPES, st.dictionaries(FIELDS, JSON))
def test_nothing_but_the_contracts_error_leaves(kind: str, fields: dict[str, object]) -> None:
    """Whatever a program writes, it is an event or a refusal."""
    with suppress(ContractBroken):
        read_line(json.dumps({**fields, "type": kind}).encode())


def test_a_result_is_one_line() -> None:
    """New lines in the text are escaped."""
    line = result_line(ToolCall("1", "a"), ToolResult("x\ny", ToolStatus.DENIED))
    assert line.count(b"\n") == 1
    assert json.loads(line) == {"type": "tool_result", "id": "1", "status": "denied", "text": "x\ny"}
