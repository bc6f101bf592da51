"""The guard against an edit that lands after the final text although it was sent before it.

An edit whose answer was lost may still be on its way. Posts with such an edit are watched for a while after their
last text: when the server shows another one, the last text is written again. Bounded in posts, time and repairs.
"""

from collections import OrderedDict

import trio
from attrs import define, evolve, field, frozen

from oc_trio.core.events import Post
from oc_trio.errors import MattermostError
from oc_trio.ids import PostId
from oc_trio.mattermost.client import Api
from oc_trio.runtime.delivery import Delivery
from oc_trio.telemetry.log import get_logger

# Longer than any proxy keeps a request.
WATCH_SECONDS = 300.0
_MOST_POSTS = 256
_MOST_REPAIRS = 3

log = get_logger(part="late_writes")


@frozen
class _Watched:
    """`text` is None while the post may still be edited by its turn."""

    text: str | None = None
    until: float = 0.0
    repairs: int = 0


@define(eq=False)
class LateWrites:
    """One account's."""

    delivery: Delivery
    api: Api
    _posts: "OrderedDict[PostId, _Watched]" = field(init=False, factory=OrderedDict)

    def __len__(self) -> int:
        return len(self._posts)

    def doubt(self, post_id: PostId) -> None:
        """An edit of this post got no answer."""
        self._posts[post_id] = _Watched()
        self._posts.move_to_end(post_id)
        while len(self._posts) > _MOST_POSTS:
            self._posts.popitem(last=False)

    def settled(self, post_id: PostId, text: str) -> None:
        """`text` was the post's last."""
        if post_id in self._posts:
            self._posts[post_id] = _Watched(text, trio.current_time() + WATCH_SECONDS)

    def is_overwritten(self, post: Post) -> bool:
        """Whether an edit event of our own shows a text that a late write brought."""
        watched = self._posts.get(post.id)
        if watched is None or watched.text is None or watched.text == post.message:
            return False
        if trio.current_time() > watched.until or watched.repairs >= _MOST_REPAIRS:
            del self._posts[post.id]
            return False
        return True

    async def repair(self, post_id: PostId) -> None:
        """Write the last text again, if the server shows another one."""
        watched = self._posts.get(post_id)
        if watched is None or watched.text is None:
            return
        self._posts[post_id] = evolve(watched, repairs=watched.repairs + 1)
        try:
            # The event may be an older edit's that was told late.
            if (await self.api.posts.get(post_id)).message == watched.text:
                return
            log.warning("an edit landed after the final text; writing it again", post=post_id)
            await self.delivery.edit_until_done(post_id, watched.text)
        except MattermostError as problem:
            log.warning("a late edit could not be repaired", post=post_id, problem=str(problem))
