"""MCP tool servers as toolboxes, through the official `mcp` package: each has one task that owns its client.

A client must be entered and left by the same task, so `serve` holds it, and calls come from other tasks. `mcp` and its
HTTP stack are imported only when a server is started. Whatever a server does, and whatever the package raises, ends in
`_outcome`: a server is up, or down with a reason, and a call always has a result.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import trio
from attrs import field

from oc_trio.agent.address import secrets_in
from oc_trio.agent.failures import Endpoint
from oc_trio.agent.mcp_convert import result_text, tool_specs
from oc_trio.agent.mcp_transport import Watch, open_http, open_stdio, watched
from oc_trio.agent.port import ToolCall, ToolResult, ToolSpec
from oc_trio.classes import frozen
from oc_trio.core.backoff import exponential
from oc_trio.core.describe_error import describe_error
from oc_trio.core.exception_groups import leaves
from oc_trio.core.json_body import BadJson, checked_value, has_more_values
from oc_trio.core.turn_events import ToolStatus
from oc_trio.errors import ConfigError, Problem
from oc_trio.telemetry.log import get_logger

if TYPE_CHECKING:
    from mcp import Client

log = get_logger(part="mcp")

T = TypeVar("T")

_MANY_VALUES = 10_000  # in a structured result: formatting more takes long, so it is done in a thread
_MAX_PAGES = 50  # of a list of tools: an endless cursor must not hang a start


@frozen
class Restarts:
    """Seconds between starts: doubling from `first_wait` to `longest_wait`, anew after `healthy_after` of service."""

    first_wait: float = 1.0
    longest_wait: float = 60.0
    healthy_after: float = 60.0

    def wait(self, failures: int) -> float:
        return exponential(self.first_wait, self.longest_wait, failures)


@frozen
class McpServerSpec:
    """`command` (run without a shell, standard streams) or `url` (streamable HTTP); times in seconds.

    A child process that is to end has `stop_limit` for each of two ways: the end of its input, then SIGTERM.
    A server at a `url` is asked for its tools every `check_every` seconds, since nothing else shows that it died or
    changed. The end of a child process is noticed at once.
    """

    name: str
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(factory=dict, repr=False, hash=False)
    cwd: str = ""
    url: str = ""
    headers: Mapping[str, str] = field(factory=dict, repr=False, hash=False)
    start_limit: float = 30.0
    stop_limit: float = 2.0
    restarts: Restarts = Restarts()
    check_every: float = 60.0


class McpState(Enum):
    """`DOWN` until the first start succeeds, and again between a death and the next start."""

    DOWN = "down"
    READY = "ready"


class ToolServer:
    """One server's tools. `problem` is why it is down, empty while it is up; `starts` counts successful starts."""

    def __init__(self, spec: McpServerSpec) -> None:
        if bool(spec.command) == bool(spec.url):
            raise ConfigError(Problem(f"mcp.servers.{spec.name}", "exactly one of command and url is needed"))
        self._spec = spec
        self._client: Client | None = None
        self._names: Mapping[str, str] = {}
        self._lost = trio.Event()
        self._settled = trio.Event()
        self._left_out: tuple[str, ...] = ()
        secrets = [value for values in (spec.env, spec.headers) for value in values.values()]
        self._endpoint = Endpoint(spec.name, (*secrets, *secrets_in(spec.url)))
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
        """Run the server and restart it for ever. Started once the first start has succeeded or failed.

        Raises `ConfigError` where the `mcp` package is not installed.
        """
        _require_mcp(self.name)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._run_and_restart)
            await self._settled.wait()
            task_status.started()

    # Not `retry.retrying`, which repeats a call until it has a value: a server has none, ends by itself without an
    # exception, and counts as healthy again after it has served for a while.
    async def _run_and_restart(self) -> NoReturn:
        failures = 0
        while True:
            since = trio.current_time()
            await self._run_once()
            if trio.current_time() - since >= self._spec.restarts.healthy_after:
                failures = 0
            wait = self._spec.restarts.wait(failures)
            failures += 1
            log.warning("MCP server is down", server=self.name, reason=self.problem, next_start_s=wait)
            await trio.sleep(wait)

    async def call(self, call: ToolCall) -> ToolResult:
        """Call a tool by its name in `specs`. A cancellation is sent to the server; losing it is a failed result."""
        client, lost = self._client, self._lost
        if client is None:
            return ToolResult(f"The tool server {self.name} is not running ({self.problem}).", ToolStatus.FAILED)
        try:
            arguments = checked_value(call.arguments)
        except BadJson as problem:
            return ToolResult(f"The arguments of {call.name} can't be used: {problem}.", ToolStatus.FAILED)
        # `lost` was read before: a restart puts a new event in its place, and this call belongs to the old one.
        request = partial(_call_text, client, self._names.get(call.name, call.name), arguments)
        outcomes: list[ToolResult | Exception] = []  # empty when the server is lost meanwhile
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_after, lost, nursery.cancel_scope)
            outcomes.append(await _outcome(request))
            nursery.cancel_scope.cancel()
        if not outcomes:
            return self._lost_result()
        (outcome,) = outcomes
        return outcome if isinstance(outcome, ToolResult) else self._failed(call, outcome)

    def _failed(self, call: ToolCall, exc: Exception) -> ToolResult:
        if _is_connection_loss(exc):
            self._mark_lost(f"it went away during {call.name}")
            return self._lost_result()
        problem = self._reason(exc)
        # The error text may quote the arguments, so only the model gets it.
        log.warning("a call of an MCP server's tool failed", server=self.name, tool=call.name, kind=_kind(exc))
        return ToolResult(f"{call.name} failed: {problem}", ToolStatus.FAILED)

    def _lost_result(self) -> ToolResult:
        text = f"The tool server {self.name} went away during the call. Whether it had an effect is unknown."
        return ToolResult(text, ToolStatus.FAILED, "server died")

    def _mark_lost(self, reason: str) -> None:
        """Keep the first reason: later ones are consequences of it."""
        if not self._lost.is_set():
            self._go_down(reason)
            self._lost.set()

    def _go_down(self, reason: str) -> None:
        """State and reason change together: closing the client takes a while, in which people may look."""
        self._client = None
        self.specs = ()
        self.problem = reason

    def _reason(self, exc: Exception) -> str:
        """The error on one line, bounded, without the server's secrets; an invalid answer is not quoted."""
        from pydantic import ValidationError

        cause = next(leaves(exc))
        if isinstance(cause, ValidationError):
            return f"it answered with something that is no {cause.title}, as MCP has it"
        return self._endpoint.clean(describe_error(exc, max_chars=None))

    async def _run_once(self) -> None:
        """Start the server and serve until it is lost; the reason is then in `problem`."""
        self._lost = trio.Event()
        exc = await _outcome(self._serve_once)
        if exc is not None:
            self._mark_lost(self._reason(exc))
        self._lost.set()
        self._settled.set()

    async def _serve_once(self) -> None:
        with trio.CancelScope() as starting:
            starting.deadline = trio.current_time() + self._spec.start_limit
            async with _open_client(self._spec, Watch(self._mark_lost, self._note_left_out)) as client:
                await self._read_tools(client)
                # The limit was for the start; from here on the scope must not end the server.
                starting.deadline = float("inf")
                await self._serve_until_lost(client)
        if starting.cancelled_caught:
            self._mark_lost(f"it did not start within {self._spec.start_limit:g} s")

    async def _serve_until_lost(self, client: "Client") -> None:
        if self._lost.is_set():
            return
        self._client = client
        self.problem = ""
        self.starts += 1
        self._settled.set()
        log.info("MCP server is up", server=self.name, tools=len(self.specs))
        try:
            while not self._lost.is_set():
                # A child's end is noticed by its pipes; a server at a URL is only known to be there when it answers.
                with trio.move_on_after(self._spec.check_every if self._spec.url else float("inf")):
                    await self._lost.wait()
                if not self._lost.is_set():
                    await self._check(client)
        finally:
            # Without a reason so far when the client failed by itself: its error comes after it is closed.
            self._go_down(self.problem or "its connection ended")

    async def _check(self, client: "Client") -> None:
        with trio.move_on_after(self._spec.start_limit) as limit:
            exc = await _outcome(partial(self._read_tools, client))
            if exc is not None:
                self._mark_lost(self._reason(exc))
        if limit.cancelled_caught:
            self._mark_lost(f"it did not list its tools within {self._spec.start_limit:g} s")

    def _note_left_out(self, lines: tuple[str, ...]) -> None:
        if lines and lines != self._left_out:
            log.warning("some tools of an MCP server are left out", server=self.name, tools=lines[:20])
        self._left_out = lines

    async def _read_tools(self, client: "Client") -> None:
        tools: list[Any] = []
        cursor: str | None = None
        for _ in range(_MAX_PAGES):
            page = await client.list_tools(cursor=cursor, cache_mode="refresh")
            tools += page.tools
            cursor = page.next_cursor
            if not cursor:
                break
        if not self._lost.is_set():
            self.specs, self._names = tool_specs(self.name, tools)


