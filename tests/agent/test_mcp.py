"""A real MCP server is called, cancelled, killed and restarted."""

import importlib.util
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from hypercorn.config import Config
from hypercorn.trio import serve

from oc_trio.agent.mcp import McpServerSpec, McpState, Restarts, ToolServer
from oc_trio.agent.port import Message, Role, ToolCall, ToolResult, TurnRequest
from oc_trio.agent.scripted import CallTool, ScriptedAgent
from oc_trio.agent.toolbox import RuledToolbox, ToolPolicy
from oc_trio.core.turn_events import ToolEnded, ToolStarted, ToolStatus
from oc_trio.errors import ConfigError
from oc_trio.ids import AgentId, SessionKey
from tests.agent.model_server import collect
from tests.logbook import Logbook

pytestmark = pytest.mark.skipif(importlib.util.find_spec("mcp") is None, reason="the mcp extra is not installed")

TOY = (sys.executable, str(Path(__file__).with_name("toy_mcp_server.py")))


@asynccontextmanager
async def running(spec: McpServerSpec) -> AsyncIterator[ToolServer]:
    server = ToolServer(spec)
    async with trio.open_nursery() as nursery:
        with trio.fail_after(60):
            await nursery.start(server.serve)
        yield server
        nursery.cancel_scope.cancel()


def toy() -> McpServerSpec:
    return McpServerSpec("toy", TOY, restarts=Restarts(first_wait=0.01))


async def until_file(path: Path) -> None:
    with trio.fail_after(10):
        while not await trio.Path(path).exists():  # noqa: ASYNC110 - another process makes it
            await trio.sleep(0.01)


@pytest.mark.slow
async def test_tools_are_listed_and_called() -> None:
    """Schemas come through, odd names are made fit, results and failures are text."""
    async with running(toy()) as server:
        assert server.state is McpState.READY
        specs = {spec.name: spec for spec in server.specs}
        assert set(specs) == {"add", "wait", "die", "odd_name_here"}
        assert specs["add"].description == "Add two numbers."
        assert set(specs["add"].parameters["properties"]) == {"a", "b"}
        assert await server.call(ToolCall("1", "add", {"a": 1, "b": 2})) == ToolResult("3")
        assert await server.call(ToolCall("2", "odd_name_here")) == ToolResult("odd")
        refused = await server.call(ToolCall("3", "add", {"a": "x"}))
        assert refused.status is ToolStatus.FAILED
        assert "valid integer" in refused.text
    assert server.specs == ()


@pytest.mark.slow
async def test_cancelling_a_call_reaches_the_server_and_leaves_it_usable(tmp_path: Path) -> None:
    """The server's own task is cancelled; the next call works."""
    marker = tmp_path / "marker"
    async with running(toy()) as server:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.call, ToolCall("1", "wait", {"marker": str(marker)}))
            await until_file(Path(f"{marker}.started"))
            nursery.cancel_scope.cancel()
        await until_file(marker)
        assert await server.call(ToolCall("2", "add", {"a": 2, "b": 2})) == ToolResult("4")
        assert server.starts == 1


@pytest.mark.slow
async def test_a_death_in_a_call_is_a_result_and_the_server_comes_back(logbook: Logbook) -> None:
    """The caller is told that the effect is unknown; the owner starts it again."""
    async with running(toy()) as server:
        died = await server.call(ToolCall("1", "die"))
        assert died.status is ToolStatus.FAILED
        assert "went away" in died.text
        with trio.fail_after(30):
            while server.starts < 2:  # noqa: ASYNC110 - a process is starting
                await trio.sleep(0.01)
        assert await server.call(ToolCall("2", "add", {"a": 2, "b": 3})) == ToolResult("5")
    # It was working for somebody: what it printed may be in the log only where that is wanted.
    assert [line["private"] for line in logbook.events if line.get("line") == "dying"] == [True]


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        (McpServerSpec("gone", ("/nowhere/to/be/found",)), "No such file"),
        pytest.param(
            McpServerSpec(
                "mute", (sys.executable, "-c", "import time; time.sleep(60)"), start_limit=0.3, stop_limit=0.1
            ),
            "0.3 s",
            marks=pytest.mark.slow,
        ),
        (McpServerSpec("dead", (sys.executable, "-c", "raise SystemExit(1)")), "exit status 1"),
        (McpServerSpec("http", url="http://127.0.0.1:9/mcp"), "attempts to connect"),
    ],
    ids=["missing", "mute", "dead", "unreachable"],
)
async def test_a_server_that_does_not_start_is_down_and_says_why(spec: McpServerSpec, problem: str) -> None:
    """The gateway goes on without it, and a call is a failed result."""
    async with running(spec) as server:
        assert server.state is McpState.DOWN
        assert problem in server.problem
        result = await server.call(ToolCall("1", "add"))
        assert result.status is ToolStatus.FAILED
        assert server.specs == ()


