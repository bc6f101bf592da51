"""`oc-trio run`: runs the gateway until SIGTERM."""

import os
import sys

import click

from oc_trio.cli.exits import EX_CONFIG, EX_DATAERR, EX_NOPERM, EX_TEMPFAIL, EX_UNAVAILABLE, first
from oc_trio.cli.options import config_option


@click.command("run")
@config_option
def command(config_path: str | None) -> None:
    """Connect the configured accounts and answer until SIGTERM or Ctrl-C.

    A second signal ends it at once; what is unfinished is taken up at the next start. Exit codes: 0 after an orderly
    stop, 65 the journal is damaged or of a newer release, 69 no server can be reached, 70 a defect of the gateway, 75
    the journal is in use or can't be opened, 77 the token is refused, 78 the configuration is wrong.
    """
    import trio

    from oc_trio.cli import collector, crash
    from oc_trio.config.load import load
    from oc_trio.errors import (
        ConfigError,
        MattermostRejected,
        MattermostUnavailable,
        OcTrioError,
        StoreError,
        StoreUnusable,
    )
    from oc_trio.runtime.process.start import prepare

    # The first that fits counts, so that StoreUnusable is before the StoreError that it is, too.
    codes: list[tuple[type[OcTrioError], int]] = [
        (ConfigError, EX_CONFIG),
        (MattermostRejected, EX_NOPERM),
        (MattermostUnavailable, EX_UNAVAILABLE),
        (StoreUnusable, EX_DATAERR),
        (StoreError, EX_TEMPFAIL),
    ]
    exit_code, begins_anew = 0, False
    crash.install()
    try:
        loaded = load(config_path, os.environ, isolate=True)
        gateway = prepare(loaded, os.environ)
        collector.settle()
        trio.run(gateway.run)
        begins_anew = gateway.is_restarting
    except* OcTrioError as group:
        problem = first(group)
        exit_code = next((code for kind, code in codes if isinstance(problem, kind)), 1)
        click.echo(f"oc-trio: {problem}", err=True)
    # After the block: an exception raised within except* comes out in a group with Python 3.11.2.
    if begins_anew:
        sys.stderr.flush()
        # The same process, so that a service manager or a container goes on with it; every file is closed on the way.
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - our own command line
    sys.exit(exit_code)