@asynccontextmanager
async def _open_client(spec: McpServerSpec, watch: Watch) -> AsyncIterator["Client"]:
    from mcp import Client

    streams = (
        open_http(spec.url, spec.headers, spec.start_limit)
        if spec.url
        else open_stdio(spec.name, spec.command, spec.env, spec.cwd, spec.stop_limit, watch.ended)
    )
    async with Client(watched(streams, watch)) as client:
        yield client


async def _call_text(client: "Client", name: str, arguments: dict[str, Any]) -> ToolResult:
    result = await client.call_tool(name, arguments)
    if has_more_values(result.structured_content, _MANY_VALUES):
        text = await trio.to_thread.run_sync(result_text, result, abandon_on_cancel=True)  # others go on meanwhile
    else:
        text = result_text(result)
    return ToolResult(text, ToolStatus.FAILED if result.is_error else ToolStatus.COMPLETED)


async def _cancel_after(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


async def _outcome(run: Callable[[], Awaitable[T]]) -> T | Exception:
    """What `run` returns, or the exception that it raised. Here, and only here, every exception of a server is caught.

    The `mcp` package lets through whatever its parsers, pipes and HTTP stack raise, in groups, and the next release may
    raise other exceptions. Its code changes none of our state (the journal least of all), so that a bug in it leaves
    nothing half done. Cancellation passes.
    """
    try:
        return await run()
    except* Exception as group:  # noqa: BLE001 - see the docstring
        problem: Exception = group
    return problem


def _kind(exc: Exception) -> str:
    """The type of the error, and MCP's code where it has one."""
    cause = next(leaves(exc))
    code = getattr(getattr(cause, "error", None), "code", None)
    return type(cause).__name__ + (f" {code}" if isinstance(code, int) else "")


def _is_connection_loss(exc: Exception) -> bool:
    """Whether the connection is lost, so that the server has to be restarted; other errors fail the one call only."""
    import anyio
    import httpx2
    from mcp import MCPError
    from mcp.types import CONNECTION_CLOSED

    cause = next(leaves(exc))
    if isinstance(cause, MCPError):
        # An HTTP server that was restarted does not know our session any more, and answers with this text.
        return cause.error.code == CONNECTION_CLOSED or "Session terminated" in str(cause)
    return isinstance(cause, (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError, httpx2.HTTPError))


def _require_mcp(name: str) -> None:
    try:
        import mcp  # noqa: F401
    except ImportError as exc:
        problem = Problem(f"mcp.servers.{name}", "the mcp package is not installed", "pip install 'oc-trio[mcp]'")
        raise ConfigError(problem) from exc
