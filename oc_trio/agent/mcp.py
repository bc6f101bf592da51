"""Tool servers that speak MCP, through the official `mcp` package: an owner task per server, a `Toolbox` for the rest.

A client must be entered and left by one and the same task, so `serve` holds it and calls come from outside. `mcp` and
its HTTP stack are imported only when a server is started.
"""

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from enum import Enum
from typing import TYPE_CHECKING, Any, NoReturn

import trio
from attrs import field, frozen

from oc_trio.agent.child import StderrLog
from oc_trio.agent.failures import explain
from oc_trio.agent.mcp_words import result_text, tool_specs
from oc_trio.agent.port import ToolCall, ToolResult, ToolSpec
from oc_trio.core.turn_events import ToolStatus
from oc_trio.errors import ConfigError, Problem
from oc_trio.telemetry.log import get_logger

if TYPE_CHECKING:
    from mcp import Client

log = get_logger(part="mcp")

_MOST_PAGES = 50  # of a tools list; a cursor that never ends must not hang a start


@frozen
class Restarts:
    """Seconds between starts: doubling from `first_wait` to `longest_wait`, anew after `healthy_after` of service."""

    first_wait: float = 1.0
    longest_wait: float = 60.0
    healthy_after: float = 60.0

    def wait(self, failures: int) -> float:
        return float(min(self.first_wait * 2.0 ** min(failures, 30), self.longest_wait))


@frozen
class McpServerSpec:
    """`command` (run without a shell, standard streams) or `url` (streamable HTTP); limits in seconds."""

    name: str
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(factory=dict, repr=False, hash=False)
    cwd: str = ""
    url: str = ""
    headers: Mapping[str, str] = field(factory=dict, repr=False, hash=False)
    start_limit: float = 30.0
    restarts: Restarts = Restarts()


class McpState(Enum):
    """`DOWN` until the first start succeeds, and again between a death and the next start."""

    DOWN = "down"
    READY = "ready"


