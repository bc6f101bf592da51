"""Reads a page of a channel's posts for people and models: bounded, newest first."""

from typing import Any

from attrs import frozen

from oc_trio.core.entities import PostPage
from oc_trio.core.events import Post
from oc_trio.errors import MattermostRejected, UnknownTarget
from oc_trio.ids import ChannelId, PostId, UserId
from oc_trio.mattermost.client import Api

DEFAULT_LIMIT = 60
MOST = 200


class BadRange(ValueError):
    """Limit, before and after don't go together; str() is a sentence."""


@frozen
class HistoryPage:
    """`posts` newest first; `names` gives authors' usernames, as far as they are known."""

    channel_id: ChannelId
    posts: tuple[Post, ...]
    has_more: bool
    names: dict[UserId, str]


async def read_page(
    api: Api, channel_id: ChannelId, *, limit: int = DEFAULT_LIMIT, before: str = "", after: str = ""
) -> HistoryPage:
    """At most `limit` posts older than `before` or newer than `after`, exclusive. Raises BadRange, TargetError."""
    if limit < 1:
        raise BadRange("limit must be a positive number.")
    if before and after:
        raise BadRange("Give either before or after, not both.")
    page = await _page(api, channel_id, min(limit, MOST), before, after)
    authors = {post.user_id for post in page.posts}
    names = {user.id: user.username for user in await api.users.by_ids(sorted(authors))} if authors else {}
    has_more = bool(page.next_post_id if after else page.prev_post_id)
    return HistoryPage(channel_id, page.posts, has_more, names)


async def _page(api: Api, channel_id: ChannelId, limit: int, before: str, after: str) -> PostPage:
    try:
        if after:
            return await api.posts.after(channel_id, PostId(after), per_page=limit)
        if before:
            return await api.posts.before(channel_id, PostId(before), per_page=limit)
        return await api.posts.page(channel_id, per_page=limit)
    except MattermostRejected as refusal:
        if refusal.status not in (403, 404):
            raise
        raise UnknownTarget(f"The bot may not read channel:{channel_id}.") from refusal


def post_fields(post: Post, name: str) -> dict[str, Any]:
    """A post as a JSON object."""
    fields = {
        "id": post.id,
        "userId": post.user_id,
        "username": name,
        "message": post.message,
        "rootId": post.root_id,
        "timestampMs": post.create_at,
        "fileIds": list(post.file_ids),
    }
    if post.edit_at:
        fields["editedMs"] = post.edit_at
    if post.type:
        fields["type"] = post.type
    return fields
