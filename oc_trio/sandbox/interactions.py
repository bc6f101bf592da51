"""Buttons, menus and dialogs: a click calls the integration and applies its response."""

import json
from collections import OrderedDict
from typing import Any

from oc_trio.classes import frozen
from oc_trio.sandbox import attachments
from oc_trio.sandbox.channels import Channels
from oc_trio.sandbox.clock import SandboxClock
from oc_trio.sandbox.compact import dump
from oc_trio.sandbox.errors import ApiError, bad_body, forbidden
from oc_trio.sandbox.event_publisher import EventPublisher
from oc_trio.sandbox.hub import Broadcast, Hub
from oc_trio.sandbox.outgoing import IntegrationResponse, IntegrationUnreachable, PostOut, call_integration, json_call
from oc_trio.sandbox.posts import Posts
from oc_trio.sandbox.records import ChannelRecord, UserRecord
from oc_trio.sandbox.teams import Teams
from oc_trio.sandbox.triggers import Triggers
from oc_trio.sandbox.writing import Change, Writing

Json = dict[str, Any]

COOKIES = 1000  # buttons of ephemeral posts that can still be clicked; the oldest are forgotten first
# An update by an integration can't take these away (contract scenario button_update_keeps_props).
_KEPT_PROPS = ("override_username", "override_icon_url")


def failed() -> ApiError:
    return ApiError(400, "api.post.do_action.action_integration.app_error", "Action integration error.")


@frozen
class Press:
    """What was clicked: the action with its integration (None if there is none), and its post and thread."""

    action: Json | None
    post_id: str
    root_id: str
    channel: ChannelRecord
    is_ephemeral: bool = False


