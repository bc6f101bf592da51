"""Creates, edits and deletes posts, with deduplication by pending_post_id, and publishes the events."""

from collections.abc import Mapping
from typing import Any

import attrs
from attrs import field

from oc_trio.classes import frozen
from oc_trio.sandbox import attachments
from oc_trio.sandbox.channels import Channels
from oc_trio.sandbox.clock import SandboxClock
from oc_trio.sandbox.errors import ApiError, forbidden, no_post
from oc_trio.sandbox.event_publisher import EventPublisher
from oc_trio.sandbox.files import Files
from oc_trio.sandbox.mentions import channels_in, hashtags_in
from oc_trio.sandbox.post_views import PostViews
from oc_trio.sandbox.posts import Posts
from oc_trio.sandbox.records import ChannelRecord, PostRecord, UserRecord
from oc_trio.sandbox.settings import MAX_MESSAGE, MAX_POST_FILES, PENDING_MS
from oc_trio.sandbox.teams import Teams


@frozen
class PostInput:
    """A post to create; `type` is "" or starts with `custom_` (or `system_`, from the server itself)."""

    channel_id: str
    message: str = ""
    root_id: str = ""
    type: str = ""
    props: Mapping[str, Any] = field(factory=dict)
    file_ids: tuple[str, ...] = ()
    pending_post_id: str = ""
    set_online: bool = True


@frozen
class Change:
    """The fields that an edit replaces; None keeps a field."""

    message: str | None = None
    props: Mapping[str, Any] | None = None
    file_ids: tuple[str, ...] | None = None
    is_pinned: bool | None = None


