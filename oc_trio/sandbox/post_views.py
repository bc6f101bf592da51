"""The JSON of posts and lists of posts: hides integrations, adds metadata, blanks deleted messages."""

import re
from collections.abc import Iterable
from typing import Any

from oc_trio.sandbox import attachments
from oc_trio.sandbox.files import Files
from oc_trio.sandbox.posts import Posts, PostSlice
from oc_trio.sandbox.reactions import Reactions
from oc_trio.sandbox.records import PostRecord
from oc_trio.sandbox.views import file_view, reaction_view

Json = dict[str, Any]


class PostViews:
    """Renders posts; needs replies, files and reactions for their metadata."""

    def __init__(self, site_url: str, posts: Posts, files: Files, reactions: Reactions) -> None:
        self._posts = posts
        self._files = files
        self._reactions = reactions
        self.use_site_url(site_url)

    def use_site_url(self, url: str) -> None:
        self._permalink = re.compile(re.escape(url) + r"/[a-z0-9_-]+/pl/([a-z0-9]{26})")

    def view(self, post: PostRecord, *, pending: bool = False) -> Json:
        """One post; `pending` includes its pending_post_id, as only the response to the creation and its event do."""
        body = self.bare(post)
        body["pending_post_id"] = post.pending_post_id if pending else ""
        # Every post of a thread has the count of the thread (contract scenario post_reply).
        body["reply_count"] = len(self._posts.replies(post.root_id or post.id))
        body["metadata"] = self._metadata(post)
        if body["metadata"].get("reactions"):
            body["has_reactions"] = True
        return body

    def bare(self, post: PostRecord) -> Json:
        return {
            "id": post.id,
            "create_at": post.create_at,
            "update_at": post.update_at,
            "edit_at": post.edit_at,
            "delete_at": post.delete_at,
            "is_pinned": post.is_pinned,
            "user_id": post.user_id,
            "channel_id": post.channel_id,
            "root_id": post.root_id,
            "original_id": post.original_id,
            # `since` lists deleted posts; what they said is gone (contract scenario posts_since).
            "message": "" if post.delete_at else post.message,
            "type": post.type,
            "props": attachments.public(post.props),
            "hashtags": post.hashtags,
            "file_ids": list(post.file_ids),
            "pending_post_id": "",
            "remote_id": "",
            "reply_count": 0,
            "last_reply_at": 0,
            "participants": None,
            "metadata": {},
        }

    def page(self, page: PostSlice) -> Json:
        """A list as the API returns it: `order` newest first; `posts` has the roots of listed replies too."""
        by_id = {post.id: post for post in page.posts}
        for post in page.posts:
            # Roots come along without being in `order` (contract scenario posts_page_with_replies).
            root = self._posts.find(post.root_id)
            if root is not None:
                by_id.setdefault(root.id, root)
        return {
            "order": [post.id for post in page.posts],
            "posts": {post_id: self.view(post) for post_id, post in by_id.items()},
            "next_post_id": page.newer_id,
            "prev_post_id": page.older_id,
            "has_next": False,
            "first_inaccessible_post_time": 0,
        }

    def listing(self, posts: Iterable[PostRecord]) -> Json:
        return self.page(PostSlice(tuple(posts)))

    def previewed(self, message: str) -> str:
        """The id of the post that a permalink in the message points to, or ""."""
        match = self._permalink.search(message)
        return match[1] if match and self._posts.find(match[1]) is not None else ""

    def _metadata(self, post: PostRecord) -> Json:
        if post.delete_at:
            return {}
        metadata: Json = {}
        embeds: list[Json] = [{"type": "message_attachment"}] if attachments.attachments_of(post.props) else []
        target = self._posts.find(str(post.props.get("previewed_post", "")))
        if target is not None:
            embeds.append({"type": "permalink", "data": {"post_id": target.id, "post": self.bare(target)}})
        if embeds:
            metadata["embeds"] = embeds
        files = self._files.of(post.file_ids)
        if files:
            metadata["files"] = [file_view(info) for info in files]
        reactions = self._reactions.of(post.id)
        if reactions:
            metadata["reactions"] = [reaction_view(reaction) for reaction in reactions]
        return metadata
