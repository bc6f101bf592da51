"""Signals, sent for real to a process of their own."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from oc_trio.agent.child import LineReader
from oc_trio.errors import ConfigError, Problem
from oc_trio.runtime.process.signals import serve_signals
from tests.e2e.fork_server import ForkedProcess, start_program
from tests.logbook import Logbook

PROGRAM = "tests.runtime.process.signal_process"
IMPORTED = ("oc_trio.runtime.process.signals", "oc_trio.telemetry.log")


class Child:
    """A process that serves signals."""

    def __init__(self, process: ForkedProcess) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self.process = process
        self.stdout, self.stderr = process.stdout, process.stderr
        self._lines = LineReader(self.stdout)

    async def says(self) -> str:
        return (await self._lines.next() or b"").decode().strip()

    def gets(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ends(self) -> int:
        """Its exit code."""
        with trio.fail_after(10):
            return await self.process.wait()


@asynccontextmanager
async def process(kind: str) -> AsyncIterator[Child]:
    """It is killed at the end if it still lives."""
    env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    child = Child(start_program(PROGRAM, kind, env=env, imported=IMPORTED))
    async with child.stdout, child.stderr:
        try:
            yield child
        finally:
            child.process.kill()
            with trio.move_on_after(5, shield=True):
                await child.process.wait()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(signal.SIGTERM, signal.SIGTERM, id="the service manager twice"),
        pytest.param(signal.SIGINT, signal.SIGINT, id="Ctrl-C twice"),
        pytest.param(signal.SIGTERM, signal.SIGINT, id="one of each"),
    ],
)
async def test_the_first_signal_drains_and_the_second_ends(first: signal.Signals, second: signal.Signals) -> None:
    """One way to stop in two steps, whichever signal asks."""
    async with process("plain") as child:
        assert await child.says() == "ready"
        child.gets(first)
        assert await child.says() == f"drain {first.name}"
        child.gets(second)
        assert await child.says() == "abort"
        assert await child.ends() == 0


async def test_hangup_reloads_and_serves_on() -> None:
    """SIGHUP as often as one likes; it never counts as a wish to stop."""
    async with process("plain") as child:
        assert await child.says() == "ready"
        for _ in range(2):
            child.gets(signal.SIGHUP)
            assert await child.says() == "reload"
        child.gets(signal.SIGTERM)
        assert await child.says() == "drain SIGTERM"


async def test_a_restart_may_become_a_stop() -> None:
    """SIGUSR1 is no first SIGTERM: the one behind it drains, and does not end at once."""
    async with process("plain") as child:
        assert await child.says() == "ready"
        child.gets(signal.SIGUSR1)
        assert await child.says() == "restart"
        child.gets(signal.SIGTERM)
        assert await child.says() == "drain SIGTERM"


async def test_a_stop_is_heard_during_a_slow_reload() -> None:
    """A password manager that hangs does not hold up the drain."""
    async with process("slow") as child:
        assert await child.says() == "ready"
        child.gets(signal.SIGHUP)
        assert await child.says() == "reload"
        child.gets(signal.SIGTERM)
        assert await child.says() == "drain SIGTERM"
        assert await child.says() == "reload is over"


async def test_a_reload_that_fails_is_told_and_serving_goes_on() -> None:
    """A mistake in the new configuration is one line in the log."""
    async with process("broken") as child:
        assert await child.says() == "ready"
        child.gets(signal.SIGHUP)
        assert await child.says() == "reload"
        child.gets(signal.SIGTERM)
        assert await child.says() == "drain SIGTERM"
        child.gets(signal.SIGTERM)
        assert await child.says() == "abort"
        errors = b"".join([chunk async for chunk in child.stderr]).decode()
    assert "the configuration stays as it was" in errors
    assert "gateway.port: is no port" in errors
    assert "Traceback" not in errors


class Calls:
    """What the receiver asked for, and a reload that waits for its release."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.release = trio.Event()

    def drain(self, name: str) -> None:
        self.log.append(f"drain {name}")

    def abort(self) -> None:
        self.log.append("abort")

    def restart(self) -> None:
        self.log.append("restart")

    async def reload(self) -> None:
        self.log.append("reload")
        await self.release.wait()
        if len(self.log) > 3:
            raise ConfigError(Problem("gateway", "is wrong"))


async def test_hangups_during_a_reload_are_one_more(nursery: trio.Nursery, logbook: Logbook) -> None:
    """Ten wishes make two reloads, one after the other, and each signal is answered in this process too."""
    calls = Calls()

    async def serve(task_status: trio.TaskStatus[None]) -> None:
        await serve_signals(
            drain=calls.drain, abort=calls.abort, reload=calls.reload, restart=calls.restart, task_status=task_status
        )

    await nursery.start(serve)
    with trio.fail_after(10):
        for wanted in (signal.SIGHUP, signal.SIGHUP, signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), wanted)
            await trio.testing.wait_all_tasks_blocked(0.01)
        assert calls.log == ["reload", "drain SIGTERM", "abort"]
        calls.release.set()
        while len(calls.log) < 4:  # noqa: ASYNC110 - a list tells nobody
            await trio.sleep(0.01)
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert calls.log[3:] == ["reload"]
    assert len(logbook.find("the configuration stays as it was")) == 1
    nursery.cancel_scope.cancel()
