"""Invariant: whatever an MCP server does, it is up or down "because ...", a call is a result, and nothing is raised."""

import importlib.util
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from hypercorn.config import Config
from hypercorn.trio import serve

from oc_trio.agent.mcp import McpServerSpec, McpState, Restarts, ToolServer
from oc_trio.agent.port import ToolCall, ToolResult
from oc_trio.agent.toolbox import RuledToolbox
from oc_trio.core.turn_events import ToolStatus
from tests.agent.test_mcp import running
from tests.agent.wrong_mcp_server import GOOD
from tests.logbook import Logbook

pytestmark = pytest.mark.skipif(importlib.util.find_spec("mcp") is None, reason="the mcp extra is not installed")

INITIALIZE: dict[str, Any] = GOOD["initialize"]
WRONG = (sys.executable, "-I", "-S", str(Path(__file__).with_name("wrong_mcp_server.py")))
SOON = Restarts(0.02, 0.02)
FINE = {"name": "ok", "inputSchema": {"type": "object"}}


def wrong(answers: dict[str, Any], *life: Path) -> McpServerSpec:
    command = (*WRONG, json.dumps(answers), *map(str, life))
    return McpServerSpec("wrong", command, restarts=SOON, stop_limit=0.1)


STARTS = [
    pytest.param({"initialize": {"protocolVersion": "1999-01-01"}}, id="half an initialize"),
    pytest.param({"initialize": {**INITIALIZE, "protocolVersion": "1999-01-01"}}, id="unknown version"),
    pytest.param({"initialize": {**INITIALIZE, "protocolVersion": 7}}, id="version is a number"),
    pytest.param({"initialize": "hello"}, id="initialize is a text"),
    pytest.param({"initialize": None}, id="initialize is null"),
    pytest.param({"initialize": {"exit": 2}}, id="exit at initialize"),
    pytest.param({"initialize": {"close": 1}}, id="stdout closed", marks=pytest.mark.slow),
    pytest.param({"tools/list": {"tools": "many"}}, id="tools is a text"),
    pytest.param({"tools/list": {"tools": {"a": 1}}}, id="tools is an object"),
    pytest.param({"tools/list": []}, id="the list is a list"),
    pytest.param({"tools/list": {"exit": 0}}, id="exit at tools/list"),
    pytest.param({"tools/list": {"tools": [FINE], "nextCursor": 5}}, id="the cursor is a number"),
]


@pytest.mark.parametrize("answers", STARTS)
async def test_a_server_that_starts_wrongly_is_down_and_says_why(answers: dict[str, Any]) -> None:
    """A reason on one line, a failed result for a call, and the next try comes."""
    async with running(wrong(answers)) as server:
        assert server.state is McpState.DOWN
        assert server.problem not in ("", "not started yet")
        assert "\n" not in server.problem
        result = await server.call(ToolCall("1", "ok"))
        assert result.status is ToolStatus.FAILED


TOOLS = [
    {"name": "no_schema"},
    {"name": 5, "inputSchema": {}},
    {"name": "bad_schema", "inputSchema": "object"},
    {"name": "bad_required", "inputSchema": {"type": "object", "required": "all"}},
    {"name": "huge", "inputSchema": {"type": "object", "properties": {"a": {"description": "x" * 70_000}}}},
    "a text",
    None,
    {"name": "half \ud800", "description": "half \ud800", "inputSchema": {"type": "object"}, "annotations": 7},
    {"name": "odd", "description": ["no", "text"], "title": 5, "inputSchema": {}, "outputSchema": "x", "icons": 7},
    {"name": "long", "description": "x" * 9_000, "inputSchema": {"properties": {"a": {}}}},
    FINE,
]


async def test_tools_that_are_written_wrongly_are_left_out_and_the_others_stay() -> None:
    """A description of a wrong type is dropped, a schema of one takes its tool with it."""
    async with running(wrong({"tools/list": {"tools": TOOLS}})) as server:
        specs = {spec.name: spec for spec in server.specs}
        assert set(specs) == {"half__", "odd", "long", "ok"}
        assert specs["half__"].description == "half \ufffd"
        assert specs["odd"].description == ""
        assert len(specs["long"].description) == 8_000
        assert specs["long"].parameters["type"] == "object"