class Writing:
    """Applies the rules for posts."""

    def __init__(
        self,
        clock: SandboxClock,
        teams: Teams,
        channels: Channels,
        files: Files,
        posts: Posts,
        views: PostViews,
        events: EventPublisher,
    ) -> None:
        self._clock = clock
        self._teams = teams
        self._channels = channels
        self._files = files
        self._posts = posts
        self._views = views
        self._events = events
        # When each pending_post_id came, and its post; forgotten after `PENDING_MS`, as by the real server.
        self._pending: dict[str, tuple[int, str]] = {}

    def create(self, author: UserRecord, draft: PostInput) -> PostRecord:
        """The new post, or the one with the same pending_post_id of the last 30 s, whoever wrote it."""
        channel = self._channels.require_member(author, draft.channel_id)
        # Before every check, and whatever the new request says: the first post is the answer (contract scenarios
        # pending_same_twice, pending_other_user and pending_other_channel).
        before = self._deduplicate(author, draft.pending_post_id)
        if before is not None:
            return before
        self._check(channel, draft)
        files = self._files.usable(draft.file_ids, author.id, channel.id)
        # The server's mark, which a person's own post can carry as well: it proves nothing (contract scenario
        # post_spoofed_bot_props).
        if author.is_bot:
            draft = attrs.evolve(draft, props={**draft.props, "from_bot": "true"})
        post = self._store(author.id, channel, draft, [info.id for info in files])
        self._files.attach(post.file_ids, post.id)
        # Only now: a create that failed does not use up its id (contract scenario pending_after_failure).
        if draft.pending_post_id:
            self._pending[draft.pending_post_id] = (self._clock.now(), post.id)
        self._events.posted(post, set_online=draft.set_online)
        return post

    def restart(self) -> None:
        """The server process restarts: it forgets the pending_post_ids that it has seen."""
        self._pending.clear()

    def system(self, user_id: str, channel: ChannelRecord, kind: str, message: str, props: Mapping[str, Any]) -> None:
        post = self._store(user_id, channel, PostInput(channel.id, message, type=kind, props=props), [])
        self._events.posted(post)

    def _deduplicate(self, author: UserRecord, pending_post_id: str) -> PostRecord | None:
        now = self._clock.now()
        # By the first request's time: repeating it does not make it last longer.
        self._pending = {key: (at, post_id) for key, (at, post_id) in self._pending.items() if now - at < PENDING_MS}
        if pending_post_id not in self._pending:
            return None
        post = self._posts.find(self._pending[pending_post_id][1])
        if post is None or post.delete_at:
            # 500, and a client that takes it for a failure of the server asks again in vain for 30 s (contract scenario
            # pending_after_delete).
            raise ApiError(500, "api.post.deduplicate_create_post.failed_to_get", "Failed to fetch the original post.")
        readable = self._channels.may_read(author, self._channels.get(post.channel_id))
        # To whoever may read it, another author too; who may not gets a post of their own.
        return attrs.evolve(post, pending_post_id="") if readable else None

    def _check(self, channel: ChannelRecord, draft: PostInput) -> None:
        if channel.delete_at:
            code = "api.post.create_post.can_not_post_to_deleted.error"
            raise ApiError(400, code, "Can not post to a deleted channel.")
        if draft.root_id:
            root = self._posts.find(draft.root_id)
            # Threads have one level: a reply can't be a root (contract scenario post_bad_root).
            if root is None or root.root_id or root.delete_at:
                raise ApiError(400, "api.post.create_post.root_id.app_error", "Invalid RootId parameter.")
            if root.channel_id != channel.id:
                raise ApiError(400, "api.post.create_post.channel_root_id.app_error", "Invalid ChannelId for RootId.")
        # An empty one is fine (contract scenario post_empty).
        check_message(draft.message)
        if draft.type and not draft.type.startswith("custom_"):
            raise ApiError(400, "model.post.is_valid.type.app_error", "Invalid type.")
        if len(draft.file_ids) > MAX_POST_FILES:
            raise ApiError(400, "model.post.is_valid.file_ids.app_error", "Too many files.")

    def _store(self, user_id: str, channel: ChannelRecord, draft: PostInput, file_ids: list[str]) -> PostRecord:
        now = self._clock.stamp()
        post = PostRecord(self._clock.new_id(), channel.id, user_id, now, draft.message, draft.root_id, type=draft.type)
        post.update_at = now
        post.props = self._derived(attachments.complete(draft.props, self._clock.new_id), draft.message, channel)
        post.hashtags = hashtags_in(draft.message)
        post.file_ids, post.pending_post_id = file_ids, draft.pending_post_id
        post.history.append((now, draft.message))
        self._posts.add(post)
        root = self._posts.find(draft.root_id)
        if root is not None:
            # A new reply counts as an update of its root (contract scenario posts_since).
            root.update_at = now
        channel.last_post_at = now
        channel.total_msg_count += 1
        return post

    def _derived(self, props: dict[str, Any], message: str, channel: ChannelRecord) -> dict[str, Any]:
        """The props with those that the server adds: links to channels and a previewed post."""
        team = self._teams.find(channel.team_id)
        channels = [self._channels.named(channel.team_id, name) for name in channels_in(message)] if team else []
        linked = {c.name: {"display_name": c.display_name, "team_name": team.name} for c in channels if c and team}
        if linked:
            props["channel_mentions"] = linked
        previewed = self._views.previewed(message)
        if previewed:
            props["previewed_post"] = previewed
        return props

    def require_own(self, user: UserRecord, post_id: str) -> PostRecord:
        """A live post of the user in a channel of theirs; 403 for anything else, also for deleted and unknown posts."""
        post = self._posts.find(post_id)
        if post is None or post.delete_at or (post.user_id != user.id and not user.is_admin):
            raise forbidden()
        self._channels.require_member(user, post.channel_id)
        return post

    def edit(self, user: UserRecord, post_id: str, change: Change) -> PostRecord:
        post = self.require_own(user, post_id)
        if self._channels.get(post.channel_id).delete_at:
            code = "api.post.patch_post.can_not_update_post_in_deleted.error"
            raise ApiError(400, code, "Can not update a post in a deleted channel.")
        return self.apply(post, change)

    def apply(self, post: PostRecord, change: Change) -> PostRecord:
        """Changes a post without checking permissions; the old version is kept for readers of `since`."""
        message = post.message if change.message is None else change.message
        check_message(message)
        now = self._clock.stamp()
        # An edit leaves the old version behind under a new id, and readers of `since` get both (contract scenario
        # posts_since). Pinning makes none.
        if change.is_pinned is None:
            old = attrs.evolve(post, id=self._clock.new_id(), original_id=post.id, delete_at=now, update_at=now)
            self._posts.add_version(old)
        # The same message again is no edit: `edit_at` stays (contract scenario edit_marks).
        if message != post.message:
            post.message, post.edit_at = message, now
            post.hashtags = hashtags_in(message)
            post.history.append((now, message))
        if change.props is not None:
            post.props = attachments.complete(change.props, self._clock.new_id)
        if change.file_ids is not None:
            # As the real server: an edit takes files away and adds none.
            post.file_ids = [file_id for file_id in change.file_ids if file_id in post.file_ids]
        if change.is_pinned is not None:
            post.is_pinned = change.is_pinned
        post.update_at = now
        self._channels.get(post.channel_id).last_post_at = now  # also for an edit, as on the real server
        self._events.edited(post)
        return post

    def delete(self, user: UserRecord, post_id: str) -> None:
        """Deletes a live post of the user (an admin may delete any); with a root also its replies."""
        post = self._posts.find(post_id)
        if post is None or post.delete_at:
            raise no_post()
        self.require_own(user, post_id)
        # One event for a whole thread, with the post as it was (contract scenario ws_post_deleted).
        self._events.deleted(post, user.id)
        now = self._clock.stamp()
        for deleted in (post, *(() if post.root_id else self._posts.replies(post.id))):
            deleted.delete_at = deleted.update_at = now


def check_message(message: str) -> None:
    # Code points, not bytes (contract scenario post_message_limit).
    if len(message) > MAX_MESSAGE:
        raise ApiError(400, "model.post.is_valid.message_length.app_error", "Message property is longer than allowed.")
    # PostgreSQL's text can't hold it, and the real server finds out there: hence 500.
    if "\0" in message:
        raise ApiError(500, "app.post.save.app_error", "Unable to save the post.")
