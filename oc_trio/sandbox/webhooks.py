"""Incoming webhooks: URLs without a token, whose posts have their owner's user id and a prop that marks them."""

from typing import Any

from oc_trio.sandbox.channels import Channels
from oc_trio.sandbox.clock import SandboxClock
from oc_trio.sandbox.errors import ApiError
from oc_trio.sandbox.records import IncomingHook, UserRecord
from oc_trio.sandbox.users import Users
from oc_trio.sandbox.writing import PostInput, Writing

Json = dict[str, Any]


class Webhooks:
    """All incoming webhooks of a world."""

    def __init__(self, clock: SandboxClock, users: Users, channels: Channels, writing: Writing) -> None:
        self._clock = clock
        self._users = users
        self._channels = channels
        self._writing = writing
        self._by_id: dict[str, IncomingHook] = {}

    def create(self, user: UserRecord, body: Json) -> IncomingHook:
        channel = self._channels.require_read(user, str(body.get("channel_id", "")))
        now, new_id = self._clock.now(), self._clock.new_id()
        hook = IncomingHook(new_id, user.id, channel.id, channel.team_id, now)
        for key in ("display_name", "description", "username", "icon_url"):
            setattr(hook, key, str(body.get(key) or ""))
        self._by_id[hook.id] = hook
        return hook

    def of_user(self, user_id: str) -> list[IncomingHook]:
        return [hook for hook in self._by_id.values() if hook.user_id == user_id]

    def post(self, hook_id: str, body: Json) -> None:
        hook = self._by_id.get(hook_id)
        if hook is None:
            raise ApiError(400, "web.incoming_webhook.invalid.app_error", "Invalid webhook.")
        text, attached = str(body.get("text") or ""), body.get("attachments")
        if not text and not attached:
            raise ApiError(400, "web.incoming_webhook.text.app_error", "No text specified.")
        # The mark comes last: no props of the caller replace it (contract scenario webhook_post_markers).
        props: Json = {**(body.get("props") or {}), "from_webhook": "true", "webhook_display_name": hook.display_name}
        if attached:
            props["attachments"] = attached
        name, icon = body.get("username") or hook.username, body.get("icon_url") or hook.icon_url
        props.update({"override_username": name} if name else {})
        props.update({"override_icon_url": icon} if icon else {})
        draft = PostInput(hook.channel_id, text, str(body.get("root_id") or ""), props=props)
        # As the hook's owner, whose words these are not: only the mark tells.
        self._writing.create(self._users.get(hook.user_id), draft)
