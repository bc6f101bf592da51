"""`api = "command"`: runs one process per turn, which reads the turn and writes its answer as JSON lines.

`command_wire` has the lines, `child` the process. Leaving the turn ends the process within the grace period.
"""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import trio
from attrs import field

from oc_trio.agent.child import LineReader, LineTooLong, StderrLog, open_child
from oc_trio.agent.command_wire import ContractBroken, ToolCallLine, read_line, result_line, turn_line
from oc_trio.agent.failures import TOO_SLOW
from oc_trio.agent.http_stream import Deadlines
from oc_trio.agent.port import TurnRequest
from oc_trio.agent.stream import Emit, EventStream, open_events
from oc_trio.agent.tool_loop import RequestedCall, run_tool
from oc_trio.classes import frozen
from oc_trio.core.turn_events import Failed, Final, TextDelta
from oc_trio.errors import AgentError, AgentFailed, AgentUnavailable

CRASHED = "The program that answers for me crashed. Please tell whoever runs this bot."
NOT_STARTED = "The program that answers for me can't be started. Please tell whoever runs this bot."
NONSENSE = "The program that answers for me said something I don't understand. Please tell whoever runs this bot."
_LONG_LINE = 100_000  # bytes; reading a longer one takes a while, so others go on meanwhile


@frozen
class CommandSettings:
    """`command` is program and arguments, run without a shell; `grace` is seconds from SIGTERM to SIGKILL."""

    command: tuple[str, ...]
    env: Mapping[str, str] = field(factory=dict, repr=False, hash=False)
    model: str = ""
    options: Mapping[str, Any] = field(factory=dict, hash=False)
    deadlines: Deadlines = Deadlines()
    grace: float = 2.0

    @property
    def name(self) -> str:
        return self.command[0]


class CommandAgent:
    """Runs any number of turns concurrently, each in a process of its own."""

    def __init__(self, settings: CommandSettings) -> None:
        self._settings = settings

    def run(self, request: TurnRequest) -> AbstractAsyncContextManager[EventStream]:
        async def produce(emit: Emit) -> None:
            try:
                await self._run(request, emit)
            except OSError as exc:
                raise AgentFailed(f"{self._settings.name}: {exc}", for_user=NOT_STARTED) from exc

        return open_events(produce)

    async def _run(self, request: TurnRequest, emit: Emit) -> None:
        settings = self._settings
        async with open_child(settings.command, settings.env, settings.grace) as process:
            stderr = StderrLog(settings.name, is_private=True)
            assert process.stderr is not None
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stderr.run, process.stderr)
                problem = await _Conversation(settings, process, request, emit, stderr).hold()
                # The reader of stderr would wait as long as any descendant of the program holds the pipe open.
                nursery.cancel_scope.cancel()
        if problem is not None:
            raise problem


class _Conversation:
    def __init__(
        self,
        settings: CommandSettings,
        process: trio.Process,
        request: TurnRequest,
        emit: Emit,
        stderr: StderrLog,
    ) -> None:
        self._settings = settings
        self._process = process
        self._request = request
        self._emit = emit
        self._stderr = stderr
        self._texts: list[str] = []

    async def hold(self) -> AgentError | None:
        """Exchange lines until the program ends its turn. Returns an AgentError: raised, it would be in a group."""
        try:
            await self._exchange_lines()
        except AgentError as exc:
            return exc
        return None

    async def _exchange_lines(self) -> None:
        deadlines = self._settings.deadlines
        assert self._process.stdout is not None
        lines = LineReader(self._process.stdout)
        limit = deadlines.first_token
        await self._write(turn_line(self._request, self._settings.model, self._settings.options), limit)
        while (line := await self._read(lines, limit)) is not None:
            # Any line counts: a program that reports its steps is alive.
            limit = deadlines.idle
            if line.strip() and (end := await self._take(line)) is not None:
                # The reader leaves after the last event, which kills the process: let it exit by itself before.
                await self._wait_for_exit()
                await self._emit(end)
                return
        await self._emit_final_or_crash()

    async def _take(self, line: bytes) -> Final | Failed | None:
        """Act on one line; the event that ends the turn is returned, not emitted."""
        try:
            if len(line) > _LONG_LINE:
                # Decoding has no side effects, so the thread may be abandoned on cancellation.
                event = await trio.to_thread.run_sync(read_line, line, abandon_on_cancel=True)
            else:
                event = read_line(line)
        except ContractBroken as exc:
            raise AgentFailed(f"{self._settings.name}: {exc}", for_user=NONSENSE) from exc
        if isinstance(event, ToolCallLine):
            result = await run_tool(RequestedCall(event.call), self._request, self._emit)
            await self._write(result_line(event.call, result), self._settings.deadlines.idle)
            return None
        if isinstance(event, TextDelta) and event.text:
            self._texts.append(event.text)
        if isinstance(event, Final) and not event.text and not event.silent_reason:
            # A program that has streamed its answer need not repeat it.
            event = Final("".join(self._texts), event.media, event.buttons, event.usage)
        if isinstance(event, Final | Failed):
            return event
        await self._emit(event)
        return None

    async def _write(self, line: bytes, limit: float) -> None:
        assert self._process.stdin is not None
        try:
            with trio.fail_after(limit):
                await self._process.stdin.send_all(line)
        except trio.TooSlowError as exc:
            raise AgentUnavailable(f"{self._settings.name} does not read its input", for_user=TOO_SLOW) from exc
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            # It may have answered without reading its input; if not, reading its output shows it.
            return

    async def _read(self, lines: LineReader, limit: float) -> bytes | None:
        try:
            with trio.fail_after(limit):
                return await lines.next()
        except trio.TooSlowError as exc:
            raise AgentUnavailable(f"{self._settings.name}: nothing for {limit:g} s", for_user=TOO_SLOW) from exc
        except LineTooLong as exc:
            raise AgentFailed(f"{self._settings.name}: {exc}", for_user=NONSENSE) from exc

    async def _wait_for_exit(self) -> None:
        """Close its input and give it the grace period to exit by itself."""
        assert self._process.stdin is not None
        await self._process.stdin.aclose()
        with trio.move_on_after(self._settings.grace):
            await self._process.wait()

    async def _emit_final_or_crash(self) -> None:
        """It closed its output without `final` or `failed`: regular after text with exit code 0, a crash otherwise."""
        await self._wait_for_exit()
        code = self._process.returncode
        if code == 0 and self._texts:
            await self._emit(Final("".join(self._texts)))
            return
        # For the number of its lines, unless a process that it has started holds the pipe open.
        with trio.move_on_after(self._settings.grace):
            await self._stderr.ended.wait()
        how = "did not end" if code is None else f"ended with {code}"
        lines = self._stderr.count
        more = f" and with {lines} lines on standard error (logging.childStderr shows them)" if lines else ""
        raise AgentFailed(f"{self._settings.name} {how} without an answer{more}", for_user=CRASHED)
