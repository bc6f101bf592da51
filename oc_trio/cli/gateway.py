"""`oc-trio gateway`: as OpenClaw spells what are commands of their own here."""

import click

from oc_trio.cli import reload, restart, run, status
from oc_trio.cli.spellings import SpelledGroup


@click.group(name="gateway", cls=SpelledGroup)
def command() -> None:
    """Run the gateway, ask how it does, restart it: as `oc-trio run`, `status`, `restart` and `reload`."""


command.add_command(run.command, "run")
command.add_command(restart.command, "restart")
command.add_command(reload.command, "reload")
command.add_command(status.command, "status")
command.add_command(status.command, "health")
