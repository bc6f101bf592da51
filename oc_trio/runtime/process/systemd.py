"""systemd's notify protocol: READY, STATUS, STOPPING, and the watchdog, which is fed only while all parts progress.

One datagram per message to `$NOTIFY_SOCKET` (sd_notify(3)); a leading `@` means the abstract namespace. Without the
variable nothing is sent, but a part that is stuck is logged all the same.
"""

import os
import socket
from collections.abc import Mapping
from typing import NoReturn

import trio

from oc_trio.telemetry.health import Health
from oc_trio.telemetry.log import get_logger

log = get_logger(part="systemd")


class Notifier:
    """Sends states to the service manager; failures are ignored, as sd_notify(3) advises."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):
            self._address = "\0" + self._address[1:]
        microseconds = environ.get("WATCHDOG_USEC", "")
        # Inherited through a wrapper, the watchdog may be meant for another process: sd_watchdog_enabled(3).
        is_ours = environ.get("WATCHDOG_PID", "") in ("", str(os.getpid()))
        self.watchdog_seconds = int(microseconds) / 1e6 if microseconds.isdecimal() and is_ours else 0.0

    def send(self, *lines: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.setblocking(False)  # what the service manager does not take at once is dropped
                sock.sendto("\n".join(lines).encode(), self._address)
        except OSError:
            return

    def stopping(self, budget_seconds: float) -> None:
        """Announce the drain and ask for the time it may take."""
        # Ten seconds more than our own limits: systemd should kill the process only if those fail.
        self.send("STOPPING=1", f"EXTEND_TIMEOUT_USEC={int((budget_seconds + 10) * 1e6)}", "STATUS=draining")


async def serve_notifier(
    notifier: Notifier,
    health: Health,
    ready: trio.Event,
    *,
    interval: float = 5.0,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> NoReturn:
    """READY once `ready` is set, then STATUS and the watchdog for as long as the event loop turns.

    The watchdog is fed at a third of its period. A part that broke its promise of progress withholds it, so that a
    gateway whose parts are stuck is restarted although its event loop still turns.
    """
    task_status.started()
    announced = False
    stuck: tuple[str, ...] = ()
    # systemd advises half of the period; a third leaves room for one late feed.
    period = min(interval, notifier.watchdog_seconds / 3) if notifier.watchdog_seconds else interval
    while True:
        lines = [f"STATUS={health.status_line()}"]
        # Not while stopping: the service manager would take it for a start that succeeded after all.
        if not announced and ready.is_set() and health.phase == "serving":
            announced = True
            lines.insert(0, "READY=1")
        stuck = _log_stuck(stuck, health.stuck_parts())
        if not stuck:
            lines.append("WATCHDOG=1")
        notifier.send(*lines)
        with trio.move_on_after(period):
            # READY goes out in the moment that it is true; after that nothing ends the pause early.
            if ready.is_set():
                await trio.sleep_forever()
            await ready.wait()


def _log_stuck(before: tuple[str, ...], now: tuple[str, ...]) -> tuple[str, ...]:
    if now and now != before:
        log.error("no progress: the watchdog is not fed", parts=list(now))
    if before and not now:
        log.info("all parts make progress again")
    return now
