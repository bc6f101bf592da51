"""REST endpoints for slash commands, dialogs, ephemeral posts and the system."""

from collections.abc import Mapping
from typing import Any

from oc_trio.classes import frozen
from oc_trio.core.decode import decode_post
from oc_trio.core.decode_entities import decode_command
from oc_trio.core.entities import NewPost, SlashCommand
from oc_trio.core.events import Post
from oc_trio.core.ratelimit import Lane
from oc_trio.errors import PayloadError
from oc_trio.ids import ChannelId, CommandId, TeamId, UserId
from oc_trio.mattermost.rest.pages import many
from oc_trio.mattermost.rest.paths import segment
from oc_trio.mattermost.transport import Transport


@frozen(eq=False)
class CommandsApi:
    """`/commands`. A plain bot gets 403 on list and create; it needs `manage_own_slash_commands`."""

    transport: Transport

    async def list(self, team_id: TeamId) -> tuple[SlashCommand, ...]:
        """The custom commands of a team."""
        # Built-in commands have no token and are nobody's.
        params = {"team_id": team_id, "custom_only": "true"}
        answer = await self.transport.request("GET", "/commands", params=params)
        return tuple(many(answer, decode_command, "commands"))

    async def get(self, command_id: CommandId) -> SlashCommand:
        """One command by id, with its token if it is ours."""
        return decode_command(await self.transport.request("GET", f"/commands/{segment(command_id)}"))

    async def create(self, command: SlashCommand) -> SlashCommand:
        """Register a command; id and token are the server's. A taken trigger is 400."""
        body = _command_body(command)
        return decode_command(await self.transport.request("POST", "/commands", json=body, lane=Lane.CREATE))

    async def update(self, command: SlashCommand) -> SlashCommand:
        """Replace a command's fields; mind that an update to a taken trigger is let through."""
        body = {**_command_body(command), "id": command.id, "token": command.token, "creator_id": command.creator_id}
        path = f"/commands/{segment(command.id)}"
        return decode_command(await self.transport.request("PUT", path, json=body, lane=Lane.CREATE))

    async def delete(self, command_id: CommandId) -> None:
        """Remove a command."""
        await self.transport.request("DELETE", f"/commands/{segment(command_id)}", lane=Lane.CREATE)

    async def execute(self, channel_id: ChannelId, team_id: TeamId, line: str) -> None:
        """Use a command as its caller would; `team_id` counts in direct channels. Returns when it was answered.

        Where the command's URL gave no valid answer, Mattermost says 500.
        """
        body = {"channel_id": channel_id, "team_id": team_id, "command": line}
        await self.transport.request("POST", "/commands/execute", json=body, lane=Lane.CREATE)


@frozen(eq=False)
class DialogsApi:
    """`/actions/dialogs`."""

    transport: Transport

    async def open(self, trigger_id: str, url: str, dialog: Mapping[str, Any]) -> None:
        """Show a dialog to whoever caused `trigger_id`, which is good for 30 s; the submission goes to `url`."""
        body = {"trigger_id": trigger_id, "url": url, "dialog": dict(dialog)}
        await self.transport.request("POST", "/actions/dialogs/open", json=body, lane=Lane.FINAL)


@frozen(eq=False)
class SystemApi:
    """`/system` and `/config`."""

    transport: Transport

    async def ping(self) -> bool:
        """Whether the server says it is well."""
        answer = await self.transport.request("GET", "/system/ping")
        return isinstance(answer, dict) and answer.get("status") == "OK"

    async def client_config(self) -> Mapping[str, str]:
        """The server's public settings, all of them strings: `MaxFileSize`, `SiteURL`, `Version` and so on."""
        answer = await self.transport.request("GET", "/config/client", params={"format": "old"})
        if not isinstance(answer, dict):
            raise PayloadError("GET /config/client: expected an object")
        return {str(key): value for key, value in answer.items() if isinstance(value, str)}


async def send_ephemeral(transport: Transport, user_id: UserId, new: NewPost) -> Post:
    """A post that only `user_id` sees until they reload; a plain bot may not (403)."""
    post = {"channel_id": new.channel_id, "message": new.message, "root_id": new.root_id, "props": dict(new.props)}
    body = {"user_id": user_id, "post": post}
    return decode_post(await transport.request("POST", "/posts/ephemeral", json=body, lane=Lane.FINAL))


def _command_body(command: SlashCommand) -> dict[str, Any]:
    return {
        "team_id": command.team_id,
        "trigger": command.trigger,
        "method": command.method,
        "url": command.url,
        "description": command.description,
        "display_name": command.display_name,
        "auto_complete": command.auto_complete,
        "auto_complete_desc": command.auto_complete_desc,
        "auto_complete_hint": command.auto_complete_hint,
    }