async def test_there_is_a_bound_on_the_number_of_tools() -> None:
    """The first 256 count."""
    many = [{"name": f"t{number}", "inputSchema": {"type": "object"}} for number in range(400)]
    async with running(wrong({"tools/list": {"tools": many}})) as server:
        assert len(server.specs) == 256


@asynccontextmanager
async def others() -> AsyncIterator[list[float]]:
    """Everything else that goes on meanwhile: for each of its steps, the seconds that our process worked before it.

    Time of the processor, since on a busy machine everything waits for a while.
    """
    waits: list[float] = []

    async def run() -> None:
        while True:
            before = time.process_time()
            await trio.sleep(0.01)
            waits.append(time.process_time() - before)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        yield waits
        await trio.sleep(0.05)
        nursery.cancel_scope.cancel()


async def call_beside_others(answers: dict[str, Any]) -> tuple[ToolResult, float]:
    """The result of a call, and the longest work that everything else had to wait for meanwhile."""
    async with running(wrong(answers)) as server:
        with trio.fail_after(30):
            async with others() as waits:
                result = await server.call(ToolCall("1", "ok"))
    return result, max(waits)


@pytest.mark.slow
async def test_a_result_of_very_many_parts_is_cut_and_holds_nobody_up() -> None:
    """100,000 parts would keep the whole process busy for seconds."""
    part = {"type": "text", "text": "p"}
    result, longest = await call_beside_others({"tools/call": {"times": 100_000, "part": part}})
    assert result.text == "p\n" * 1000 + "[99000 more parts were left out]"
    assert longest < 2.0


@pytest.mark.slow
async def test_a_result_of_very_many_wrong_parts_holds_nobody_up() -> None:
    """Each is wrong in a dozen ways, all of which were put into words."""
    result, longest = await call_beside_others({"tools/call": {"times": 100_000, "part": {"type": "hologram"}}})
    assert result.status is ToolStatus.FAILED
    assert longest < 2.0


@pytest.mark.slow
async def test_a_structured_result_of_very_many_values_holds_nobody_up() -> None:
    """It is read, checked and put into words beside everything else."""
    result, longest = await call_beside_others({"tools/call": {"numbers": 3_000_000}})
    assert result.status is ToolStatus.COMPLETED
    assert longest < 2.0


@pytest.mark.slow
@pytest.mark.parametrize("line", ["y", "", "{}", "[]"])
async def test_a_program_that_writes_something_else_for_ever_is_down(line: str) -> None:
    """It is not read to the end of time, and everybody else is served meanwhile."""
    spec = McpServerSpec("wrong", ("yes", line), restarts=SOON, stop_limit=0.1)
    with trio.fail_after(30):
        async with others() as waits, running(spec) as server:
            assert server.problem == "it wrote 1000 lines in a row that are no message"
    assert max(waits) < 2.0


async def test_a_notification_of_very_many_values_is_dropped(logbook: Logbook) -> None:
    """The call that it came before has its result."""
    result, longest = await call_beside_others({"tools/call": {"first": 1_000_000}})
    assert result.text == "fine"
    assert longest < 2.0
    assert logbook.find("a message of an MCP server is too large and was dropped")


CALLS = [
    pytest.param("text", id="a text"),
    pytest.param({"content": "text"}, id="content is a text"),
    pytest.param({"content": [{"type": "hologram"}]}, id="unknown block"),
    pytest.param({"content": [{"type": "text", "text": 5}]}, id="text is a number"),
    pytest.param({"content": [None]}, id="null block"),
    pytest.param({"isError": "perhaps", "content": []}, id="isError is a text"),
    pytest.param({"resultType": "never", "content": []}, id="unknown result type"),
    pytest.param({"content": [], "structuredContent": {"a": 1e308 * 10}}, id="infinity"),
]


@pytest.mark.parametrize("result", CALLS)
async def test_a_result_of_the_wrong_shape_fails_its_call_or_is_cleaned(result: Any) -> None:
    """The server stays what it was or comes back; a result comes in any case."""
    with trio.fail_after(20):
        async with running(wrong({"tools/call": result})) as server:
            toolbox = RuledToolbox({"": server})
            first = await toolbox.call(ToolCall("1", "ok"))
            assert first.status in (ToolStatus.FAILED, ToolStatus.COMPLETED)
            while server.state is McpState.DOWN:  # noqa: ASYNC110 - a process is starting
                await trio.sleep(0.01)


