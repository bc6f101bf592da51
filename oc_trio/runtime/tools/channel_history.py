"""Reads a page of a channel's posts for people and models: bounded, newest first."""

from typing import Any

from oc_trio.classes import frozen
from oc_trio.core.entities import PostPage
from oc_trio.core.events import Post
from oc_trio.errors import MattermostRejected, UnknownTarget
from oc_trio.ids import ChannelId, PostId, UserId
from oc_trio.mattermost.client import Api

# Mattermost's own page, and its largest.
DEFAULT_LIMIT = 60
MAX_LIMIT = 200


class BadRange(ValueError):
    """Limit, before, after and around don't go together; str() is a sentence."""


@frozen
class HistoryPage:
    """`posts` newest first; `names` gives authors' usernames, as far as they are known."""

    channel_id: ChannelId
    posts: tuple[Post, ...]
    has_more: bool
    names: dict[UserId, str]


async def read_page(
    api: Api,
    channel_id: ChannelId,
    *,
    limit: int = DEFAULT_LIMIT,
    before: str = "",
    after: str = "",
    around: str = "",
) -> HistoryPage:
    """At most `limit` posts: the newest, those older than `before` or newer than `after` without that post, or those
    on both sides of `around` with it. Raises BadRange, TargetError.
    """
    if limit < 1:
        raise BadRange("limit must be a positive number.")
    if sum(map(bool, (before, after, around))) > 1:
        raise BadRange("Give one of before, after and around, not several.")
    # The server would cut it without a word; `has_more` tells that there is more.
    limit = min(limit, MAX_LIMIT)
    try:
        if around:
            posts, has_more = await _around(api, channel_id, PostId(around), limit)
        else:
            page = await _page(api, channel_id, limit, before, after)
            # What lies further in the direction that was asked for; on the other side there is nearly always something.
            posts, has_more = page.posts, bool(page.next_post_id if after else page.prev_post_id)
    except MattermostRejected as refusal:
        # Whether it does not exist or may not be read is told alike: the difference would show what exists.
        if refusal.status not in (403, 404):
            raise
        raise UnknownTarget(f"The bot may not read channel:{channel_id}.") from refusal
    authors = {post.user_id for post in posts}
    names = {user.id: user.username for user in await api.users.by_ids(sorted(authors))} if authors else {}
    return HistoryPage(channel_id, posts, has_more, names)


async def _page(api: Api, channel_id: ChannelId, limit: int, before: str, after: str) -> PostPage:
    if after:
        return await api.posts.after(channel_id, PostId(after), per_page=limit)
    if before:
        return await api.posts.before(channel_id, PostId(before), per_page=limit)
    return await api.posts.page(channel_id, per_page=limit)


async def _around(api: Api, channel_id: ChannelId, post_id: PostId, limit: int) -> tuple[tuple[Post, ...], bool]:
    """A post between the ones right before and after it, newest first: half of each, more of one side where the other
    ends; and whether there are more on any side.
    """
    middle = await post_of(api, channel_id, post_id)
    # As many of each side as could be needed: how many the other has is known only then.
    older = await api.posts.before(channel_id, post_id, per_page=limit)
    newer = await api.posts.after(channel_id, post_id, per_page=limit)
    others = limit - 1
    newer_count = min(len(newer.posts), max(others // 2, others - len(older.posts)))
    older_count = min(len(older.posts), others - newer_count)
    posts = (*newer.posts[len(newer.posts) - newer_count :], middle, *older.posts[:older_count])
    has_more = bool(newer.next_post_id or older.prev_post_id) or len(posts) < len(newer.posts) + 1 + len(older.posts)
    return posts, has_more


async def post_of(api: Api, channel_id: ChannelId, post_id: PostId) -> Post:
    """A post that has to be in this channel. Raises UnknownTarget where it is in another one, or can't be read."""
    try:
        post = await api.posts.get(post_id)
    except MattermostRejected as refusal:
        # 400 is for an id that is none.
        if refusal.status not in (400, 403, 404):
            raise
        raise UnknownTarget(f"There is no post {post_id} that the bot may read: check the id.") from refusal
    if post.channel_id != channel_id:
        raise UnknownTarget(f"The post {post.id} is in another channel: channel:{post.channel_id}.")
    return post


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
