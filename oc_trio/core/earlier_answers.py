"""Which posts of ours answer a message, by their markers alone: a restored journal does not know them. Pure."""

from collections.abc import Iterable

from oc_trio.core.draft_view import NEXT, THINKING, WAITING
from oc_trio.core.events import Post
from oc_trio.core.post_marker import read_marker
from oc_trio.ids import PostId, UserId

# Drafts that stood at these when their gateway ended have no word of an answer.
_STATUS_LINES = (THINKING, NEXT, WAITING.partition("{")[0])


def answers_to(post_id: PostId, posts: Iterable[Post], bot: UserId) -> tuple[PostId, ...]:
    """The posts among `posts` that answer the message `post_id`, oldest first."""
    answers = [
        post
        for post in posts
        if post.user_id == bot
        and not post.delete_at
        and post_id in read_marker(post.props).answers
        and (post.file_ids or not _is_status(post.message.strip()))
    ]
    return tuple(post.id for post in sorted(answers, key=lambda post: (post.create_at, post.id)))


def _is_status(text: str) -> bool:
    return not text or text.startswith(_STATUS_LINES)
