"""Configured MCP servers: offered under their names, held to the rules, dead and slow ones no hindrance."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import trio

from oc_trio.agent.port import ToolCall
from oc_trio.agent.toolbox import ApprovalResult, RuledToolbox
from oc_trio.config.agents import Mcp, McpServer, ToolRules
from oc_trio.core.turn_events import ToolStatus
from oc_trio.runtime.tools.mcp_servers import open_tool_servers
from oc_trio.runtime.tools.turn_tools import policy_of

pytestmark = pytest.mark.skipif(importlib.util.find_spec("mcp") is None, reason="the mcp extra is not installed")

AGENT_TESTS = Path(__file__).parents[2] / "agent"
TOY = str(AGENT_TESTS / "toy_mcp_server.py")
WRONG = str(AGENT_TESTS / "wrong_mcp_server.py")


def toy(**more: object) -> McpServer:
    return McpServer(command=sys.executable, args=(TOY,), **more)  # type: ignore[arg-type]


def with_tools(*names: str, **more: object) -> McpServer:
    """A server that starts in a twentieth of the toy's time and only lists tools."""
    answers = {"tools/list": {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in names]}}
    return McpServer(command=sys.executable, args=("-I", "-S", WRONG, json.dumps(answers)), **more)  # type: ignore[arg-type]


@pytest.mark.slow
async def test_tools_are_offered_under_the_servers_name_and_the_rules_hold() -> None:
    """Rules of server and agent both count; a dot in a rule parts server and tool."""
    config = Mcp(servers={"my.toy": toy(allow=("add", "die"), approve=("die",)), "off": toy(enabled=False)})
    with trio.fail_after(60):
        async with open_tool_servers(config) as servers:
            approval_requests: list[str] = []

            async def approve(call: ToolCall) -> ApprovalResult:
                approval_requests.append(call.name)
                return ApprovalResult(allowed=False, reason="no")

            toolbox = RuledToolbox(servers.toolboxes, policy_of(ToolRules(), servers), approve)
            assert sorted(spec.name for spec in toolbox.specs) == ["my_toy__add", "my_toy__die"]
            assert (await toolbox.call(ToolCall("1", "my_toy__add", {"a": 1, "b": 2}))).text == "3"
            assert (await toolbox.call(ToolCall("2", "my_toy__die", {}))).status is ToolStatus.DENIED
            assert approval_requests == ["my_toy__die"]
            for pattern in ("my_toy.*", "my.toy.*", "my_toy__*", "my.toy__*"):
                none = RuledToolbox(servers.toolboxes, policy_of(ToolRules(deny=(pattern,)), servers))
                assert none.specs == ()


@pytest.mark.parametrize("pattern", ["die", "d*", "my_toy__die", "my.toy__die", "my.toy.die", "my_toy__*"])
async def test_what_is_to_be_approved_may_be_written_with_the_servers_name(pattern: str) -> None:
    """A rule that fitted nothing would let the call through."""
    with trio.fail_after(60):
        async with open_tool_servers(Mcp(servers={"my.toy": with_tools("add", "die", approve=(pattern,))})) as servers:
            toolbox = RuledToolbox(servers.toolboxes, policy_of(ToolRules(), servers))
            assert (await toolbox.call(ToolCall("1", "my_toy__die", {}))).status is ToolStatus.DENIED


async def test_what_is_to_be_approved_may_be_written_as_the_server_names_it() -> None:
    """Models see another form of a name with a dot or a slash."""
    with trio.fail_after(60):
        async with open_tool_servers(
            Mcp(servers={"toy": with_tools("odd.name/here", approve=("odd.name/*",))})
        ) as servers:
            toolbox = RuledToolbox(servers.toolboxes, policy_of(ToolRules(), servers))
            assert (await toolbox.call(ToolCall("1", "toy__odd_name_here", {}))).status is ToolStatus.DENIED


@pytest.mark.slow
async def test_a_server_that_dies_in_a_call_and_one_that_never_starts() -> None:
    """The death is a failed result; a program that is missing leaves the others."""
    config = Mcp(servers={"toy": toy(), "gone": McpServer(command="/nonexistent/program")})
    with trio.fail_after(60):
        async with open_tool_servers(config) as servers:
            toolbox = RuledToolbox(servers.toolboxes, policy_of(ToolRules(), servers))
            assert {spec.name.partition("__")[0] for spec in toolbox.specs} == {"toy"}
            result = await toolbox.call(ToolCall("1", "toy__die", {}))
            assert result.status is ToolStatus.FAILED
            assert "went away" in result.text


@pytest.mark.slow
async def test_a_calls_time_limit_is_the_servers() -> None:
    """`callSeconds` stops a call that hangs."""
    with trio.fail_after(60):
        async with open_tool_servers(Mcp(servers={"toy": toy(call_limit=0.2)})) as servers:
            toolbox = RuledToolbox(servers.toolboxes, policy_of(ToolRules(), servers))
            result = await toolbox.call(ToolCall("1", "toy__wait", {"marker": "/tmp/oc_trio_marker"}))
            assert "stopped after 0.2 s" in result.text


async def test_without_servers_nothing_is_started() -> None:
    """An empty section costs nothing."""
    async with open_tool_servers(Mcp(servers={})) as servers:
        assert servers.toolboxes == {}
