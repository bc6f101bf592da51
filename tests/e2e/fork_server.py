"""Programs of this package as forks of one process that has imported them: imports are most of what a start costs.

A fork is a process with signals, files, an environment and an exit code of its own, and ends as an interpreter ends. It
imports itself what is neither in `GATEWAY` nor named by the test. Starts from nothing are in the benchmarks and in the
tests of contract and browser.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import trio
from attrs import define, field

_ROOT = Path(__file__).resolve().parents[2]
_INTERPRETER = (sys.executable, "-X", "faulthandler", "-W", "ignore")
# What runs for long, and what that would import later.
GATEWAY = (
    "oc_trio.runtime.process.start",
    "oc_trio.sandbox.serve",
    "oc_trio.sandbox.model_server",
    "oc_trio.admin.server",
    "oc_trio.callbacks.server",
    "oc_trio.callbacks.app",
    "psycopg",
)
_REQUEST_BYTES = 100_000


@define(eq=False)
class ForkedProcess:
    """As much of trio.Process as tests use; `returncode` is negative where a signal ended it."""

    pid: int
    stdout: trio.lowlevel.FdStream | None
    stderr: trio.lowlevel.FdStream | None
    _report: socket.socket
    _code: int | None = None
    _lock: trio.Lock = field(factory=trio.Lock)

    @property
    def returncode(self) -> int | None:
        if self._code is None:
            try:
                said = self._report.recv(100)
            except BlockingIOError:
                return None
            # An end without a code is that of the server itself, which takes its forks along.
            self._code = int(said) if said else -signal.SIGKILL
            self._report.close()
        return self._code

    async def wait(self) -> int:
        """Its exit code, once it has ended."""
        async with self._lock:
            while (code := self.returncode) is None:
                await trio.lowlevel.wait_readable(self._report)
        return code

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            # It may have ended without a report yet.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def start_program(
    *command: str, env: dict[str, str], output: int | None = None, imported: tuple[str, ...] = GATEWAY
) -> ForkedProcess:
    """`python -m COMMAND` with the environment `env`. Both its outputs are pipes, or the file `output`."""
    pipes = [os.pipe(), os.pipe()] if output is None else []
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        outputs = [write for _, write in pipes] if output is None else [output, output]
        request = json.dumps({"command": command, "env": env}).encode()
        socket.send_fds(_server(imported), [request], [*outputs, theirs.fileno()])
    for _, write in pipes:
        os.close(write)
    pid = int(ours.recv(100))  # a fork takes milliseconds
    ours.setblocking(False)
    out, err = [trio.lowlevel.FdStream(read) for read, _ in pipes] or (None, None)
    return ForkedProcess(pid, out, err, ours)


@functools.cache
def _server(imported: tuple[str, ...]) -> socket.socket:
    """The way to this process's server that has imported these, which ends with it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    environ = {**os.environ, "PYTHONPATH": str(_ROOT)}
    with theirs:
        started = subprocess.Popen(
            [*_INTERPRETER, "-m", "tests.e2e.fork_server", *imported], stdin=theirs.fileno(), cwd=_ROOT, env=environ
        )

    def end() -> None:
        ours.close()
        started.wait(10)

    atexit.register(end)
    return ours


@define
class _Server:
    """Forks for each request, and reports each fork's pid and then its exit code."""

    requests: socket.socket
    reports: dict[int, socket.socket] = field(factory=dict)

    def serve(self) -> list[str] | None:
        """Returns in each fork, with the command that it has to run; in the server with None, once nobody asks."""
        wakeup, ended = socket.socketpair()
        wakeup.setblocking(False)
        ended.setblocking(False)
        signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests, which end their programs
        while True:
            readable, _, _ = select.select([self.requests, ended], [], [])
            if ended in readable:
                ended.recv(1000)
                self._reap()
            if self.requests not in readable:
                continue
            data, fds, _, _ = socket.recv_fds(self.requests, _REQUEST_BYTES, 3)
            if not data:
                return None
            out, err, report_fd = fds
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                signal.signal(signal.SIGINT, signal.default_int_handler)
                for socket_ in (wakeup, ended, self.requests, *self.reports.values()):
                    socket_.close()
                os.close(report_fd)
                return _prepare(json.loads(data), out, err)
            os.close(out)
            os.close(err)
            self.reports[pid] = socket.socket(fileno=report_fd)
            self.reports[pid].send(str(pid).encode())

    def _reap(self) -> None:
        while self.reports:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            with self.reports.pop(pid) as report:
                report.send(str(os.waitstatus_to_exitcode(status)).encode())


def _prepare(request: dict[str, object], out: int, err: int) -> list[str]:
    for source, target in ((os.open(os.devnull, os.O_RDONLY), 0), (out, 1), (err, 2)):
        os.dup2(source, target)
        os.close(source)
    environ, command = request["env"], request["command"]
    assert isinstance(environ, dict)
    assert isinstance(command, list)
    os.environ.clear()
    os.environ.update(environ)
    time.tzset()
    sys.orig_argv = [*_INTERPRETER, "-m", *command]
    sys.argv = ["-m", *command[1:]]
    return command


def _main() -> None:
    for name in sys.argv[1:]:
        importlib.import_module(name)
    gc.freeze()  # at its end, each fork would look at all of it, and so copy it
    command = _Server(socket.socket(fileno=os.dup(0))).serve()
    if command is not None:
        runpy.run_module(command[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()
