"""What to do to a team's slash commands so that it has the ones we want, and nothing of ours besides.

Pure: the server's list (or None where we may not see it) and what we remember go in, actions come out. A command
belongs to us if the bot made it; to clean one up it must also carry our mark or call our URL, because another program
may use the same bot. Foreign commands are never touched.
"""

from collections.abc import Sequence

from attrs import evolve, frozen

from oc_trio.core.entities import SlashCommand
from oc_trio.core.slash import PREFIX, CommandSpec, cut_description
from oc_trio.ids import CommandId, TeamId, UserId

MARK = "oc_trio"  # in display_name, which Mattermost shows only to those who manage integrations


@frozen
class Reuse:
    """The server has exactly what we want; its token is in `command`."""

    command: SlashCommand


@frozen
class Update:
    """The server has it with other fields: write `command` over it. If that fails, `Recreate`."""

    command: SlashCommand


@frozen
class Recreate:
    """It is ours but nobody knows its token: delete `old`, create `command`."""

    old: CommandId
    command: SlashCommand


@frozen
class Create:
    """The server has nothing of that trigger, as far as we may see."""

    command: SlashCommand


@frozen
class SkipForeign:
    """Somebody else's command has the trigger; leave it and tell the operator."""

    trigger: str
    foreign: CommandId


@frozen
class Delete:
    """Ours and no longer wanted."""

    command: SlashCommand
    reason: str


Action = Reuse | Update | Recreate | Create | SkipForeign | Delete


@frozen
class Registrar:
    """Who registers: the bot, the callback URL for all its commands."""

    bot: UserId
    url: str

    def owns(self, command: SlashCommand) -> bool:
        return command.creator_id == self.bot

    def may_clean(self, command: SlashCommand) -> bool:
        """Ours beyond doubt, so that removing it harms nobody; an earlier `commands.prefix` may have named it."""
        named = command.url == self.url and command.trigger.startswith(PREFIX)
        return self.owns(command) and (named or command.display_name == MARK)

    def command(self, team: TeamId, spec: CommandSpec) -> SlashCommand:
        """The command as it should stand on the server; id and token are the server's to give."""
        description = cut_description(spec.description)
        return SlashCommand(
            id=CommandId(""),
            team_id=team,
            trigger=spec.trigger,
            url=self.url,
            creator_id=self.bot,
            description=description,
            auto_complete=True,
            auto_complete_desc=description,
            auto_complete_hint=spec.hint,
            display_name=MARK,
        )


def plan_team(
    team: TeamId,
    listed: Sequence[SlashCommand] | None,
    remembered: Sequence[SlashCommand],
    wanted: Sequence[CommandSpec],
    registrar: Registrar,
) -> tuple[Action, ...]:
    """The actions for one team, wanted commands in their order first, deletions last.

    `listed` is None when the bot may create commands but not list them: then what we `remembered` from earlier runs
    stands in for it. Memory holds no descriptions, so each such command is an `Update`, which also shows whether it
    still exists. Memory lends tokens to listed commands that come without, and what it knows is ours to clean up.
    """
    tokens = {command.id: command.token for command in remembered}
    present = [
        command if command.token else evolve(command, token=tokens.get(command.id, ""))
        for command in (remembered if listed is None else listed)
        if command.team_id == team and not command.delete_at
    ]
    actions: list[Action] = []
    kept: set[CommandId] = set()
    for spec in wanted:
        same = [command for command in present if command.trigger.lower() == spec.trigger]
        # A known token first: of several of ours that one is useful, the others are left-overs.
        ours = sorted((command for command in same if registrar.owns(command)), key=lambda command: not command.token)
        desired = registrar.command(team, spec)
        if ours:
            kept.add(ours[0].id)
            actions.append(_settle(ours[0], desired))
        elif same:
            actions.append(SkipForeign(spec.trigger, same[0].id))
        else:
            actions.append(Create(desired))
    left = [
        command
        for command in present
        if command.id not in kept
        and (registrar.may_clean(command) or (registrar.owns(command) and command.id in tokens))
    ]
    return (*actions, *(Delete(command, "no longer wanted") for command in left))


def _settle(found: SlashCommand, desired: SlashCommand) -> Action:
    if not found.token:
        return Recreate(found.id, desired)
    target = evolve(desired, id=found.id, token=found.token)
    return Reuse(found) if evolve(found, trigger=found.trigger.lower()) == target else Update(target)


def clean_up(listed: Sequence[SlashCommand], registrar: Registrar, *, reason: str) -> tuple[Delete, ...]:
    """Everything of ours in a team, for an account that was removed or whose native commands were switched off."""
    return tuple(
        Delete(command, reason) for command in listed if not command.delete_at and registrar.may_clean(command)
    )
