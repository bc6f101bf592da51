"""Publishes the events of posts to connected clients, with mentions and with what each receiver may see."""

from collections.abc import Mapping
from typing import Any

from oc_trio.sandbox import attachments
from oc_trio.sandbox.channels import Channels
from oc_trio.sandbox.clock import SandboxClock
from oc_trio.sandbox.compact import dump
from oc_trio.sandbox.files import Files
from oc_trio.sandbox.hub import Broadcast, Hub
from oc_trio.sandbox.mentions import EVERYBODY, names_in
from oc_trio.sandbox.post_views import PostViews
from oc_trio.sandbox.records import ChannelRecord, PostRecord
from oc_trio.sandbox.users import Users

Json = dict[str, Any]


class EventPublisher:
    """Builds post events and publishes them through the hub."""

    def __init__(
        self, clock: SandboxClock, users: Users, channels: Channels, files: Files, views: PostViews, hub: Hub
    ) -> None:
        self._clock = clock
        self._users = users
        self._channels = channels
        self._files = files
        self._views = views
        self._hub = hub

    def posted(self, post: PostRecord, *, set_online: bool = True) -> None:
        channel = self._channels.get(post.channel_id)
        sender = self._sender_name(post)
        data: Json = {
            # A direct channel has no display name; clients show the sender's.
            "channel_display_name": channel.display_name or sender,
            "channel_name": channel.name,
            "channel_type": channel.type,
            "post": dump(self._views.view(post, pending=True)),
            "sender_name": sender,
            "set_online": set_online,
            "team_id": channel.team_id,
        }
        files = self._files.of(post.file_ids)
        # Strings, and only where they are true, as recorded (contract scenario file_posted_event).
        if files:
            data["otherFile"] = "true"
        if any(info.width for info in files):
            data["image"] = "true"
        mentioned = self._mentioned(post, channel)

        def personal(user_id: str) -> Mapping[str, Any]:
            return {"mentions": dump([user_id])} if user_id in mentioned else {}

        self._hub.publish("posted", data, Broadcast(channel_id=channel.id), personal)
        if not post.type:
            self._note_absent(post, channel)

    def edited(self, post: PostRecord) -> None:
        # JSON within JSON, as recorded: the post of an event is a string (contract scenario ws_posted_open).
        data = {"post": dump(self._views.view(post))}
        self._hub.publish("post_edited", data, Broadcast(channel_id=post.channel_id))

    def deleted(self, post: PostRecord, by: str) -> None:
        """Call before the deletion: the event contains the post as it was."""

        def personal(user_id: str) -> Mapping[str, Any]:
            user = self._users.find(user_id)
            # Only admins are told who it was (contract scenario ws_post_deleted).
            return {"delete_by": by} if user is not None and user.is_admin else {}

        data = {"post": dump(self._views.view(post))}
        self._hub.publish("post_deleted", data, Broadcast(channel_id=post.channel_id), personal)

    def ephemeral(self, to: str, body: Mapping[str, Any]) -> None:
        broadcast = Broadcast(user_id=to, channel_id=str(body["channel_id"]))
        self._hub.publish("ephemeral_message", {"post": dump(body)}, broadcast)

    def ephemeral_body(self, new_id: str, user_id: str, channel_id: str, message: str, root_id: str = "") -> Json:
        """The JSON of a post that is shown to one user and not stored."""
        post = PostRecord(new_id, channel_id, user_id, self._clock.now(), message, root_id, type="system_ephemeral")
        return self._views.bare(post)

    def _sender_name(self, post: PostRecord) -> str:
        if post.type.startswith("system_"):
            return "System"
        # A name that a post gives itself counts only beside the mark of a webhook (contract scenario
        # webhook_post_markers).
        override = post.props.get("override_username")
        if override and post.props.get("from_webhook") == "true":
            return str(override)
        user = self._users.find(post.user_id)
        return f"@{user.username}" if user is not None else "System"

    def _mentioned(self, post: PostRecord, channel: ChannelRecord) -> frozenset[str]:
        if post.type == "system_add_to_channel":
            return frozenset({str(post.props.get("addedUserId", ""))})
        if post.type.startswith("system_"):
            return frozenset()
        others = frozenset(channel.members) - {post.user_id}
        # Everybody there is meant (contract scenarios ws_posted_direct and ws_posted_group).
        if channel.is_private_talk:
            return others
        names = self._names(post)
        # @all, @channel and @here mention every member but the author.
        if EVERYBODY & names:
            return others
        users = (self._users.find_name(name) for name in names)
        # Not the author, who is never notified of their own words, and nobody who is not in the channel.
        return frozenset(user.id for user in users if user is not None) & others

    def _names(self, post: PostRecord) -> frozenset[str]:
        texts = (post.message, *attachments.texts_of(post.props))
        return frozenset(name for text in texts for name in names_in(text))

    def _note_absent(self, post: PostRecord, channel: ChannelRecord) -> None:
        """Notifies the author that a mentioned person (not a bot) is not in the channel."""
        if channel.is_private_talk:
            return
        users = (self._users.find_name(name) for name in sorted(self._names(post)))
        # Recorded: for a bot the author gets no note (contract scenario mention_of_a_non_member).
        absent = [u for u in users if u is not None and not u.is_bot and u.id not in channel.members]
        if absent:
            names = ", ".join(f"@{user.username}" for user in absent)
            text = f"{names} did not get notified by this mention because they are not in the channel."
            self.ephemeral(post.user_id, self.ephemeral_body(self._clock.new_id(), "", channel.id, text, post.root_id))