@asynccontextmanager
async def served_over_http(port: int) -> AsyncIterator[int]:
    """The toy server on streamable HTTP; yields its port."""
    from tests.agent.toy_mcp_server import make_server

    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.graceful_timeout = 0.1
    stop = trio.Event()
    app: Any = make_server().streamable_http_app()
    async with trio.open_nursery() as nursery:
        start = partial(serve, app, config, shutdown_trigger=stop.wait)
        binds: list[str] = await nursery.start(start)
        yield int(binds[0].rpartition(":")[2])
        stop.set()


async def test_a_server_over_http_is_used_lost_and_found_again(tmp_path: Path) -> None:
    """Calls, a cancellation that arrives, a restart of the server in between."""
    marker = tmp_path / "marker"
    async with trio.open_nursery() as nursery:
        async with served_over_http(0) as port:
            spec = McpServerSpec("toy", url=f"http://127.0.0.1:{port}/mcp", restarts=Restarts(0.05, 0.05))
            server = ToolServer(spec)
            await nursery.start(server.serve)
            assert await server.call(ToolCall("1", "add", {"a": 1, "b": 2})) == ToolResult("3")
            async with trio.open_nursery() as calls:
                calls.start_soon(server.call, ToolCall("2", "wait", {"marker": str(marker)}))
                await until_file(Path(f"{marker}.started"))
                calls.cancel_scope.cancel()
            await until_file(marker)
        lost = await server.call(ToolCall("3", "add", {"a": 1, "b": 2}))
        assert "went away" in lost.text
        async with served_over_http(port):
            with trio.fail_after(30):
                while server.starts < 2:  # noqa: ASYNC110 - the owner waits between starts
                    await trio.sleep(0.01)
            assert await server.call(ToolCall("4", "add", {"a": 2, "b": 2})) == ToolResult("4")
            nursery.cancel_scope.cancel()


@pytest.mark.slow
async def test_a_turn_uses_the_tools_under_the_servers_name() -> None:
    """The scripted agent sees `toy__add` and nothing that the policy withholds."""
    async with running(toy()) as server:
        tools = RuledToolbox({"toy": server}, ToolPolicy(allow=("toy__add",)))
        assert [spec.name for spec in tools.specs] == ["toy__add"]
        request = TurnRequest(AgentId("a"), SessionKey("s"), "", (Message(Role.USER, "go"),), tools=tools)
        agent = ScriptedAgent(lambda _: [CallTool("toy__add", {"a": 20, "b": 22})])
        started, ended, _ = await collect(agent, request)
        assert started == ToolStarted("call_1", "toy__add", {"a": 20, "b": 22})
        assert ended == ToolEnded("call_1", "toy__add", ToolStatus.COMPLETED, "42")


def test_a_server_is_a_command_or_an_address() -> None:
    """Both, or neither, is the operator's mistake."""
    with pytest.raises(ConfigError):
        ToolServer(McpServerSpec("x"))
    with pytest.raises(ConfigError):
        ToolServer(McpServerSpec("x", ("a",), url="http://b"))


@pytest.mark.slow
async def test_the_reference_server_from_npm() -> None:
    """`@modelcontextprotocol/server-everything` is used as an operator would write it."""
    npx = shutil.which("npx")
    if npx is None:
        pytest.skip("npx is not installed")
    command = (npx, "-y", "@modelcontextprotocol/server-everything")
    passed = {name: value for name, value in os.environ.items() if name.lower().startswith("npm_config")}
    passed["npm_config_fetch_retries"] = "0"  # without a network this should be found out soon
    async with running(McpServerSpec("everything", command, env=passed, start_limit=50)) as server:
        if server.state is McpState.DOWN:
            pytest.skip(f"the package can't be fetched here: {server.problem}")
        result = await server.call(ToolCall("1", "echo", {"message": "hello"}))
        assert result.status is ToolStatus.COMPLETED
        assert "hello" in result.text
