"""Lists the slash commands on the server for operators: whose they are, whether they are wanted; removes our own.

Works beside a running gateway or without one. Registration by a gateway is `runtime.handlers.slash_commands`.
"""

from oc_trio.classes import frozen
from oc_trio.config.accounts import Account
from oc_trio.config.load import Loaded
from oc_trio.core.entities import SlashCommand
from oc_trio.core.slash_plan import Registrar
from oc_trio.errors import MattermostError
from oc_trio.ids import AccountId
from oc_trio.mattermost.client import Api
from oc_trio.mattermost.transport import Transport, open_server
from oc_trio.runtime.account.dependencies import Dependencies
from oc_trio.runtime.handlers.callback_urls import plan_callbacks
from oc_trio.runtime.policies import net_policy
from oc_trio.runtime.tools.skills import SkillLibrary


@frozen
class AuditedCommand:
    """One command of a team. `ours`: the bot made it and it bears our mark; `wanted`: by this configuration."""

    account: AccountId
    team: str
    command: SlashCommand
    ours: bool
    wanted: bool


@frozen
class CommandAudit:
    """`problems` says, in words, which teams could not be read or which commands could not be removed."""

    listed: tuple[AuditedCommand, ...] = ()
    problems: tuple[str, ...] = ()


async def audit_commands(
    loaded: Loaded,
    account: Account,
    dependencies: Dependencies,
    skills: SkillLibrary,
    *,
    remove: bool = False,
    everything: bool = False,
) -> CommandAudit:
    """The commands on all teams of the account's bot. Raises MattermostError if the server can't be asked at all.

    With `remove`, those of ours that are not wanted are deleted (all of ours with `everything`) and only they listed.
    """
    plan = plan_callbacks(loaded.config, account, skills=skills.commands)
    triggers = {spec.trigger for spec in plan.specs} if plan.native else set()
    transport = dependencies.transport(account.base_url, net_policy(account))
    listed: list[AuditedCommand] = []
    problems: list[str] = []
    async with open_server(account.base_url, dependencies.ssl_context, http_transport=transport) as server:
        api = Api(Transport(server, account.bot_token.reveal))
        registrar = Registrar((await api.users.me()).id, plan.command_url)
        for team in await api.teams.mine():
            try:
                commands = await api.commands.list(team.id)
            except MattermostError as problem:
                problems.append(f"team {team.name}: the commands can't be listed: {problem}")
                continue
            for command in commands:
                # By the URL, too: one of the same name that leads elsewhere is a left-over of an earlier address.
                wanted = command.trigger in triggers and command.url == plan.command_url
                row = AuditedCommand(account.id, team.name, command, registrar.may_delete(command), wanted)
                if not remove:
                    listed.append(row)
                # Never a command of somebody else, whatever it is called.
                elif row.ours and (everything or not wanted):
                    try:
                        await api.commands.delete(command.id)
                    except MattermostError as problem:
                        problems.append(f"team {team.name}: /{command.trigger} can't be removed: {problem}")
                    else:
                        listed.append(row)
    return CommandAudit(tuple(listed), tuple(problems))


def skill_folders(loaded: Loaded) -> tuple[str, ...]:
    """Where the configuration's skills are; relative ones start at the configuration file."""
    return tuple(str(loaded.document.folder / folder) for folder in loaded.config.skills.dirs)
