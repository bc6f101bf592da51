"""Buttons, menus and dialogs: pressing one calls its integration and applies the answer."""

import json
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from attrs import frozen

from oc_trio.sandbox import attachments
from oc_trio.sandbox.compact import dump
from oc_trio.sandbox.errors import Refused, bad_body, forbidden
from oc_trio.sandbox.hub import Broadcast
from oc_trio.sandbox.outgoing import Answer, IntegrationUnreachable, PostOut, call_integration, json_call
from oc_trio.sandbox.records import Channel, User
from oc_trio.sandbox.writing import Change

if TYPE_CHECKING:
    from oc_trio.sandbox.world import World

Json = dict[str, Any]

COOKIES = 1000  # buttons of ephemeral posts that can still be pressed; the oldest go first
_KEPT_PROPS = ("override_username", "override_icon_url")


def failed() -> Refused:
    return Refused(400, "api.post.do_action.action_integration.app_error", "Action integration error.")


@frozen
class Press:
    """What is pressed: the action with its integration (None: no such one), and the post and thread it is in."""

    action: Json | None
    post_id: str
    root_id: str
    channel: Channel
    is_ephemeral: bool = False


class Interactions:
    def __init__(self, world: "World", send: PostOut) -> None:
        self._world = world
        self._send = send
        self._cookies: OrderedDict[str, Press] = OrderedDict()

    def sealed(self, post_id: str, channel: Channel, props: Json) -> Json:
        """The props of an ephemeral post: each action carries a cookie in place of its integration."""

        def cookie(action: Json) -> str:
            key = self._world.ticker.new_id()
            self._cookies[key] = Press(dict(action), post_id, post_id, channel, is_ephemeral=True)
            while len(self._cookies) > COOKIES:
                self._cookies.popitem(last=False)
            return key

        return attachments.public(attachments.complete(props, self._world.ticker.new_id), cookie)

    async def press(self, user: User, post_id: str, action_id: str, selected: str, cookie: str) -> str:
        """Call the integration and apply its answer; gives the client's trigger id."""
        pressed = self._cookies.get(cookie) or self._find(post_id, action_id)
        if not self._world.channels.may_read(user, pressed.channel):
            raise forbidden()
        if pressed.action is None:
            raise Refused(404, "api.post.do_action.action_id.app_error", "Invalid action id.")
        trigger = self._world.triggers.issue(user.id)
        url = str(pressed.action["integration"].get("url", ""))
        body = self._body(user, pressed, pressed.action, trigger.id, selected)
        self._apply(user, pressed, (await self._ask(url, body)).body)
        return trigger.client_id

    def _find(self, post_id: str, action_id: str) -> Press:
        if self._world.posts.find(post_id) is None:
            raise forbidden()
        post = self._world.posts.live(post_id)
        channel = self._world.channels.get(post.channel_id)
        action = attachments.find_action(post.props, action_id)
        return Press(action, post.id, post.root_id or post.id, channel)

    def _body(self, user: User, pressed: Press, action: Json, trigger_id: str, selected: str) -> Json:
        channel = pressed.channel
        team = self._world.teams.find(channel.team_id)
        kind = str(action.get("type", "")) or "button"
        context = dict(action["integration"].get("context") or {})
        if kind == "select":
            context["selected_option"] = selected
        body: Json = {
            "user_id": user.id,
            "user_name": user.username,
            "channel_id": channel.id,
            "channel_name": channel.name,
            "team_id": channel.team_id,
            "team_domain": team.name if team else "",
            "post_id": pressed.post_id,
            "trigger_id": trigger_id,
            "type": kind,
            "data_source": action.get("data_source", ""),
        }
        return {**body, "context": context} if context else body

    async def _ask(self, url: str, body: Json) -> Answer:
        try:
            answer = await call_integration(self._send, json_call(url, body))
        except IntegrationUnreachable:
            raise failed() from None
        if answer.status != 200:
            raise failed()
        return answer

    def _apply(self, user: User, pressed: Press, text: bytes) -> None:
        if not text:
            return
        try:
            answer = json.loads(text)
        except ValueError:
            raise failed() from None
        if answer is None:
            return
        if not isinstance(answer, dict):
            raise failed()
        update = answer.get("update")
        if isinstance(update, dict):
            self._update(pressed, update)
        if answer.get("ephemeral_text"):
            announcer, new_id = self._world.announcer, self._world.ticker.new_id()
            words = str(answer["ephemeral_text"])
            announcer.ephemeral(
                user.id, announcer.ephemeral_body(new_id, user.id, pressed.channel.id, words, pressed.root_id)
            )

    def _update(self, pressed: Press, update: Json) -> None:
        post = self._world.posts.live(pressed.post_id)
        props = update.get("props")
        if isinstance(props, dict):
            kept = {key: post.props[key] for key in _KEPT_PROPS if key in post.props}
            props = {**props, **kept}
        else:
            props = None
        self._world.writing.apply(post, Change(str(update.get("message") or ""), props))

    def open_dialog(self, body: Json) -> None:
        """Show a dialog to the user of a trigger; anybody who holds the trigger may."""
        if not body.get("url") or not body.get("trigger_id"):
            raise bad_body("url")
        user_id = self._world.triggers.user_of(str(body["trigger_id"]))
        shown = {key: body.get(key) for key in ("trigger_id", "url", "dialog")}
        data = {"dialog": dump(shown)}
        self._world.hub.publish("open_dialog", data, Broadcast(user_id=user_id))

    async def submit_dialog(self, user: User, body: Json) -> Json:
        """Pass a filled-in dialog to its integration; the answer's `error` and `errors` come back."""
        self._world.channels.require_member(user, str(body.get("channel_id", "")))
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
        text = (await self._ask(str(body.get("url", "")), sent)).body
        try:
            answer = json.loads(text) if text else {}
        except ValueError:
            code = "app.submit_interactive_dialog.decode_json_error"
            raise Refused(500, code, "The integration did not answer with JSON.") from None
        return {key: answer[key] for key in ("error", "errors") if key in answer}
