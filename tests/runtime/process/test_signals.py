"""Signals, sent for real to a process of their own."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from oc_trio.errors import ConfigError, Problem
from oc_trio.runtime.process.signals import serve_signals
from tests.logbook import Logbook

ROOT = Path(__file__).parents[3]
# Says each call on stdout; `abort` ends it. A reload takes until SIGTERM was heard, or fails where asked to.
PROCESS = """
    import sys
    import trio
    from oc_trio.errors import ConfigError, Problem
    from oc_trio.runtime.process.signals import serve_signals
    from oc_trio.telemetry.log import configure

    configure()

    async def main():
        drained = trio.Event()

        def say(line):
            print(line, flush=True)

        def drain(name):
            say(f"drain {name}")
            drained.set()

        async def reload():
            say("reload")
            if sys.argv[1] == "broken":
                raise ConfigError(Problem("gateway.port", "is no port"))
            if sys.argv[1] == "slow":
                await drained.wait()
                say("reload is over")

        async with trio.open_nursery() as nursery:
            def abort():
                say("abort")
                nursery.cancel_scope.cancel()

            await nursery.start(lambda task_status: serve_signals(
                drain=drain, abort=abort, reload=reload, restart=lambda: say("restart"), task_status=task_status))
            say("ready")

    trio.run(main)
"""


@contextmanager
def process(kind: str) -> Generator["Child", None, None]:
    """A process that serves signals; it is killed at the end if it still lives."""
    command = [sys.executable, "-c", textwrap.dedent(PROCESS), kind]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ) as started:
        try:
            yield Child(started)
        finally:
            if started.poll() is None:
                started.kill()


class Child:
    def __init__(self, popen: "subprocess.Popen[str]") -> None:
        self.popen = popen
        assert popen.stdout is not None
        self.lines: Iterator[str] = iter(popen.stdout)

    def says(self) -> str:
        return next(self.lines).strip()

    def gets(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(signal.SIGTERM, signal.SIGTERM, id="the service manager twice"),
        pytest.param(signal.SIGINT, signal.SIGINT, id="Ctrl-C twice"),
        pytest.param(signal.SIGTERM, signal.SIGINT, id="one of each"),
    ],
)
def test_the_first_signal_drains_and_the_second_ends(first: signal.Signals, second: signal.Signals) -> None:
    """One way to stop in two steps, whichever signal asks."""
    with process("plain") as child:
        assert child.says() == "ready"
        child.gets(first)
        assert child.says() == f"drain {first.name}"
        child.gets(second)
        assert child.says() == "abort"
        assert child.popen.wait(10) == 0


def test_hangup_reloads_and_serves_on() -> None:
    """SIGHUP as often as one likes; it never counts as a wish to stop."""
    with process("plain") as child:
        assert child.says() == "ready"
        for _ in range(2):
            child.gets(signal.SIGHUP)
            assert child.says() == "reload"
        child.gets(signal.SIGTERM)
        assert child.says() == "drain SIGTERM"


def test_a_restart_may_become_a_stop() -> None:
    """SIGUSR1 is no first SIGTERM: the one behind it drains, and does not end at once."""
    with process("plain") as child:
        assert child.says() == "ready"
        child.gets(signal.SIGUSR1)
        assert child.says() == "restart"
        child.gets(signal.SIGTERM)
        assert child.says() == "drain SIGTERM"


def test_a_stop_is_heard_during_a_slow_reload() -> None:
    """A password manager that hangs does not hold up the drain."""
    with process("slow") as child:
        assert child.says() == "ready"
        child.gets(signal.SIGHUP)
        assert child.says() == "reload"
        child.gets(signal.SIGTERM)
        assert child.says() == "drain SIGTERM"
        assert child.says() == "reload is over"


def test_a_reload_that_fails_is_told_and_serving_goes_on() -> None:
    """A mistake in the new configuration is one line in the log."""
    with process("broken") as child:
        assert child.says() == "ready"
        child.gets(signal.SIGHUP)
        assert child.says() == "reload"
        child.gets(signal.SIGTERM)
        assert child.says() == "drain SIGTERM"
        child.gets(signal.SIGTERM)
        assert child.says() == "abort"
        _, errors = child.popen.communicate(timeout=10)
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
