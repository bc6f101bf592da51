"""Runs slash commands: calls the command's URL, shows its response, and takes late responses at its response_url."""

import json
from http.client import responses
from typing import Any
from urllib.parse import urlencode

from oc_trio.classes import define, frozen
from oc_trio.sandbox.channels import Channels
from oc_trio.sandbox.clock import SandboxClock
from oc_trio.sandbox.commands import CommandTable
from oc_trio.sandbox.errors import ApiError
from oc_trio.sandbox.event_publisher import EventPublisher
from oc_trio.sandbox.interactions import Interactions
from oc_trio.sandbox.mentions import channels_in, names_in
from oc_trio.sandbox.outgoing import (
    IntegrationRequest,
    IntegrationResponse,
    IntegrationUnreachable,
    PostOut,
    call_integration,
)
from oc_trio.sandbox.records import ChannelRecord, Command, UserRecord
from oc_trio.sandbox.teams import Teams
from oc_trio.sandbox.triggers import Triggers
from oc_trio.sandbox.users import Users
from oc_trio.sandbox.writing import PostInput, Writing

Json = dict[str, Any]

# Of one response_url (contract scenario command_response_url).
RESPONSE_USES = 5
RESPONSE_LIFE_MS = 30 * 60 * 1000


@frozen
class CommandUse:
    """One use of a command: by whom, in which channel and thread."""

    user: UserRecord
    channel: ChannelRecord
    team_id: str
    root_id: str


@define
class _LateAnswer:
    call: CommandUse
    until: int
    uses: int = 0


def failed(kind: str = "failed") -> ApiError:
    return ApiError(500, f"api.command.execute_command.{kind}.app_error", "Command failed.")


def read_answer(content_type: str, body: bytes) -> Json:
    """A CommandResponse: JSON by its content type, else plain text. Raises ValueError for invalid JSON."""
    text = body.decode("utf-8", "replace")
    # Anything but JSON is shown as it is (contract scenario command_answers).
    if content_type.split(";")[0].strip().lower() != "application/json":
        return {"text": text}
    answer = json.loads(text)
    if not isinstance(answer, dict):
        raise ValueError("not an object")
    return answer


