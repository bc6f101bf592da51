"""Handles signals: SIGTERM and SIGINT drain, a second one exits at once, SIGHUP reloads, SIGUSR1 restarts.

Reloads run in a task of their own, one at a time: however long one takes, a signal to stop takes effect at once.
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
    restart: Callable[[], None],
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> NoReturn:
    """Started means: the handlers are in place. `drain`, `abort` and `restart` must not block.

    SIGHUPs that come during a reload are one further reload. An OcTrioError from `reload` is logged, and the
    old configuration stays.
    """
    # One waiting reload serves all further SIGHUPs.
    reload_wanted = Wakeup()
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1) as received:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reload_when_wanted, reload_wanted, reload)
            task_status.started()
            is_draining = False
            while True:
                # Signals are read and not handled in Python's handler, so they arrive between two steps of the event
                # loop.
                number = await anext(received)
                name = signal.Signals(number).name
                if number == signal.SIGHUP:
                    if reload_wanted.is_set:
                        log.info("a reload is waiting already", signal=name)
                    reload_wanted.set()
                elif number == signal.SIGUSR1:
                    restart()
                elif is_draining:
                    log.warning("second signal: exiting now; the journal keeps what is unfinished", signal=name)
                    abort()
                else:
                    is_draining = True
                    drain(name)


async def reload_when_wanted(reload_wanted: Wakeup, reload: Callable[[], Awaitable[object]]) -> NoReturn:
    """Reload each time that it is wanted; an OcTrioError is logged, and the old configuration stays."""
    while True:
        await reload_wanted.wait()
        log.info("reloading the configuration")
        try:
            await reload()
        except OcTrioError as problem:
            log.error("the configuration stays as it was", problem=str(problem))