async def test_half_an_emoji_in_an_argument_reaches_the_server_as_a_replacement() -> None:
    """Arguments are cleaned; NaN, an infinite number and a bottomless value are refused before the server is asked."""
    async with running(wrong({"tools/call": "echo"})) as server:
        toolbox = RuledToolbox({"": server})
        echoed = await toolbox.call(ToolCall("1", "ok", {"a": "\ud800", "\udfff": [1]}))
        assert json.loads(echoed.text) == {"a": "\ufffd", "\ufffd": [1]}
        deep: Any = []
        for _ in range(5000):
            deep = [deep]
        for bad in (float("nan"), float("inf"), deep, 10**400, object()):
            refused = await toolbox.call(ToolCall("2", "ok", {"a": bad}))
            assert refused.status is ToolStatus.FAILED
        # Past the toolbox too: the server alone is asked.
        assert (await server.call(ToolCall("3", "ok", {"a": "\ud800"}))).status is not ToolStatus.DENIED
        assert server.starts == 1 or server.state in McpState


async def test_garbage_on_standard_output_is_skipped() -> None:
    """A log line, half an emoji and bad JSON in front of an answer don't matter."""
    answers = {
        "initialize": {"line": "Listening on stdin ... \ud800 {", "then": GOOD["initialize"]},
        "tools/call": {"line": "[" * 100_000, "then": GOOD["tools/call"]},
    }
    async with running(wrong(answers)) as server:
        assert await server.call(ToolCall("1", "ok")) == ToolResult("fine")


@pytest.mark.slow
async def test_an_idle_server_that_dies_is_noticed_and_restarted() -> None:
    """Nobody calls it; it comes back again and again, and says in between why it is down."""
    problems = set()
    async with running(wrong({"after": "exit"})) as server:
        with trio.fail_after(20):
            while server.starts < 3:  # noqa: ASYNC110 - processes are starting
                problems.add(server.problem)
                await trio.sleep(0.005)
    assert any("ended" in problem or "closed" in problem for problem in problems), problems


async def test_a_server_that_answers_wrongly_after_a_restart_is_down(tmp_path: Path) -> None:
    """The first life is good and dies in a call; the second can't list its tools."""
    async with running(wrong({"tools/list": {"tools": 5}}, tmp_path / "life")) as server:
        assert server.state is McpState.READY
        assert "went away" in (await server.call(ToolCall("1", "ok"))).text
        with trio.fail_after(20):
            while "tool" not in server.problem.lower():  # noqa: ASYNC110 - a process is starting
                await trio.sleep(0.01)
        assert server.specs == ()


