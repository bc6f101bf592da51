"""The `oc-trio` command: a table of subcommands, imported only when they run, so that `--help` is fast."""

import importlib
from typing import Any

import click
from click.shell_completion import CompletionItem

import oc_trio
from oc_trio.cli import collector
from oc_trio.cli.spellings import SpelledGroup, spelled
from oc_trio.core.text import is_clean

# name -> (module, one-line help). A module is imported only when its command runs and holds `command`.
COMMANDS: dict[str, tuple[str, str]] = {
    "automations": ("cron", "The same as cron."),
    "backup": ("backup", "Copy the journal while it is in use."),
    "buttons": ("buttons", "Sign buttons for posts of your own scripts."),
    "channels": ("channels", "Say how the accounts do, and what names mean."),
    "commands": ("commands", "List or remove the slash commands on the server."),
    "config": ("config", "Check, show or translate the configuration."),
    "cron": ("cron", "List, change and run scheduled jobs."),
    "demo": ("demo", "Try it here: a chat page, an agent and the gateway in one process."),
    "directory": ("directory", "List the bot, people, channels and members."),
    "doctor": ("doctor", "Examine everything that a start needs."),
    "explain": ("explain", "Say what was decided about a post, and why."),
    "gateway": ("gateway", "Run the gateway, ask how it does, restart it."),
    "init": ("init", "Write a first configuration: asks, looks up, examines."),
    "logs": ("logs", "Print what the running gateway logged."),
    "message": ("message", "Send, edit, delete, react, pin, search and read as the bot."),
    "models": ("models", "List the model providers, and say how they do."),
    "pairing": ("pairing", "Let people in who asked to write to the bot."),
    "plugins": ("plugins", "Say what OpenClaw's plugins are here."),
    "reload": ("reload", "Make the running gateway read its configuration again."),
    "restart": ("restart", "Restart the running gateway."),
    "restore": ("restore", "Put a backup in the journal's place."),
    "run": ("run", "Connect the configured accounts and answer."),
    "sandbox": ("sandbox", "Run an embedded chat server for trying things out."),
    "sessions": ("sessions", "List, show or reset conversations."),
    "status": ("status", "Say whether the gateway is running and what is live."),
    "systemd": ("systemd", "Print a systemd unit for this installation."),
    "version": ("version", "Print the release, and what it runs on."),
}


class LazyGroup(SpelledGroup):
    """A group whose commands are imported when they are called, not when they are listed."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """As a program of its own."""
        collector.begin()
        return super().__call__(*args, **kwargs)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, of arguments that are text: bytes that are not UTF-8 come as lone surrogates."""
        for number, argument in enumerate(args, 1):
            # Such an argument would fail later and elsewhere, where it is written into a log or a database.
            if not is_clean(argument):
                raise click.UsageError(f"Argument {number} is not UTF-8 text.")
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"oc_trio.cli.{COMMANDS[cmd_name][0]}")
        return spelled(module.command)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """As click does; the commands from the table, since click would import every one of them for its help."""
        commands = [CompletionItem(name, help=COMMANDS[name][1]) for name in self.list_commands(ctx)]
        matching = [item for item in commands if item.value.startswith(incomplete)]
        return [*matching, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(oc_trio.__version__, "-V", "--version", prog_name="oc-trio")
def main() -> None:
    """Connect a self-hosted Mattermost to AI agents."""
