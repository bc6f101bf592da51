"""The rules of an agent hold for every call, whoever made the tool."""

from collections.abc import Mapping
from typing import Any

import pytest
import trio
import trio.testing

from oc_trio.agent.port import ToolCall, ToolResult, ToolSpec
from oc_trio.agent.toolbox import ApprovalResult, LocalTools, RuledToolbox, ToolFailed, ToolPolicy
from oc_trio.core.turn_events import ToolStatus
from oc_trio.errors import StoreError
from tests.logbook import Logbook


async def echo(arguments: Mapping[str, Any]) -> str:
    await trio.lowlevel.checkpoint()
    return f"echo {arguments['text']}"


async def broken(arguments: Mapping[str, Any]) -> str:
    await trio.lowlevel.checkpoint()
    raise ToolFailed("no such file")


async def slow(arguments: Mapping[str, Any]) -> ToolResult:
    await trio.sleep(50)
    return ToolResult("late")


SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
FILES = LocalTools(((ToolSpec("echo", "Echoes.", SCHEMA), echo), (ToolSpec("slow", "Waits."), slow)))
CORE = LocalTools(((ToolSpec("broken", "Breaks."), broken), (ToolSpec("files__echo", "Clashes."), broken)))
BOXES = {"files": FILES, "": CORE}


def names(policy: ToolPolicy) -> list[str]:
    return [spec.name for spec in RuledToolbox(BOXES, policy).specs]


OFFERS = [
    pytest.param(ToolPolicy(), ["files__echo", "files__slow", "broken"], id="all"),
    pytest.param(ToolPolicy(allow=("files__*",)), ["files__echo", "files__slow"], id="a box"),
    pytest.param(ToolPolicy(allow=("files__*",), deny=("*slow",)), ["files__echo"], id="deny wins"),
    pytest.param(ToolPolicy(allow=()), [], id="nothing"),
]


@pytest.mark.parametrize(("policy", "offered"), OFFERS)
def test_what_is_offered(policy: ToolPolicy, offered: list[str]) -> None:
    """Names carry their box; of two tools with one name the first counts."""
    assert names(policy) == offered


CALLS = [
    pytest.param("files__echo", {"text": "a"}, ToolResult("echo a"), id="works"),
    pytest.param("files__echo", {}, ToolResult("Missing arguments: text.", ToolStatus.FAILED), id="missing argument"),
    pytest.param("broken", {}, ToolResult("no such file", ToolStatus.FAILED), id="fails"),
    pytest.param("nope", {}, ToolResult("There is no tool named nope.", ToolStatus.FAILED), id="unknown"),
    pytest.param("echo", {}, ToolResult("There is no tool named echo.", ToolStatus.FAILED), id="without its box"),
]


@pytest.mark.parametrize(("name", "arguments", "result"), CALLS)
async def test_calls(name: str, arguments: dict[str, Any], result: ToolResult) -> None:
    """Every outcome is a result."""
    assert await RuledToolbox(BOXES).call(ToolCall("1", name, arguments)) == result


async def test_a_tool_that_is_not_offered_can_not_be_called() -> None:
    """A model may remember a name from elsewhere."""
    box = RuledToolbox(BOXES, ToolPolicy(deny=("files__echo",)))
    assert (await box.call(ToolCall("1", "files__echo", {"text": "a"}))).status is ToolStatus.FAILED


async def test_time_limits(autojump_clock: trio.testing.MockClock) -> None:
    """The first pattern that fits decides, else the common limit."""
    box = RuledToolbox(BOXES, ToolPolicy(limit=60, limits={"files__s*": 3}))
    result = await box.call(ToolCall("1", "files__slow"))
    assert result == ToolResult("files__slow was stopped after 3 s.", ToolStatus.FAILED, "took too long")
    assert trio.current_time() == pytest.approx(3)
    assert (await RuledToolbox(BOXES).call(ToolCall("1", "files__slow"))).text == "late"


@pytest.mark.parametrize(
    ("verdict", "status"),
    [(ApprovalResult(True), ToolStatus.COMPLETED), (ApprovalResult(False, "not now"), ToolStatus.DENIED)],
)
async def test_a_person_decides(verdict: ApprovalResult, status: ToolStatus) -> None:
    """Only the named tools are asked about, with the name and arguments that the model gave."""
    approval_requests: list[ToolCall] = []

    async def approve(call: ToolCall) -> ApprovalResult:
        await trio.lowlevel.checkpoint()
        approval_requests.append(call)
        return verdict

    box = RuledToolbox(BOXES, ToolPolicy(approve=("files__echo",)), approve)
    result = await box.call(ToolCall("1", "files__echo", {"text": "a"}))
    assert result.status is status
    assert result.text == ("echo a" if verdict.allowed else "not now")
    await box.call(ToolCall("2", "broken"))
    assert approval_requests == [ToolCall("1", "files__echo", {"text": "a"})]


async def test_without_anyone_to_ask_the_answer_is_no() -> None:
    """Closed by default."""
    box = RuledToolbox(BOXES, ToolPolicy(approve=("*",)))
    assert (await box.call(ToolCall("1", "files__echo", {"text": "a"}))).status is ToolStatus.DENIED


async def test_a_long_result_is_cut() -> None:
    """A long result is cut, and the model reads how much is missing."""
    box = RuledToolbox(BOXES, ToolPolicy(longest_result=6))
    result = await box.call(ToolCall("1", "files__echo", {"text": "abcd"}))
    assert result.text == "echo a\n[3 more characters were left out]"


async def test_a_bug_in_a_function_fails_its_call_and_is_logged(logbook: Logbook) -> None:
    """The model reads that it failed, the operator gets the traceback; the journal's errors alone leave."""
    result = await LocalTools(((ToolSpec("echo", ""), echo),)).call(ToolCall("1", "echo"))
    assert (result.status, result.detail) == (ToolStatus.FAILED, "defect")
    assert "KeyError" not in result.text
    assert logbook.find("a defect failed a tool")

    async def no_journal(arguments: Mapping[str, Any]) -> str:
        await trio.lowlevel.checkpoint()
        raise ExceptionGroup("", [KeyError(), StoreError("gone")])

    with pytest.RaisesGroup(KeyError, StoreError):
        await LocalTools(((ToolSpec("echo", ""), no_journal),)).call(ToolCall("1", "echo"))


async def test_arguments_and_results_are_clean() -> None:
    """Half an emoji is replaced on both ways; what JSON can't say is refused before anybody is asked."""
    box = RuledToolbox(BOXES)
    assert (await box.call(ToolCall("1", "files__echo", {"text": "a\ud800\0"}))).text == "echo a\ufffd"
    for bad in (float("nan"), float("-inf"), 10**400, {1: 2}, {"a"}):
        refused = await box.call(ToolCall("1", "files__echo", {"text": bad}))
        assert refused.status is ToolStatus.FAILED
        assert "can't be used" in refused.text
