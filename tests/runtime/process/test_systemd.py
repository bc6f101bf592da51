"""The notify protocol, heard on real datagram sockets."""

import os
import socket
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest
import structlog
import trio
import trio.testing

from oc_trio.ids import AccountId
from oc_trio.runtime.process.systemd import Notifier, serve_notifier
from oc_trio.telemetry.health import Health


class Manager:
    """A service manager's end of the notify socket."""

    def __init__(self, address: str, shown: str) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(address)
        self.sock.setblocking(False)
        self.environ = {"NOTIFY_SOCKET": shown}

    def received(self) -> list[list[str]]:
        """What came since the last time, a list of lines per datagram."""
        found = []
        while True:
            try:
                found.append(self.sock.recv(4096).decode().split("\n"))
            except BlockingIOError:
                return found


@pytest.fixture
def manager() -> Generator[Manager, None, None]:
    """The path is kept short: a socket's address has room for 107 bytes."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        path = str(Path(folder) / "notify")
        made = Manager(path, path)
        yield made
        made.sock.close()


@pytest.fixture
def health() -> Health:
    made = Health(lambda: 0)
    made.phase = "serving"
    return made


async def test_messages_reach_a_socket_in_the_file_system(manager: Manager) -> None:
    """One datagram per message, lines joined by newlines."""
    Notifier(manager.environ).send("READY=1", "STATUS=fine")
    assert manager.received() == [["READY=1", "STATUS=fine"]]


async def test_messages_reach_an_abstract_socket() -> None:
    """`@` in the variable stands for the leading NUL byte."""
    name = f"oc-trio-test-{os.getpid()}"
    manager = Manager(f"\0{name}", f"@{name}")
    Notifier(manager.environ).send("READY=1")
    assert manager.received() == [["READY=1"]]
    manager.sock.close()


async def test_a_manager_that_is_gone_or_full_is_ignored(manager: Manager) -> None:
    """Nothing waits for the service manager, and nothing fails because of it."""
    notifier = Notifier(manager.environ)
    for _ in range(2000):
        notifier.send("STATUS=again and again")
    assert 0 < len(manager.received()) < 2000
    manager.sock.close()
    notifier.send("STATUS=nobody listens")
    Notifier({"NOTIFY_SOCKET": "/nowhere/at/all"}).send("STATUS=nor here")
    Notifier({}).send("STATUS=nor anywhere")


async def test_stopping_asks_for_the_time_it_may_take(manager: Manager) -> None:
    """The manager's patience covers the budget and a little more."""
    Notifier(manager.environ).stopping(40.0)
    assert manager.received() == [["STOPPING=1", "EXTEND_TIMEOUT_USEC=50000000", "STATUS=draining"]]


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        pytest.param({}, 0.0, id="no watchdog"),
        pytest.param({"WATCHDOG_USEC": "30000000"}, 30.0, id="ours, for it names no process"),
        pytest.param({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0, id="ours by name"),
        pytest.param({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, 0.0, id="another process's"),
        pytest.param({"WATCHDOG_USEC": "soon"}, 0.0, id="no number"),
    ],
)
def test_whose_watchdog_it_is(environ: dict[str, str], seconds: float) -> None:
    """Variables that a wrapper left behind don't make us feed its watchdog."""
    assert Notifier(environ).watchdog_seconds == seconds


async def started(nursery: trio.Nursery, notifier: Notifier, health: Health, ready: trio.Event) -> None:
    async def serve(task_status: trio.TaskStatus[None]) -> None:
        await serve_notifier(notifier, health, ready, task_status=task_status)

    await nursery.start(serve)
    await trio.testing.wait_all_tasks_blocked()


async def test_ready_is_said_once_and_as_soon_as_an_account_is_live(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock, manager: Manager, health: Health
) -> None:
    """Until then there is only STATUS; afterwards READY is not repeated."""
    ready = trio.Event()
    await started(nursery, Notifier(manager.environ), health, ready)
    assert manager.received() == [["STATUS=serving", "WATCHDOG=1"]]
    await trio.sleep(1.0)
    health.update(AccountId("default"), state="live", bot="helper")
    ready.set()
    await trio.testing.wait_all_tasks_blocked()
    status = "STATUS=serving; default: live as @helper"
    assert manager.received() == [["READY=1", status, "WATCHDOG=1"]]
    await trio.sleep(10.5)
    assert manager.received() == [[status, "WATCHDOG=1"]] * 2
    nursery.cancel_scope.cancel()


async def test_ready_is_not_said_while_stopping(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock, manager: Manager, health: Health
) -> None:
    """An account that goes live during the drain makes no start of it."""
    ready = trio.Event()
    await started(nursery, Notifier(manager.environ), health, ready)
    health.phase = "draining"
    ready.set()
    await trio.sleep(12.0)
    assert not any("READY=1" in message for message in manager.received())
    nursery.cancel_scope.cancel()


async def test_the_watchdog_is_fed_at_a_third_of_its_period(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock, manager: Manager, health: Health
) -> None:
    """Two feeds may get lost before the manager acts."""
    ready = trio.Event()
    ready.set()
    await started(nursery, Notifier({**manager.environ, "WATCHDOG_USEC": "6000000"}), health, ready)
    await trio.sleep(11.0)
    assert sum("WATCHDOG=1" in message for message in manager.received()) == 6
    nursery.cancel_scope.cancel()


async def test_a_stuck_part_withholds_the_watchdog(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock, manager: Manager, health: Health
) -> None:
    """The loop turns and STATUS goes on, but the promise that was broken is not covered up; it is logged once."""
    health.progress("default: events", within_s=12.0)
    ready = trio.Event()
    ready.set()
    with structlog.testing.capture_logs() as lines:
        await started(nursery, Notifier(manager.environ), health, ready)
        await trio.sleep(11.0)
        assert all("WATCHDOG=1" in message for message in manager.received())
        await trio.sleep(20.0)
        silent = manager.received()
        health.finished("default: events")
        await trio.sleep(5.0)
    assert silent
    assert not any("WATCHDOG=1" in message for message in silent)
    assert ["WATCHDOG=1" in message for message in manager.received()] == [True]
    assert [(line["log_level"], line.get("parts")) for line in lines] == [
        ("error", ["default: events"]),
        ("info", None),
    ]
    nursery.cancel_scope.cancel()
