"""OpenClaw's spellings: `--channel mattermost` on every command, and what to type where it has one that is not here.

Commands that mean the same are written where ours are; here is only what all of them share.
"""

import click

# What is theirs and not ours, by the words before its options: what to do instead, beginning with the nearest command.
NEAREST = {
    "acp": "`oc-trio run` speaks to Mattermost only.",
    "agent": "`oc-trio cron run JOB` runs a prompt once; a turn begins with a message to the bot.",
    "agents": "`oc-trio config get agents` shows them; they are written in the configuration file.",
    "approvals": "`oc-trio config get agents.defaults.tools` says what is asked about; people approve by button.",
    "channels add": "`oc-trio config check` after adding channels.mattermost.accounts.NAME to the file.",
    "channels capabilities": "`oc-trio doctor` says what works with this server.",
    "channels dead-letters": "`oc-trio explain POST` says what became of a message; there is no queue of failed ones.",
    "channels login": "`oc-trio doctor` checks the token, which is a setting: botToken or botTokenFile.",
    "channels logout": "`oc-trio config check` after setting enabled = false for the account.",
    "channels remove": "`oc-trio config check` after setting enabled = false for the account.",
    "chat": "`oc-trio demo` opens a chat page with an agent.",
    "config patch": "`oc-trio config check` after editing the file; `oc-trio reload` makes a running gateway read it.",
    "config set": "`oc-trio config check` after editing the file; `oc-trio reload` makes a running gateway read it.",
    "config unset": "`oc-trio config check` after editing the file; `oc-trio reload` makes a running gateway read it.",
    "configure": "`oc-trio init` asks for what a first start needs, and writes the configuration.",
    "cron scratch": "`oc-trio cron edit JOB --session session:NAME` gives a job a memory.",
    "cron status": "`oc-trio cron list` has the next run of each job.",
    "daemon": "`oc-trio systemd print` writes a unit for systemd.",
    "dashboard": "`oc-trio status --page` says where the status page is.",
    "docs": "`oc-trio --help` lists the commands; the pages are in docs/.",
    "gateway call": "`oc-trio status --json` has what the gateway says of itself.",
    "gateway install": "`oc-trio systemd print` writes a unit for systemd.",
    "gateway probe": "`oc-trio status --deep` asks the gateway and the servers.",
    "gateway start": "`oc-trio run` starts it here, `systemctl start oc-trio` as a service.",
    "gateway stop": "`oc-trio systemd print` writes a unit: `systemctl stop oc-trio`; elsewhere send it SIGTERM.",
    "gateway uninstall": "`oc-trio systemd print` wrote the unit: `systemctl disable --now oc-trio`.",
    "health": "`oc-trio status`",
    "hooks": "`oc-trio config get hooks` shows them; they are written in the configuration file.",
    "mcp": "`oc-trio config get mcp` shows the servers; they are written in the configuration file.",
    "memory": "`oc-trio sessions list` has the conversations; there is no memory beside them.",
    "message broadcast": "`oc-trio message send`, once for each target.",
    "message channel": "`oc-trio channels resolve` and `oc-trio directory groups` know the channels.",
    "message member": "`oc-trio directory members` lists a channel's people.",
    "message poll": "`oc-trio message send --buttons` asks with buttons.",
    "message thread": "`oc-trio message send --reply-to POST` and `oc-trio message read --thread-id POST`",
    "migrate": "`oc-trio config import` translates an openclaw.json; pairing and cron have an import, too.",
    "models auth": "`oc-trio config check` after setting models.providers.NAME.apiKey in the configuration file.",
    "models set": "`oc-trio config check` after setting agents.defaults.model; in a chat, /model chooses.",
    "onboard": "`oc-trio init` asks for what a first start needs, and writes the configuration.",
    "reset": "`oc-trio sessions reset` forgets conversations.",
    "secrets": "`oc-trio config check` resolves every secret and says which one can't be read.",
    "security": "`oc-trio doctor` looks at rights and open policies.",
    "sessions delete": "`oc-trio sessions reset` forgets a conversation.",
    "sessions tail": "`oc-trio sessions show` prints a conversation.",
    "setup": "`oc-trio init` asks for what a first start needs, and writes the configuration.",
    "skills": "`oc-trio config get skills` shows where they are read from.",
    "system": "`oc-trio status`",
    "tasks": "`oc-trio sessions list` has the conversations, `oc-trio cron list` the schedules.",
    "tui": "`oc-trio demo` opens a chat page with an agent.",
    "uninstall": "`oc-trio backup` keeps the journal; then pip uninstall oc-trio.",
    "update": "`oc-trio backup` first; then pip install the new release, and `oc-trio restart`.",
    "webhooks": "`oc-trio config get hooks` shows them; they are written in the configuration file.",
}


class SpelledGroup(click.Group):
    """A group that says what to type instead of a command that OpenClaw has and it has not."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does. Raises UsageError, with the nearest command where there is one."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            words = " ".join([*_words(ctx), args[0]])
            if words not in NEAREST:
                raise
            raise click.UsageError(f"There is no `{words}` here. Nearest: {NEAREST[words]}", ctx) from None


def refuse_before(ctx: click.Context, **options: object) -> None:
    """Raises UsageError where one of a group's own options is set before a subcommand, which would not see it."""
    if ctx.invoked_subcommand is not None and (given := [name for name, value in options.items() if value]):
        raise click.UsageError(f"Write --{given[0]} behind `{ctx.invoked_subcommand}`.", ctx)


def _words(ctx: click.Context) -> list[str]:
    """The subcommands typed up to here, without the program's name, which may be several words."""
    return [] if ctx.parent is None else [*_words(ctx.parent), str(ctx.info_name)]


def _check_channel(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    """Raises BadParameter for every channel but ours."""
    if value is not None and value.strip().lower() not in ("mattermost", "all"):
        raise click.BadParameter(
            f"oc-trio speaks to Mattermost only, not to {value!r}: write --channel mattermost, or leave it out."
        )


def spelled(command: click.Command) -> click.Command:
    """The command, with `--channel` on it and on all below it that can be run."""
    if isinstance(command, click.Group):
        for each in command.commands.values():
            spelled(each)
        if not command.invoke_without_command:
            return command
    # Some have one with a meaning of its own, as `cron add`.
    if not any("--channel" in parameter.opts for parameter in command.params):
        option = click.Option(
            ["--channel"],
            metavar="mattermost",
            expose_value=False,
            callback=_check_channel,
            help="As written for other gateways; there is only this one.",
            hidden=True,
        )
        command.params.append(option)
    return command
