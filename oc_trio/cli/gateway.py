"""`oc-trio gateway`: as OpenClaw spells what are commands of their own here."""

import click

from oc_trio.cli import reload, restart, run, status
from oc_trio.cli.options import config_option
from oc_trio.cli.spellings import SpelledGroup, refuse_before


def _refuse_setting(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
    """Raises UsageError for what OpenClaw also takes from its command line."""
    if value is not None:
        name = parameter.opts[0]
        raise click.UsageError(
            f"There is no {name} here. gateway.{name.lstrip('-')} of the configuration file says it: leave it out.", ctx
        )


@click.group(name="gateway", cls=SpelledGroup, invoke_without_command=True)
@config_option
@click.option("--port", hidden=True, callback=_refuse_setting, expose_value=False)
@click.option("--bind", hidden=True, callback=_refuse_setting, expose_value=False)
@click.option("--verbose", is_flag=True, hidden=True, expose_value=False, help="logging.level says it.")
@click.pass_context
def command(ctx: click.Context, config_path: str | None) -> None:
    """Run the gateway, ask how it does, restart it: as `oc-trio run`, `status`, `restart` and `reload`.

    Without a command it is `oc-trio run`.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(run.command, config_path=config_path)
    refuse_before(ctx, config=config_path)


command.add_command(run.command, "run")
command.add_command(restart.command, "restart")
command.add_command(reload.command, "reload")
command.add_command(status.command, "status")
command.add_command(status.command, "health")
