"""The registered slash commands: creating, listing, changing and deleting them. `slash` runs them."""

from collections.abc import Callable
from typing import Any

from oc_trio.sandbox.clock import SandboxClock
from oc_trio.sandbox.errors import ApiError, forbidden
from oc_trio.sandbox.records import Command, UserRecord
from oc_trio.sandbox.teams import Teams

Json = dict[str, Any]

# No bot can register these: the server refuses them as taken (contract scenario command_create_errors).
BUILT_IN: tuple[str, ...] = (
    "away",
    "code",
    "dnd",
    "echo",
    "header",
    "help",
    "invite",
    "join",
    "leave",
    "me",
    "msg",
    "mute",
    "offline",
)
BUILT_IN += ("online", "open", "purpose", "rename", "search", "settings", "shortcuts", "shrug", "status", "logout")
_EDITABLE: tuple[str, ...] = (
    "method",
    "url",
    "username",
    "icon_url",
    "auto_complete",
    "auto_complete_desc",
    "auto_complete_hint",
)
_EDITABLE += ("display_name", "description", "trigger")


def command_view(command: Command, *, reveal: bool = True) -> Json:
    """The JSON of a command; without `reveal` as a list shows it to everybody: no token, URL or creator."""
    return {
        "id": command.id,
        "token": command.token if reveal else "",
        "create_at": command.create_at,
        "update_at": command.update_at,
        "delete_at": command.delete_at,
        "creator_id": command.creator_id if reveal else "",
        "team_id": command.team_id,
        "trigger": command.trigger,
        "method": command.method if reveal else "",
        "username": command.username,
        "icon_url": command.icon_url,
        "auto_complete": command.auto_complete,
        "auto_complete_desc": command.auto_complete_desc,
        "auto_complete_hint": command.auto_complete_hint,
        "display_name": command.display_name,
        "description": command.description,
        "url": command.url if reveal else "",
        "plugin_id": "",
    }


def built_in_view(trigger: str) -> Json:
    return command_view(Command("", "", "", trigger, "", "", 0, "", auto_complete=True), reveal=False)


def _invalid(field: str) -> ApiError:
    return ApiError(400, f"model.command.is_valid.{field}.app_error", f"Invalid {field}.")


def _check(command: Command) -> None:
    trigger = command.trigger
    if not 1 <= len(trigger) <= 128 or trigger.startswith("/") or any(c.isspace() for c in trigger):
        raise _invalid("trigger")
    if not command.url:
        raise _invalid("url")
    # By the scheme only; whether anybody answers there is seen at the first use.
    if not command.url.startswith(("http://", "https://")):
        raise _invalid("url_http")
    if command.method not in {"P", "G"}:
        raise _invalid("method")


class CommandTable:
    """All registered commands of a world, and who may manage them."""

    def __init__(self, clock: SandboxClock, teams: Teams, is_enabled: Callable[[], bool] = lambda: True) -> None:
        self._is_enabled = is_enabled
        self._clock = clock
        self._teams = teams
        self._by_id: dict[str, Command] = {}

    def require_enabled(self) -> None:
        """Raises ApiError where `ServiceSettings.EnableCommands` is false."""
        if not self._is_enabled():
            raise ApiError(501, "api.command.disabled.app_error", "Commands have been disabled by the system admin.")

    def create(self, user: UserRecord, body: Json) -> Command:
        team_id = str(body.get("team_id", ""))
        self.require_manager(user, team_id)
        now = self._clock.now()
        new_id, token = self._clock.new_id(), self._clock.new_id()
        # The token is the server's choice: one in the body is ignored, here and at an update.
        command = Command(new_id, team_id, user.id, "", "", "", now, token, update_at=now)
        self._fill(command, body)
        # Whoever made the other one (contract scenario command_create_errors).
        if command.trigger in BUILT_IN or self.triggered(team_id, command.trigger) is not None:
            raise ApiError(400, "api.command.duplicate_trigger.app_error", "This trigger word is already in use.")
        self._by_id[command.id] = command
        return command

    def update(self, user: UserRecord, command_id: str, body: Json) -> Command:
        """Everything but id, team, creator and token can be changed, even to a trigger that is taken."""
        command = self.managed(user, command_id)
        self._fill(command, body)
        command.update_at = self._clock.now()
        return command

    def _fill(self, command: Command, body: Json) -> None:
        before = {key: getattr(command, key) for key in _EDITABLE}
        for key in _EDITABLE:
            value = body.get(key, before[key])
            setattr(command, key, bool(value) if isinstance(before[key], bool) else str(value or ""))
        # Triggers are kept in lower case and looked up that way (contract scenario command_execute_errors).
        command.trigger = command.trigger.lower()
        try:
            _check(command)
        # A refused update leaves the command as it was.
        except ApiError:
            for key, value in before.items():
                setattr(command, key, value)
            raise

    def regenerate(self, user: UserRecord, command_id: str) -> str:
        command = self.managed(user, command_id)
        command.token = self._clock.new_id()
        return command.token

    def delete(self, user: UserRecord, command_id: str) -> None:
        self.managed(user, command_id)
        del self._by_id[command_id]

    def managed(self, user: UserRecord, command_id: str) -> Command:
        """A command that this user may manage; 404 for everybody else."""
        command = self._by_id.get(command_id)
        # 404 rather than 403, as recorded: who may not manage a command is not told that it exists (contract scenario
        # command_permission).
        if command is None or not self._teams.may_administer(user, command.team_id):
            raise ApiError(404, "store.sql_command.save.get.app_error", "Unable to get the command.")
        return command

    def require_manager(self, user: UserRecord, team_id: str) -> None:
        self.require_enabled()
        if self._teams.find(team_id) is None or not self._teams.may_administer(user, team_id):
            raise forbidden()

    def of_team(self, team_id: str) -> list[Command]:
        # Whether their creator is still enabled does not matter (contract scenario command_survives_bot).
        return [command for command in self._by_id.values() if command.team_id == team_id]

    def triggered(self, team_id: str, trigger: str) -> Command | None:
        return next((c for c in self.of_team(team_id) if c.trigger == trigger), None)
