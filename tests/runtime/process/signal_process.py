"""A process that serves signals and says each call on stdout; `abort` ends it. For `test_signals.py`.

A reload takes until SIGTERM was heard where the first argument is "slow", and fails where that is "broken".
"""

import sys
from functools import partial

import trio

from oc_trio.errors import ConfigError, Problem
from oc_trio.runtime.process.signals import serve_signals
from oc_trio.telemetry.log import configure


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def main(kind: str) -> None:
    drained = trio.Event()

    def drain(name: str) -> None:
        say(f"drain {name}")
        drained.set()

    async def reload() -> None:
        say("reload")
        await trio.lowlevel.checkpoint()
        if kind == "broken":
            raise ConfigError(Problem("gateway.port", "is no port"))
        if kind == "slow":
            await drained.wait()
            say("reload is over")

    async with trio.open_nursery() as nursery:

        def abort() -> None:
            say("abort")
            nursery.cancel_scope.cancel()

        serve = partial(serve_signals, drain=drain, abort=abort, reload=reload, restart=lambda: say("restart"))
        await nursery.start(serve)
        say("ready")


if __name__ == "__main__":
    configure()
    trio.run(main, sys.argv[1])
