"""Runs a child process with pipes that certainly ends with its block, and reads lines from its output.

It gets a process session of its own, so that its own children are killed with it, and an environment without the
gateway's secrets.
"""

import os
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

import trio

from oc_trio.core.text import clean
from oc_trio.telemetry.log import get_logger

log = get_logger(part="agent")

# Nothing else of our environment: tokens and keys of the gateway may be in it.
INHERITED = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER", "VIRTUAL_ENV")
MAX_LINE = 16 * 1024 * 1024  # a line may hold an image
_REAPED_WITHIN = 2.0  # after SIGKILL
_STDERR_LINES = 200  # logged per process and hour; the rest is counted
_STDERR_SECONDS = 3600.0
_LINES_AT_ONCE = 20  # of one read, which may hold tens of thousands; then a checkpoint lets other tasks run


class LineTooLong(ValueError):
    """A line grew past `MAX_LINE` bytes."""


class LineReader:
    """Reads complete lines from a pipe, without their ends."""

    def __init__(self, stream: trio.abc.ReceiveStream) -> None:
        self._stream = stream
        self._buffer = bytearray()
        self._searched = 0
        self._at_once = 0

    async def next(self) -> bytes | None:
        """The next line, the unfinished last one included; None at the end. Raises `LineTooLong`."""
        while (at := self._buffer.find(b"\n", self._searched)) < 0:
            # What was searched is not searched again: a long line in small pieces would take quadratic time.
            self._searched = len(self._buffer)
            if self._searched > MAX_LINE:
                raise LineTooLong(f"a line of more than {MAX_LINE} bytes")
            chunk = await self._stream.receive_some(65536)
            if not chunk:
                return self._take(len(self._buffer)) if self._buffer else None
            self._buffer += chunk
            self._at_once = 0
        self._at_once += 1
        if self._at_once >= _LINES_AT_ONCE:
            self._at_once = 0
            await trio.lowlevel.checkpoint()
        return self._take(at)

    def _take(self, at: int) -> bytes:
        line = bytes(self._buffer[:at])
        del self._buffer[: at + 1]
        self._searched = 0
        return line


class StderrLog:
    """Passes a child's stderr to the operator's log, bounded.

    `is_private` says that the child has received somebody's messages: its lines are then logged only with
    `logging.childStderr`.
    """

    def __init__(self, name: str, *, is_private: bool) -> None:
        self._name = name
        self.is_private = is_private
        self.count = 0
        self._logged = 0
        self._until = 0.0
        self.ended = trio.Event()

    async def run(self, stream: trio.abc.ReceiveStream) -> None:
        lines = LineReader(stream)
        try:
            while (line := await lines.next()) is not None:
                self._note(line)
        except LineTooLong:
            log.warning("the child's stderr is no text, closing it", child=self._name)
            await stream.aclose()
        self.ended.set()

    def _note(self, line: bytes) -> None:
        self.count += 1
        if (now := trio.current_time()) >= self._until:
            # An MCP server runs for weeks: its latest lines are worth more than its first ones.
            self._logged, self._until = 0, now + _STDERR_SECONDS
        self._logged += 1
        if self._logged <= _STDERR_LINES:
            text = clean(line.decode("utf-8", "replace").rstrip())[:500]
            log.info("child says", child=self._name, line=text, private=self.is_private)
        elif self._logged == _STDERR_LINES + 1:
            what = "the child says too much, the rest of an hour is dropped"
            log.warning(what, child=self._name, lines=_STDERR_LINES)


@asynccontextmanager
async def open_child(
    command: tuple[str, ...], env: Mapping[str, str], grace: float, *, cwd: str | None = None
) -> AsyncIterator[trio.Process]:
    """Start `command` and yield it; leaving asks it to end, and kills it and its group after `grace` seconds.

    Raises OSError where it can't be started.
    """
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    process = await trio.lowlevel.open_process(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**inherited, **env},
        cwd=cwd,
        # Its pid is then the id of its process group too, which `_signal_group` sends signals to.
        start_new_session=True,
    )
    try:
        yield process
    finally:
        # Shielded: a cancelled turn must end its process too.
        with trio.move_on_after(grace + _REAPED_WITHIN, shield=True):
            await _stop(process, grace)


async def _stop(process: trio.Process, grace: float) -> None:
    if process.returncode is None:
        _signal_group(process, signal.SIGTERM)
        with trio.move_on_after(grace):
            await process.wait()
    # Also where the child itself has ended: its own children hold the pipes open.
    _signal_group(process, signal.SIGKILL)
    await process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            await pipe.aclose()


def _signal_group(process: trio.Process, number: signal.Signals) -> None:
    # The group may have ended by itself already.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