@asynccontextmanager
async def http_answers(answers: dict[str, Any]) -> AsyncIterator[str]:
    """A server on HTTP that answers each method with a body (bytes), or with a result."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            while True:
                what = await receive()
                await send({"type": f"{what['type']}.complete"})
                if what["type"] == "lifespan.shutdown":
                    return
        body = b""
        while True:
            event = await receive()
            body += event.get("body", b"")
            if not event.get("more_body"):
                break
        call = json.loads(body) if body else {}
        answer = answers.get(str(call.get("method")))
        if "id" not in call:
            await _respond(send, 202, b"")
        elif isinstance(answer, bytes):
            await _respond(send, 200, answer)
        elif answer is None:
            error = {"code": -32601, "message": "no such method"}
            await _respond(send, 200, json.dumps({"jsonrpc": "2.0", "id": call["id"], "error": error}).encode())
        else:
            await _respond(send, 200, json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": answer}).encode())

    config = Config()
    config.bind = ["127.0.0.1:0"]
    config.graceful_timeout = 0.1
    stop = trio.Event()
    async with trio.open_nursery() as nursery:

        async def run(*, task_status: trio.TaskStatus[Any]) -> None:
            await serve(app, config, shutdown_trigger=stop.wait, task_status=task_status)

        binds = await nursery.start(run)
        yield f"{binds[0]}/mcp"
        stop.set()


async def _respond(send: Any, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers, "trailers": False})
    await send({"type": "http.response.body", "body": body, "more_body": False})


ANOTHER_ID = b'{"jsonrpc": "2.0", "id": 99, "result": {}}'  # whoever asked waits on
BODIES = [
    pytest.param(b"not json", id="no json"),
    pytest.param(b"[" * 100_000, id="brackets"),
    pytest.param(b"", id="empty"),
    pytest.param(ANOTHER_ID, id="another id"),
    pytest.param(b'{"jsonrpc": "2.0", "id": 1, "result": 7}', id="a number"),
    pytest.param(b"\xff\xfe", id="no utf-8"),
    pytest.param(b" " * (17 * 1024 * 1024), id="17 MB"),
]


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("method", ["initialize", "tools/list", "tools/call"])
async def test_wrong_answers_over_http_are_a_reason_or_a_failed_result(method: str, body: bytes) -> None:
    """At the start the server is down, in a call the result is a failed one or the toolbox's limit stops it."""
    limit = 0.2 if body == ANOTHER_ID else 10.0
    start_limit = 10.0 if method == "tools/call" else limit
    with trio.fail_after(30):
        async with http_answers({**GOOD, method: body}) as url, trio.open_nursery() as nursery:
            server = ToolServer(McpServerSpec("web", url=url, start_limit=start_limit, restarts=SOON))
            await nursery.start(server.serve)
            if method == "tools/call":
                result = None
                with trio.move_on_after(limit):
                    result = await server.call(ToolCall("1", "ok"))
                assert result is None or result.status is ToolStatus.FAILED
            else:
                assert server.state is McpState.DOWN
                assert server.problem
            nursery.cancel_scope.cancel()


class States(trio.abc.Instrument):
    """A server's state and reason after each step of each task, where they changed."""

    def __init__(self, server: ToolServer) -> None:
        self._server = server
        self.seen: list[tuple[McpState, str]] = []

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        now = (self._server.state, self._server.problem)
        if self.seen[-1:] != [now]:
            self.seen.append(now)


async def test_an_idle_server_over_http_that_dies_is_noticed() -> None:
    """It is asked for its tools now and then; at no moment is it up with a reason, or down without one."""
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            async with http_answers(GOOD) as url:
                spec = McpServerSpec("web", url=url, restarts=Restarts(30.0), check_every=0.2)
                server = ToolServer(spec)
                states = States(server)
                trio.lowlevel.add_instrument(states)
                await nursery.start(server.serve)
                assert server.state is McpState.READY
            while server.state is McpState.READY:  # noqa: ASYNC110 - it finds out by asking
                await trio.sleep(0.01)
            assert server.problem
            nursery.cancel_scope.cancel()
    trio.lowlevel.remove_instrument(states)
    assert all((state is McpState.READY) == (problem == "") for state, problem in states.seen), states.seen


@pytest.mark.parametrize("answers", [{"after": "exit"}, {"tools/call": {"exit": 1}}], ids=["idle", "in a call"])
async def test_a_program_that_dies_is_at_no_moment_down_without_a_reason(answers: dict[str, Any]) -> None:
    """Whatever notices first that it ended, and however long it takes to clear up after it."""
    server = ToolServer(McpServerSpec("wrong", wrong(answers).command, restarts=Restarts(30.0)))
    states = States(server)
    trio.lowlevel.add_instrument(states)
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve)
            await server.call(ToolCall("1", "ok"))
            while server.state is McpState.READY:  # noqa: ASYNC110 - a process is ending
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    trio.lowlevel.remove_instrument(states)
    assert all((state is McpState.READY) == (problem == "") for state, problem in states.seen), states.seen


async def test_a_server_that_is_stopped_is_down_with_a_reason() -> None:
    """Nothing went wrong with it, but who asks is told something."""
    async with running(wrong({})) as server:
        assert (server.state, server.problem) == (McpState.READY, "")
    assert (server.state, server.problem) == (McpState.DOWN, "its connection ended")
    assert "is not running (its connection ended)" in (await server.call(ToolCall("1", "ok"))).text
