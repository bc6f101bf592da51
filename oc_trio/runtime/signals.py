"""Signals become calls: SIGTERM and SIGINT drain, a second one exits at once, SIGHUP reloads."""

import signal
from collections.abc import Callable
from typing import NoReturn

import trio

from oc_trio.telemetry.log import get_logger

log = get_logger(part="signals")


async def serve_signals(
    *,
    drain: Callable[[str], None],
    abort: Callable[[], None],
    reload: Callable[[], None],
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> NoReturn:
    """Started means: the handlers are in place. The calls must not block."""
    asked = False
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as received:
        task_status.started()
        async for number in received:
            name = signal.Signals(number).name
            if number == signal.SIGHUP:
                log.info("reloading the configuration", signal=name)
                reload()
            elif asked:
                log.warning("second signal: exiting now; the journal keeps what is unfinished", signal=name)
                abort()
            else:
                asked = True
                drain(name)
    raise AssertionError("unreachable: the signal receiver never ends")