class Slash:
    """Runs registered commands."""

    def __init__(
        self,
        site_url: str,
        clock: SandboxClock,
        users: Users,
        teams: Teams,
        channels: Channels,
        writing: Writing,
        triggers: Triggers,
        commands: CommandTable,
        interactions: Interactions,
        events: EventPublisher,
        send: PostOut,
    ) -> None:
        self._site_url = site_url
        self._clock = clock
        self._users = users
        self._teams = teams
        self._channels = channels
        self._writing = writing
        self._triggers = triggers
        self._commands = commands
        self._interactions = interactions
        self._events = events
        self._send = send
        self._late: dict[str, _LateAnswer] = {}

    def use_site_url(self, url: str) -> None:
        """Sets the URL that response URLs start with."""
        self._site_url = url

    async def execute(self, user: UserRecord, body: Json) -> Json:
        """Runs the command in `body` (channel_id, team_id, root_id, command); returns the CommandResponse."""
        line = str(body.get("command", ""))
        if len(line) <= 1 or not line.startswith("/"):
            raise ApiError(400, "api.command.execute_command.start.app_error", "No command trigger found.")
        channel = self._channels.require_member(user, str(body.get("channel_id", "")))
        if channel.delete_at:
            raise ApiError(
                400, "api.command.execute_command.deleted.error", "Can not run commands in a deleted channel."
            )
        self._commands.require_enabled()
        # A direct channel has no team: the client names one (contract scenario command_in_thread_and_direct).
        team_id = channel.team_id or str(body.get("team_id", ""))
        words = line.split(maxsplit=1)
        # The case of a trigger does not matter (contract scenario command_execute_errors).
        trigger = words[0][1:].lower()
        command = self._commands.triggered(team_id, trigger)
        if command is None:
            code = "api.command.execute_command.not_found.app_error"
            raise ApiError(404, code, f"Command with a trigger of '/{trigger}' not found.")
        # Verbatim, with its blanks and line breaks.
        text = line[len(words[0]) + 1 :]
        return await self._run(command, CommandUse(user, channel, team_id, str(body.get("root_id", ""))), text)

    async def _run(self, command: Command, call: CommandUse, text: str) -> Json:
        trigger = self._triggers.issue(call.user.id)
        fields = self._fields(command, call, text)
        fields["trigger_id"] = trigger.id
        answer = await self._send_callback(command, fields)
        # Every other status is an error for the person, 201 too (contract scenario command_bad_answers).
        if answer.status != 200:
            status = f"{answer.status} {responses.get(answer.status, '')}".rstrip()
            code = "api.command.execute_command.failed_resp.app_error"
            raise ApiError(500, code, f"Command with a trigger of '{command.trigger}' returned response {status}.")
        try:
            response = read_answer(answer.content_type, answer.body)
        except ValueError:
            raise failed() from None
        # Before the caller's response, as the real server does: the post's event may come first.
        self._show_all(call, response)
        visible = {"response_type": response.get("response_type", ""), "text": response.get("text", "")}
        return {
            **visible,
            "username": "",
            "goto_location": response.get("goto_location", ""),
            "trigger_id": trigger.client_id,
        }

    async def _send_callback(self, command: Command, fields: dict[str, str]) -> IntegrationResponse:
        # The token comes twice, here and in the form (contract scenario command_callback).
        headers = [("accept", "application/json"), ("authorization", f"Token {command.token}")]
        form = urlencode(fields)
        if command.method == "G":
            joint = "&" if "?" in command.url else "?"
            call = IntegrationRequest("GET", f"{command.url}{joint}{form}", tuple(headers))
        else:
            headers.append(("content-type", "application/x-www-form-urlencoded"))
            call = IntegrationRequest("POST", command.url, tuple(headers), form.encode())
        try:
            return await call_integration(self._send, call)
        except IntegrationUnreachable:
            raise failed() from None

    def _fields(self, command: Command, call: CommandUse, text: str) -> dict[str, str]:
        team = self._teams.find(call.team_id)
        fields = {
            "channel_id": call.channel.id,
            "channel_name": call.channel.name,
            # In lower case, whatever was typed.
            "command": f"/{command.trigger}",
            "response_url": f"{self._site_url}/hooks/commands/{self._response_key(call)}",
            "root_id": call.root_id,
            "team_domain": team.name if team else "",
            "team_id": call.team_id,
            "text": text,
            "token": command.token,
            "user_id": call.user.id,
            "user_name": call.user.username,
        }
        users = [u for u in map(self._users.find_name, names_in(text)) if u is not None]
        if users:
            fields["user_mentions"] = " ".join(user.username for user in users)
            fields["user_mentions_ids"] = " ".join(user.id for user in users)
        channels = [c for c in (self._channels.named(call.team_id, n) for n in channels_in(text)) if c]
        if channels:
            fields["channel_mentions"] = " ".join(channel.name for channel in channels)
            fields["channel_mentions_ids"] = " ".join(channel.id for channel in channels)
        return fields

    def _response_key(self, call: CommandUse) -> str:
        now = self._clock.now()
        self._late = {key: late for key, late in self._late.items() if late.until > now}
        key = self._clock.new_id()
        self._late[key] = _LateAnswer(call, now + RESPONSE_LIFE_MS)
        return key

    def answer_late(self, key: str, content_type: str, body: bytes) -> None:
        """Handles a POST to a response_url: shown like the first response, five times within 30 minutes."""
        late = self._late.get(key)
        code = "web.command_webhook.general.app_error"
        if late is None or late.until <= self._clock.now():
            raise ApiError(404, code, "No such response URL.")
        try:
            response = read_answer(content_type, body)
        except ValueError:
            raise ApiError(400, "web.command_webhook.parse.app_error", "Unable to parse the answer.") from None
        # After the parse: an unreadable answer does not count as a use.
        if late.uses >= RESPONSE_USES:
            raise ApiError(400, code, "The response URL was used too often.")
        late.uses += 1
        self._show_all(late.call, response)

    def _show_all(self, call: CommandUse, response: Json) -> None:
        extras = response.get("extra_responses")
        for item in (response, *(extras if isinstance(extras, list) else ())):
            if isinstance(item, dict):
                self._show(call, item)

    def _show(self, call: CommandUse, response: Json) -> None:
        kind, text = response.get("response_type") or "", str(response.get("text") or "")
        props = {**(response.get("props") or {}), "from_webhook": "true"}
        if response.get("attachments"):
            props["attachments"] = response["attachments"]
        if response.get("username"):
            props["override_username"] = response["username"]
        # A real post by the person who used the command, marked as a webhook's; an empty one without a text (contract
        # scenarios command_answers and command_bad_answers). An unknown type shows nothing.
        if kind == "in_channel":
            self._writing.create(call.user, PostInput(call.channel.id, text, call.root_id, props=props))
        elif kind in {"", "ephemeral"} and (text or response.get("attachments")):
            new_id = self._clock.new_id()
            body = self._events.ephemeral_body(new_id, call.user.id, call.channel.id, text, call.root_id)
            body["props"] = self._interactions.with_cookies(new_id, call.channel, props)
            self._events.ephemeral(call.user.id, body)