class Interactions:
    """Calls integrations for clicks and dialogs, and applies their responses."""

    def __init__(
        self,
        clock: SandboxClock,
        teams: Teams,
        channels: Channels,
        posts: Posts,
        writing: Writing,
        triggers: Triggers,
        events: EventPublisher,
        hub: Hub,
        send: PostOut,
    ) -> None:
        self._clock = clock
        self._teams = teams
        self._channels = channels
        self._posts = posts
        self._writing = writing
        self._triggers = triggers
        self._events = events
        self._hub = hub
        self._send = send
        self._cookies: OrderedDict[str, Press] = OrderedDict()

    def with_cookies(self, post_id: str, channel: ChannelRecord, props: Json) -> Json:
        """The props of an ephemeral post: each action has a cookie instead of its integration."""

        def cookie(action: Json) -> str:
            key = self._clock.new_id()
            self._cookies[key] = Press(dict(action), post_id, post_id, channel, is_ephemeral=True)
            while len(self._cookies) > COOKIES:
                self._cookies.popitem(last=False)
            return key

        return attachments.public(attachments.complete(props, self._clock.new_id), cookie)

    async def press(self, user: UserRecord, post_id: str, action_id: str, selected: str, cookie: str) -> str:
        """Calls the integration and applies its response; returns the client's trigger id."""
        # An ephemeral post is stored nowhere: its cookie is all that knows the integration.
        click = self._cookies.get(cookie) or self._find(post_id, action_id)
        if not self._channels.may_read(user, click.channel):
            raise forbidden()
        if click.action is None:
            raise ApiError(404, "api.post.do_action.action_id.app_error", "Invalid action id.")
        # For each press, of a button that opens no dialog, too.
        trigger = self._triggers.issue(user.id)
        url = str(click.action["integration"].get("url", ""))
        body = self._body(user, click, click.action, trigger.id, selected)
        # Nothing is locked meanwhile: five presses at once are five calls (contract scenario
        # button_concurrent_presses).
        self._apply(user, click, (await self._call(url, body)).body)
        return trigger.client_id

    def _find(self, post_id: str, action_id: str) -> Press:
        # 403 for an unknown post, 404 (from `live`) for a deleted one (contract scenario button_press_errors).
        if self._posts.find(post_id) is None:
            raise forbidden()
        post = self._posts.live(post_id)
        channel = self._channels.get(post.channel_id)
        action = attachments.find_action(post.props, action_id)
        return Press(action, post.id, post.root_id or post.id, channel)

    def _body(self, user: UserRecord, click: Press, action: Json, trigger_id: str, selected: str) -> Json:
        channel = click.channel
        team = self._teams.find(channel.team_id)
        kind = str(action.get("type", "")) or "button"
        context = dict(action["integration"].get("context") or {})
        # A button's `selected_option` is dropped (contract scenario button_without_context).
        if kind == "select":
            context["selected_option"] = selected
        # Nothing here is signed: who receives it has to know its own by a secret in the context (contract scenario
        # button_made_by_a_user).
        body: Json = {
            "user_id": user.id,
            "user_name": user.username,
            "channel_id": channel.id,
            "channel_name": channel.name,
            "team_id": channel.team_id,
            "team_domain": team.name if team else "",
            "post_id": click.post_id,
            "trigger_id": trigger_id,
            "type": kind,
            "data_source": action.get("data_source", ""),
        }
        # No `context` key without a context (contract scenario button_without_context).
        return {**body, "context": context} if context else body

    async def _call(self, url: str, body: Json) -> IntegrationResponse:
        try:
            answer = await call_integration(self._send, json_call(url, body))
        except IntegrationUnreachable:
            raise failed() from None
        # 201 and 204 are errors too (contract scenario button_bad_answers).
        if answer.status != 200:
            raise failed()
        return answer

    def _apply(self, user: UserRecord, click: Press, body: bytes) -> None:
        if not body:
            return
        try:
            answer = json.loads(body)
        except ValueError:
            raise failed() from None
        # The JSON `null` is taken as an empty answer.
        if answer is None:
            return
        if not isinstance(answer, dict):
            raise failed()
        update = answer.get("update")
        if isinstance(update, dict):
            self._update(click, update)
        if answer.get("ephemeral_text"):
            text, new_id = str(answer["ephemeral_text"]), self._clock.new_id()
            post = self._events.ephemeral_body(new_id, user.id, click.channel.id, text, click.root_id)
            self._events.ephemeral(user.id, post)

    def _update(self, click: Press, update: Json) -> None:
        # Deleted while the integration was working: the person who clicked gets 404 (contract scenario
        # button_post_deleted_meanwhile). A click on an ephemeral post ends here as well.
        post = self._posts.live(click.post_id)
        props = update.get("props")
        if isinstance(props, dict):
            kept = {key: post.props[key] for key in _KEPT_PROPS if key in post.props}
            props = {**props, **kept}
        else:
            props = None
        # An update without a message empties the post's (contract scenario button_update_keeps_props).
        self._writing.apply(post, Change(str(update.get("message") or ""), props))

    def open_dialog(self, body: Json) -> None:
        """Shows a dialog to the user of a trigger; whoever has the trigger id may do so."""
        if not body.get("url") or not body.get("trigger_id"):
            raise bad_body("url")
        # The trigger id is the only permission, and may be used again (contract scenario dialog_open).
        user_id = self._triggers.user_of(str(body["trigger_id"]))
        shown = {key: body.get(key) for key in ("trigger_id", "url", "dialog")}
        data = {"dialog": dump(shown)}
        self._hub.publish("open_dialog", data, Broadcast(user_id=user_id))

    async def submit_dialog(self, user: UserRecord, body: Json) -> Json:
        """Passes a submitted dialog to its integration; returns the `error` and `errors` of its response."""
        self._channels.require_member(user, str(body.get("channel_id", "")))
        sent = {
            "type": "dialog_submission",
            "callback_id": body.get("callback_id", ""),
            "state": body.get("state", ""),
            "user_id": user.id,
            "channel_id": body.get("channel_id", ""),
            "team_id": body.get("team_id", ""),
            "submission": body.get("submission"),
            "cancelled": bool(body.get("cancelled")),
        }
        text = (await self._call(str(body.get("url", "")), sent)).body
        try:
            answer = json.loads(text) if text else {}
        except ValueError:
            code = "app.submit_interactive_dialog.decode_json_error"
            raise ApiError(500, code, "The integration did not answer with JSON.") from None
        return {key: answer[key] for key in ("error", "errors") if key in answer}
