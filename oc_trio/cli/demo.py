"""`oc-trio demo`: runs a chat server, an agent and the gateway in one process, without any set-up."""

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from oc_trio.cli import collector
from oc_trio.cli.exits import first, reason_of

if TYPE_CHECKING:
    import trio

    from oc_trio.runtime.process.demo import DemoModel
    from oc_trio.sandbox.demo import Demo
    from oc_trio.sandbox.world import World

# Mattermost's own, which people have bookmarked.
PORT = 8065
KEY_VARIABLE = "OPENAI_API_KEY"
# Everything is on this machine: a demo that is not up by then has hung.
READY_SECONDS = 30.0


@click.command("demo")
@click.option(
    "--port", type=click.IntRange(0, 65535), help=f"Port of the chat page. [default: {PORT}, else a free one]"
)
@click.option("--model-url", default="", metavar="URL", help="Base URL of an OpenAI-compatible endpoint, /v1 included.")
@click.option("--model", default="", metavar="NAME", help="The model to ask there.")
@click.option("--verbose", is_flag=True, help="Show the gateway's log.")
def command(port: int | None, model_url: str, model: str, *, verbose: bool) -> None:
    """Run everything on this machine and print one URL: log in there as alice or bob and talk to the bot.

    Nothing is kept. A scripted agent answers unless --model-url names a model endpoint; its key, if it needs one, is
    read from the variable OPENAI_API_KEY. Ctrl-C ends it. Exit codes: 0 after Ctrl-C, 1 the port or the model can't
    be used, 2 wrong usage.
    """
    import trio

    from oc_trio.errors import OcTrioError
    from oc_trio.runtime.process.demo import DemoModel
    from oc_trio.telemetry.log import configure

    if bool(model_url) != bool(model):
        raise click.UsageError("--model-url and --model belong together.")
    configure(level="info" if verbose else "warning")
    demo_model = DemoModel(model_url, model, os.environ.get(KEY_VARIABLE, ""))
    # Raised below: an exception raised within except* comes out in a group with Python 3.11.2.
    complaint = ""
    try:
        with TemporaryDirectory(prefix="oc-trio-demo-") as state:
            trio.run(_run, port, demo_model, Path(state))
    except* OcTrioError as group:
        complaint = str(first(group))
    except* OSError as group:
        complaint = f"cannot listen on 127.0.0.1:{port or PORT}: {reason_of(first(group))}"
    if complaint:
        raise click.ClickException(complaint)


async def _run(port: int | None, model: "DemoModel", state: Path) -> None:
    import signal

    import trio

    from oc_trio.runtime.process.demo import demo_gateway
    from oc_trio.sandbox.demo import seed
    from oc_trio.sandbox.world import World

    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            world = World()
            demo = seed(world)
            url = await _serve(nursery, world, port)
            gateway = demo_gateway(url, demo.bot.token, state, model)
            collector.settle()

            async def stop() -> None:
                # The first signal lets running turns end, the second cancels them.
                async for number in signals:
                    if gateway.drain.requested.is_set():
                        gateway.abort()
                    else:
                        click.echo("\nstopping ...")
                        gateway.stop(signal.Signals(number).name)

            async def announce() -> None:
                with trio.move_on_after(READY_SECONDS):
                    await gateway.ready.wait()
                    _introduce(url, demo, model)

            nursery.start_soon(stop)
            nursery.start_soon(announce)
            await gateway.run(with_signals=False)
            nursery.cancel_scope.cancel()


async def _serve(nursery: "trio.Nursery", world: "World", port: int | None) -> str:
    """Serve the chat server and return its URL. A port given as an option is never replaced by a free one."""
    from functools import partial

    from oc_trio.sandbox.serve import serve

    try:
        url: str = await nursery.start(partial(serve, world, port=PORT if port is None else port))
    except OSError:
        if port is not None:
            raise
        click.echo(f"port {PORT} is taken, using a free one", err=True)
        url = await nursery.start(partial(serve, world, port=0))
    return url


def _introduce(url: str, demo: "Demo", model: "DemoModel") -> None:
    answers = f"{model.name} at {model.url}" if model.url else 'a scripted agent; say "help" to it'
    click.echo(f"oc_trio demo: {url}")
    if sys.stdout.isatty():
        click.echo(f"  log in as alice or bob, write to @{demo.bot.username} or mention it in a channel")
        click.echo(f"  answers come from {answers}")
        click.echo("  Ctrl-C ends it; nothing is kept")
