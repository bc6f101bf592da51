"""Signals become calls: SIGTERM and SIGINT drain, a second one exits at once, SIGHUP reloads.

A reload runs beside the receiver, one at a time: however long it takes, a signal to stop is heard at once.
"""

import signal
from collections.abc import Awaitable, Callable
from typing import NoReturn

import trio

from oc_trio.errors import OcTrioError
from oc_trio.telemetry.log import get_logger
from oc_trio.wakeup import Wakeup

log = get_logger(part="signals")


async def serve_signals(
    *,
    drain: Callable[[str], None],
    abort: Callable[[], None],
    reload: Callable[[], Awaitable[object]],
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> NoReturn:
    """Started means: the handlers are in place. `drain` and `abort` must not block.

    SIGHUPs that come during a reload are one further reload. An OcTrioError from it is logged: what was, stays.
    """
    # A reload that waits already stands for those after it.
    wanted = Wakeup()
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as received:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_reload_when_wanted, wanted, reload)
            task_status.started()
            asked = False
            while True:
                number = await anext(received)
                name = signal.Signals(number).name
                if number == signal.SIGHUP:
                    if wanted.is_set:
                        log.info("a reload is waiting already", signal=name)
                    wanted.set()
                elif asked:
                    log.warning("second signal: exiting now; the journal keeps what is unfinished", signal=name)
                    abort()
                else:
                    asked = True
                    drain(name)


async def _reload_when_wanted(wanted: Wakeup, reload: Callable[[], Awaitable[object]]) -> NoReturn:
    while True:
        await wanted.wait()
        log.info("reloading the configuration")
        try:
            await reload()
        except OcTrioError as problem:
            log.error("the configuration stays as it was", problem=str(problem))
