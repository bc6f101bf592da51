"""Registers an account's slash commands on the server, team by team, and deletes those that are no longer wanted.

It owns the calls and their failures. `core.slash_plan` decides what to do; the caller stores tokens (`remember`,
`forget`). Where a team's registration is incomplete, the result says so.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

import trio
from attrs import evolve, field

from oc_trio.classes import frozen
from oc_trio.core.entities import SlashCommand
from oc_trio.core.slash import CommandSpec
from oc_trio.core.slash_plan import (
    Action,
    CreateCommand,
    DeleteCommand,
    LeaveCommand,
    RecreateCommand,
    Registrar,
    ReuseCommand,
    SkipForeign,
    TakeBackCommand,
    UpdateCommand,
    plan_team,
)
from oc_trio.errors import MattermostError, MattermostRejected, PayloadError
from oc_trio.ids import CommandId, TeamId
from oc_trio.mattermost.client import Api
from oc_trio.telemetry.log import get_logger

log = get_logger(part="registrar")

# A created command has to be stored, or its token is lost: during a stop there is this long for it.
SAVE_SECONDS = 5.0
_TAKEN = "api.command.duplicate_trigger.app_error"


class _Taken(Exception):
    """Another creator's command has the trigger; it stays untouched."""


@frozen
class TeamResult:
    """What a team has now: `commands` with their tokens, and the triggers or the step that failed, in words.

    `taken` are the wanted triggers that somebody else's command has. `moved` are those of ours that somebody else had
    pointed elsewhere, with that URL; they are in `commands` where they were taken back.
    """

    team: TeamId
    commands: tuple[SlashCommand, ...] = ()
    failures: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()
    moved: Mapping[str, str] = field(factory=dict, hash=False)

    @property
    def is_complete(self) -> bool:
        return not self.failures


@frozen(eq=False)
class CommandRegistrar:
    """Registers `wanted` for one account; `remember` and `forget` write through to the journal."""

    api: Api
    who: Registrar
    wanted: tuple[CommandSpec, ...]
    remember: Callable[[SlashCommand], Awaitable[object]]
    forget: Callable[[CommandId], Awaitable[object]]
    log_fields: dict[str, str] = field(factory=dict)

    async def register(
        self,
        team: TeamId,
        remembered: Sequence[SlashCommand],
        leave: Collection[str] = (),
        *,
        take_back: bool = True,
    ) -> TeamResult:
        """Register the wanted commands in a team. What the server refuses is in the result, not raised.

        Triggers to `leave` are another account's: what we have of them is removed. `take_back` is as in `plan_team`.
        """
        try:
            listed = await self._listed(team)
        except MattermostError as problem:
            log.error(
                "mattermost: failed to register slash commands", team=team, problem=str(problem), **self.log_fields
            )
            return TeamResult(team, failures=(f"the team's commands can't be listed: {problem}{_advice(problem)}",))
        commands: list[SlashCommand] = []
        failures: list[str] = []
        taken: list[str] = []
        moved: dict[str, str] = {}
        wanted = [spec for spec in self.wanted if spec.trigger not in leave]
        for action in plan_team(team, listed, remembered, wanted, self.who, take_back=take_back):
            if isinstance(action, TakeBackCommand | LeaveCommand):
                moved[_trigger(action)] = action.url
            try:
                registered = await self._do(action)
            except _Taken:
                taken.append(_trigger(action))
                continue
            except MattermostError as problem:
                failures.append(f"{_trigger(action)}: {problem}{_advice(problem)}")
                log.error(
                    "mattermost: failed to register slash commands",
                    team=team,
                    command=_trigger(action),
                    problem=str(problem),
                    **self.log_fields,
                )
                continue
            if registered is not None:
                commands.append(registered)
        return TeamResult(team, tuple(commands), tuple(failures), tuple(taken), moved)

    async def remove(self, commands: Sequence[SlashCommand]) -> tuple[SlashCommand, ...]:
        """Delete commands of ours from the server and from memory; returns those that could not be deleted."""
        left = []
        for command in commands:
            try:
                await self._delete(command)
            except MattermostError as problem:
                left.append(command)
                log.error("mattermost: slash command cleanup failed", command=command.trigger, problem=str(problem))
        return tuple(left)

    async def _listed(self, team: TeamId) -> tuple[SlashCommand, ...] | None:
        """The team's commands, None where the bot may create commands but not list them."""
        try:
            return await self.api.commands.list(team)
        except MattermostRejected as refusal:
            # `manage_own_slash_commands` alone lets a bot create commands, but not list the team's.
            if refusal.status == 403:
                return None
            raise

    async def _do(self, action: Action) -> SlashCommand | None:
        """Carry out one action; the command if it is to be served from now on. Raises _Taken, MattermostError."""
        match action:
            case ReuseCommand(command):
                await self.remember(command)
                return command
            case UpdateCommand(command) | TakeBackCommand(command):
                return await self._update(command)
            case RecreateCommand(old, command):
                # First, because a trigger is taken for as long as its old command exists.
                await self._delete(evolve(command, id=old))
                return await self._create(command)
            case CreateCommand(command):
                return await self._create(command)
            case SkipForeign():
                raise _Taken
            case LeaveCommand():
                return None
            case DeleteCommand(command, reason):
                await self._delete(command)
                log.info("slash command deleted", command=command.trigger, why=reason, **self.log_fields)
                return None

    async def _create(self, command: SlashCommand) -> SlashCommand | None:
        created: SlashCommand | None = None
        try:
            # Shielded: between the server's answer and our note, a stop would orphan the command with its token.
            with trio.CancelScope(shield=True), trio.move_on_after(SAVE_SECONDS) as budget:
                created = await self.api.commands.create(command)
                if not created.token:
                    raise PayloadError(f"the server created /{command.trigger} without telling its token")
                await self.remember(created)
        except MattermostRejected as refusal:
            if refusal.code != _TAKEN:
                raise
            raise _Taken from refusal  # somebody else's, which we could not see
        if budget.cancelled_caught or created is None:
            raise PayloadError(f"/{command.trigger} was not created within {SAVE_SECONDS:g} s")
        log.info("slash command registered", command=command.trigger, **self.log_fields)
        return created

    async def _update(self, command: SlashCommand) -> SlashCommand | None:
        try:
            answer = await self.api.commands.update(command)
        except MattermostRejected as refusal:
            log.info("slash command can't be updated", command=command.trigger, problem=str(refusal), **self.log_fields)
            await self._delete(command)
            return await self._create(evolve(command, id=CommandId(""), token=""))
        # Some servers leave the token out of their answer; an update does not change it.
        updated = answer if answer.token else evolve(answer, token=command.token)
        await self.remember(updated)
        log.info("slash command updated", command=command.trigger, **self.log_fields)
        return updated

    async def _delete(self, command: SlashCommand) -> None:
        try:
            await self.api.commands.delete(command.id)
        except MattermostRejected as refusal:
            if refusal.status != 404:  # 404: it is gone already, or never was ours to see
                raise
        # Last: a command that is still on the server has to stay known, so that the next run removes it.
        await self.forget(command.id)


def _advice(problem: MattermostError) -> str:
    if isinstance(problem, MattermostRejected) and problem.status == 403:
        return "; grant the bot the permission Manage Slash Commands, or make it an admin of the team"
    return ""


def _trigger(action: Action) -> str:
    return action.trigger if isinstance(action, SkipForeign | LeaveCommand) else action.command.trigger
