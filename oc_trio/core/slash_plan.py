"""Plans the changes to a team's slash commands, so that it has the ones we want and no others of ours.

Pure: the server's list (None if we may not list them) and the stored commands go in, actions come out. A command is
ours if the bot created it. To be deleted it must also have our mark or our URL, because another program may use the
same bot. Commands of others are never touched.
"""

from collections.abc import Sequence

from attrs import evolve

from oc_trio.classes import frozen
from oc_trio.core.entities import SlashCommand
from oc_trio.core.slash import PREFIX, CommandSpec, cut_description
from oc_trio.ids import CommandId, TeamId, UserId

MARK = "oc_trio"  # in display_name, which Mattermost shows only to those who manage integrations


@frozen
class ReuseCommand:
    """The server has exactly this command; its token is in `command`."""

    command: SlashCommand


@frozen
class UpdateCommand:
    """The server has it with other fields: update it to `command`. If that fails, `RecreateCommand`."""

    command: SlashCommand


@frozen
class TakeBackCommand:
    """It is ours, but somebody else has pointed it to `url` since: update it to `command`, as with `UpdateCommand`."""

    command: SlashCommand
    url: str


@frozen
class LeaveCommand:
    """It is ours, and somebody else points it to `url` again and again: it stays so."""

    trigger: str
    url: str


@frozen
class RecreateCommand:
    """It is ours but its token is unknown: delete `old`, create `command`."""

    old: CommandId
    command: SlashCommand


@frozen
class CreateCommand:
    """The server has no command with that trigger, as far as we may see."""

    command: SlashCommand


@frozen
class SkipForeign:
    """Somebody else's command has the trigger: leave it and warn the operator."""

    trigger: str
    foreign: CommandId


@frozen
class DeleteCommand:
    """Ours and no longer wanted."""

    command: SlashCommand
    reason: str


Action = (
    ReuseCommand
    | UpdateCommand
    | TakeBackCommand
    | LeaveCommand
    | RecreateCommand
    | CreateCommand
    | SkipForeign
    | DeleteCommand
)


@frozen
class Registrar:
    """The bot that registers, and the callback URL for all its commands."""

    bot: UserId
    url: str

    def owns(self, command: SlashCommand) -> bool:
        return command.creator_id == self.bot

    def may_delete(self, command: SlashCommand) -> bool:
        """Whether it is certainly ours, even if an earlier `commands.prefix` named it, so that it may be deleted."""
        # Both: another program may be called at the same URL through the same bot, with names of its own.
        is_by_url = command.url == self.url and command.trigger.startswith(PREFIX)
        return self.owns(command) and (is_by_url or command.display_name == MARK)

    def command(self, team: TeamId, spec: CommandSpec) -> SlashCommand:
        """The command as it should be on the server, which assigns id and token."""
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
    *,
    take_back: bool = True,
) -> tuple[Action, ...]:
    """The actions for one team: the wanted commands in order, then deletions.

    `listed` is None if the bot may create commands but not list them: then the `remembered` commands of earlier runs
    are used. Those have no descriptions, so each becomes an `UpdateCommand`, which also shows whether it exists.
    Remembered tokens are used for listed commands without one, and remembered commands may be deleted. A command whose
    URL is neither the remembered nor the wanted one was changed by somebody else: it is taken back, or left with
    `take_back` false.
    """
    # Where a command pointed when it was registered: after a change of the configuration that is neither the old nor
    # anybody else's.
    known_urls = {command.trigger.lower(): command.url for command in remembered if command.team_id == team}
    tokens = {command.id: command.token for command in remembered}
    present = [
        command if command.token else evolve(command, token=tokens.get(command.id, ""))
        for command in (remembered if listed is None else listed)
        # What is remembered is that of all teams.
        if command.team_id == team and not command.delete_at
    ]
    actions: list[Action] = []
    kept: set[CommandId] = set()
    for spec in wanted:
        same = [command for command in present if command.trigger.lower() == spec.trigger]
        # A known token first: of several commands of ours, that one can be kept; the others are deleted.
        ours = sorted((command for command in same if registrar.owns(command)), key=lambda command: not command.token)
        desired = registrar.command(team, spec)
        if ours:
            kept.add(ours[0].id)
            is_moved = ours[0].url not in (desired.url, known_urls.get(spec.trigger, ours[0].url))
            if is_moved and not take_back:
                kept.update(command.id for command in ours)
                actions.append(LeaveCommand(spec.trigger, ours[0].url))
            else:
                actions.append(_plan_existing(ours[0], desired, is_moved=is_moved))
        elif same:
            actions.append(SkipForeign(spec.trigger, same[0].id))
        else:
            actions.append(CreateCommand(desired))
    obsolete = [
        command
        for command in present
        if command.id not in kept
        # One with our mark that leads elsewhere, and that this journal does not know, is another gateway's.
        and registrar.owns(command)
        and (command.id in tokens or (registrar.may_delete(command) and command.url == registrar.url))
    ]
    return (*actions, *(DeleteCommand(command, "no longer wanted") for command in obsolete))


def _plan_existing(existing: SlashCommand, desired: SlashCommand, *, is_moved: bool) -> Action:
    if not existing.token:
        # Without its token no call of it can be verified.
        return RecreateCommand(existing.id, desired)
    target = evolve(desired, id=existing.id, token=existing.token)
    if is_moved:
        return TakeBackCommand(target, existing.url)
    return (
        ReuseCommand(existing)
        if evolve(existing, trigger=existing.trigger.lower()) == target
        else UpdateCommand(target)
    )


def clean_up(listed: Sequence[SlashCommand], registrar: Registrar, *, reason: str) -> tuple[DeleteCommand, ...]:
    """Deletes all our commands in a team, for an account that was removed or has native commands switched off."""
    return tuple(
        DeleteCommand(command, reason) for command in listed if not command.delete_at and registrar.may_delete(command)
    )
