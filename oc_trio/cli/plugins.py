"""`oc-trio plugins`: what a script for OpenClaw installs is either here already, or has its place elsewhere."""

import json

import click

from oc_trio.cli.spellings import SpelledGroup


@click.group(name="plugins", cls=SpelledGroup)
def command() -> None:
    """Say what OpenClaw's plugins are here."""


@command.command()
@click.argument("source")
@click.option("--force", "--pin", "-l", "--link", is_flag=True, hidden=True, expose_value=False)
def install(source: str) -> None:
    """Nothing is to be installed for Mattermost; other plugins are refused."""
    if "mattermost" not in source.lower():
        raise click.UsageError(
            f"oc-trio has no plugins like {source!r}. Tools come from MCP servers (mcp.servers in the configuration), "
            "other models and agents from Python packages: see docs/agents.md and docs/tools.md."
        )
    click.echo("Mattermost is what oc-trio speaks: nothing to install. Next: oc-trio config check")


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(*, as_json: bool) -> None:
    """The one channel, and the installed packages that are agents."""
    from oc_trio.agent.entrypoints import installed_agents

    agents = sorted(installed_agents())
    if as_json:
        click.echo(json.dumps({"channels": ["mattermost"], "agents": agents}))
        return
    click.echo("mattermost (built in)")
    for name in agents:
        click.echo(f"{name} (an agent of an installed package)")
