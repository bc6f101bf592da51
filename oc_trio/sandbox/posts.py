"""Stores posts in order, and reads them in every way that the API offers. Permissions are checked elsewhere."""

from collections.abc import Iterable

from oc_trio.classes import frozen
from oc_trio.sandbox.errors import no_post
from oc_trio.sandbox.records import PostRecord
from oc_trio.sandbox.settings import MAX_SINCE


@frozen
class PostSlice:
    """Posts newest first, with the ids of the posts before and after them ("" if there are none)."""

    posts: tuple[PostRecord, ...]
    older_id: str = ""
    newer_id: str = ""


class Posts:
    """All posts of a world, by id, channel and thread."""

    def __init__(self) -> None:
        self._by_id: dict[str, PostRecord] = {}
        self._by_channel: dict[str, list[PostRecord]] = {}  # oldest first, without replaced versions
        self._versions: dict[str, list[PostRecord]] = {}  # by channel: the versions that edits replaced
        self._replies: dict[str, list[PostRecord]] = {}

    def add(self, post: PostRecord) -> None:
        self._by_id[post.id] = post
        self._by_channel.setdefault(post.channel_id, []).append(post)
        if post.root_id:
            self._replies.setdefault(post.root_id, []).append(post)

    def add_version(self, version: PostRecord) -> None:
        self._versions.setdefault(version.channel_id, []).append(version)

    def find(self, post_id: str) -> PostRecord | None:
        """A post, deleted or not."""
        return self._by_id.get(post_id)

    def live(self, post_id: str) -> PostRecord:
        post = self._by_id.get(post_id)
        if post is None or post.delete_at:
            raise no_post()
        return post

    def of_channel(self, channel_id: str) -> tuple[PostRecord, ...]:
        """Every post of a channel, oldest first, deleted ones too."""
        return tuple(self._by_channel.get(channel_id, ()))

    def replies(self, root_id: str) -> tuple[PostRecord, ...]:
        """The live replies of a thread, oldest first."""
        return tuple(post for post in self._replies.get(root_id, ()) if not post.delete_at)

    def thread(self, post: PostRecord) -> tuple[PostRecord, ...]:
        """Root and live replies, oldest first, of the thread that a post is in."""
        # Any post of a thread leads to all of it (contract scenario post_reply).
        root = self._by_id[post.root_id or post.id]
        return (root, *self.replies(root.id))

    def page(self, channel_id: str, page: int, per_page: int, *, roots_only: bool = False) -> PostSlice:
        newest_first = self._listed(channel_id, roots_only=roots_only)
        return _cut(newest_first, page * per_page, per_page)

    def beside(self, channel_id: str, anchor_id: str, per_page: int, *, older: bool) -> PostSlice:
        """The posts just before (`older`) or after an anchor, which may be deleted; none for an unknown anchor."""
        # Deleted ones count, too; an unknown one is no error (contract scenario posts_deleted_in_pages).
        anchor = self._by_id.get(anchor_id)
        if anchor is None or anchor.channel_id != channel_id:
            return PostSlice(())
        newest_first = self._listed(channel_id)
        newer = sum(1 for post in newest_first if post.create_at > anchor.create_at)
        if older:
            # A deleted anchor is not among the listed posts, so there is none to skip (contract scenario
            # posts_deleted_in_pages).
            return _cut(newest_first, newer + (0 if anchor.delete_at else 1), per_page)
        start = max(0, newer - per_page)
        return _cut(newest_first, start, newer - start)

    def since(self, channel_id: str, at: int) -> PostSlice:
        """The posts updated after `at` (ms), including deleted posts and replaced versions."""
        candidates = [*self._by_channel.get(channel_id, ()), *self._versions.get(channel_id, ())]
        # Strictly later, and sorted by creation although it is selected by update (contract scenario posts_since).
        changed = sorted((p for p in candidates if p.update_at > at), key=lambda p: p.create_at, reverse=True)
        return PostSlice(tuple(changed[:MAX_SINCE]))

    def search(self, channel_ids: Iterable[str], terms: str) -> tuple[PostRecord, ...]:
        words = terms.lower().split()
        matching = [
            post
            for channel_id in channel_ids
            for post in self._listed(channel_id)
            if words and all(word in post.message.lower() for word in words)
        ]
        return tuple(sorted(matching, key=lambda post: post.create_at, reverse=True))

    def pinned(self, channel_id: str) -> tuple[PostRecord, ...]:
        return tuple(post for post in self._listed(channel_id) if post.is_pinned)

    def _listed(self, channel_id: str, *, roots_only: bool = False) -> list[PostRecord]:
        everything = reversed(self._by_channel.get(channel_id, []))
        return [post for post in everything if not post.delete_at and not (roots_only and post.root_id)]


def _cut(newest_first: list[PostRecord], start: int, count: int) -> PostSlice:
    posts = tuple(newest_first[start : start + count])
    if not posts:
        return PostSlice(())
    older = newest_first[start + count].id if start + count < len(newest_first) else ""
    newer = newest_first[start - 1].id if start > 0 else ""
    return PostSlice(posts, older, newer)