class McpServer:
    """One server's tools. `problem` says why it is down, empty while up; `starts` counts successful starts."""

    def __init__(self, spec: McpServerSpec) -> None:
        if bool(spec.command) == bool(spec.url):
            raise ConfigError(Problem(f"mcp.servers.{spec.name}", "exactly one of command and url is needed"))
        self._spec = spec
        self._client: Client | None = None
        self._names: Mapping[str, str] = {}
        self._lost = trio.Event()
        self._settled = trio.Event()
        self.specs: Sequence[ToolSpec] = ()
        self.problem = "not started yet"
        self.starts = 0

    @property
    def name(self) -> str:
        return self._spec.name

    @property
    def state(self) -> McpState:
        return McpState.READY if self._client is not None else McpState.DOWN

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the server up for ever. Started means: the first start has succeeded or failed.

        Raises `ConfigError` where the `mcp` package is not installed.
        """
        _require_mcp(self.name)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_up)
            await self._settled.wait()
            task_status.started()

    async def _keep_up(self) -> NoReturn:
        failures = 0
        while True:
            since = trio.current_time()
            await self._live()
            if trio.current_time() - since >= self._spec.restarts.healthy_after:
                failures = 0
            wait = self._spec.restarts.wait(failures)
            failures += 1
            log.warning("MCP server is down", server=self.name, reason=self.problem, next_start_s=wait)
            await trio.sleep(wait)

    async def call(self, call: ToolCall) -> ToolResult:
        """Call a tool by the name in `specs`. Cancelling tells the server; a death is a failed result."""
        client = self._client
        if client is None:
            return ToolResult(f"The tool server {self.name} is not running ({self.problem}).", ToolStatus.FAILED)
        try:
            result = await client.call_tool(self._names.get(call.name, call.name), dict(call.arguments))
        except _peer_errors() as exc:
            return self._failed(call, exc)
        return ToolResult(result_text(result), ToolStatus.FAILED if result.is_error else ToolStatus.COMPLETED)

    def _failed(self, call: ToolCall, exc: Exception) -> ToolResult:
        from mcp import MCPError
        from mcp.types import CONNECTION_CLOSED

        # An HTTP server that was restarted no longer knows our session and says so with these words.
        lost = not isinstance(exc, MCPError) or exc.error.code == CONNECTION_CLOSED or "Session terminated" in str(exc)
        if not lost:
            return ToolResult(f"{call.name} failed: {exc}", ToolStatus.FAILED)
        self.problem = f"it went away during {call.name}"
        self._lost.set()
        text = f"The tool server {self.name} went away during the call. Whether it had an effect is unknown."
        return ToolResult(text, ToolStatus.FAILED, "server died")

    async def _live(self) -> None:
        """One life of the server: start, serve until it is lost. What stopped it is in `problem`."""
        try:
            await self._serve_once()
        except* _peer_errors() as group:
            self.problem = explain(group)
        self._settled.set()

    async def _serve_once(self) -> None:
        with trio.CancelScope() as starting:
            starting.deadline = trio.current_time() + self._spec.start_limit
            async with _open_client(self._spec) as client:
                await self._read_tools(client)
                starting.deadline = float("inf")
                await self._serve_until_lost(client)
        if starting.cancelled_caught:
            self.problem = f"it did not start within {self._spec.start_limit:g} s"

    async def _serve_until_lost(self, client: "Client") -> None:
        self._lost = trio.Event()
        self._client = client
        self.problem = ""
        self.starts += 1
        self._settled.set()
        log.info("MCP server is up", server=self.name, tools=len(self.specs))
        try:
            await self._lost.wait()
        finally:
            self._client = None
            self.specs = ()

    async def _read_tools(self, client: "Client") -> None:
        tools: list[Any] = []
        cursor: str | None = None
        for _ in range(_MOST_PAGES):
            page = await client.list_tools(cursor=cursor)
            tools += page.tools
            cursor = page.next_cursor
            if not cursor:
                break
        self.specs, self._names = tool_specs(self.name, tools)


@asynccontextmanager
async def _open_client(spec: McpServerSpec) -> AsyncIterator["Client"]:
    if spec.url:
        import httpx2
        from mcp import Client
        from mcp.client.streamable_http import streamable_http_client

        # Reads have no limit here: a call's limit is the toolbox's, and the event stream is silent for hours.
        times = httpx2.Timeout(spec.start_limit, read=None)
        async with (
            httpx2.AsyncClient(headers=dict(spec.headers), timeout=times) as http,
            Client(streamable_http_client(spec.url, http_client=http)) as client,
        ):
            yield client
        return
    async with _open_stdio(spec) as client:
        yield client


@asynccontextmanager
async def _open_stdio(spec: McpServerSpec) -> AsyncIterator["Client"]:
    """The server's stderr goes through a pipe of ours to the operator's log."""
    from mcp import Client, StdioServerParameters
    from mcp.client.stdio import stdio_client

    program, *args = spec.command
    parameters = StdioServerParameters(command=program, args=args, env=dict(spec.env), cwd=spec.cwd or None)
    read_fd, write_fd = os.pipe()
    async with trio.lowlevel.FdStream(read_fd) as stderr, trio.open_nursery() as nursery:
        nursery.start_soon(StderrLog(spec.name).run, stderr)
        with open(write_fd, "w") as errlog:  # noqa: ASYNC230 - a pipe's end that only the child writes to
            async with Client(stdio_client(parameters, errlog=errlog)) as client:
                yield client
        nursery.cancel_scope.cancel()


def _peer_errors() -> tuple[type[Exception], ...]:
    """What a dead or refusing peer looks like, by transport."""
    import anyio
    import httpx2
    from mcp import MCPError

    return (MCPError, OSError, anyio.BrokenResourceError, anyio.ClosedResourceError, httpx2.HTTPError)


def _require_mcp(name: str) -> None:
    try:
        import mcp  # noqa: F401
    except ImportError as exc:
        problem = Problem(f"mcp.servers.{name}", "the mcp package is not installed", "pip install 'oc-trio[mcp]'")
        raise ConfigError(problem) from exc
