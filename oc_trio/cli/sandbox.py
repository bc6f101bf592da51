"""`oc-trio sandbox`: runs the embedded Mattermost-compatible server with demo users. Keeps nothing on disk."""

import json
from typing import TYPE_CHECKING

import click

from oc_trio.cli import collector
from oc_trio.cli.exits import first, reason_of

if TYPE_CHECKING:
    from oc_trio.sandbox.settings import Settings

# Team admins have it: the demo's bot is none then.
_MANAGE_COMMANDS = "manage_slash_commands"


@click.command("sandbox")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8065, show_default=True, help="Port to listen on; 0 takes a free one.")
@click.option("--bot-token", default="", metavar="TOKEN", help="The demo bot's access token (made up when not given).")
@click.option("--rate-limit", is_flag=True, help="Answer 429 as a real server with rate limiting on.")
@click.option(
    "--deny",
    "denied",
    multiple=True,
    metavar="PERMISSION",
    help="Take a permission from all but admins, by Mattermost's name: create_post, edit_post, upload_file, ...",
)
@click.option(
    "--allow-internal",
    "internal",
    metavar="HOSTS",
    help="As AllowedUntrustedInternalConnections: call back to private addresses of these hosts only ('' for none).",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line at start instead of text.")
def command(
    host: str,
    port: int,
    bot_token: str,
    denied: tuple[str, ...],
    internal: str | None,
    *,
    rate_limit: bool,
    as_json: bool,
) -> None:
    """Run a chat server for trying things out: team "demo", users admin, alice and bob (password Passw0rd!x), one bot.

    Without --allow-internal it calls back to any address. Everything is kept in memory. Ctrl-C or SIGTERM ends it. Exit
    code 1: the address can't be used.
    """
    import trio

    from oc_trio.sandbox.router import PERMISSIONS
    from oc_trio.sandbox.settings import Settings

    deniable = PERMISSIONS | {_MANAGE_COMMANDS}
    if unknown := set(denied) - deniable:
        raise click.UsageError(f"{', '.join(sorted(unknown))}: can't be denied here; {', '.join(sorted(deniable))} can")
    settings = Settings(
        rate_limit=rate_limit,
        denied=frozenset(denied),
        allowed_internal=None if internal is None else tuple(internal.replace(",", " ").split()),
    )
    # Raised below: an exception raised within except* comes out in a group with Python 3.11.2.
    reason = ""
    try:
        trio.run(_run, host, port, bot_token, settings, as_json)
    except* OSError as group:
        reason = reason_of(first(group))
    if reason:
        raise click.ClickException(f"cannot listen on {host}:{port}: {reason}")


async def _run(host: str, port: int, bot_token: str, settings: "Settings", as_json: bool) -> None:
    import signal
    from functools import partial

    import trio

    from oc_trio.sandbox.demo import seed
    from oc_trio.sandbox.serve import serve
    from oc_trio.sandbox.world import World

    world = World(settings=settings)
    demo = seed(world, bot_token=bot_token, bot_is_admin=_MANAGE_COMMANDS not in settings.denied)
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            url: str = await nursery.start(partial(serve, world, host=host, port=port))
            collector.settle()
            if as_json:
                click.echo(
                    json.dumps(
                        {
                            "url": url,
                            "bot_token": demo.bot.token,
                            "bot_id": demo.bot.id,
                            "bot_username": demo.bot.username,
                        }
                    )
                )
            else:
                click.echo(f"sandbox: {url}")
                click.echo(f"bot token: {demo.bot.token}")
            async for _ in signals:
                break
            nursery.cancel_scope.cancel()


if __name__ == "__main__":
    command()
