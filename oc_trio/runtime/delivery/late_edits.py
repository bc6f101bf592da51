"""Repairs posts where an old edit is applied after the final text, although it was sent before it.

An edit whose answer was lost may still be on its way. Posts with such an edit are watched for a while after their
final text, across restarts: where the server shows another text, the final one is written again. Events show it; where
events may be missing (a new connection, a start, polling) the posts are read. Bounded in posts, time and repairs.
"""

from collections import OrderedDict
from functools import partial

import trio
from attrs import evolve, field

from oc_trio.classes import define, frozen
from oc_trio.core.backoff import RetryPolicy
from oc_trio.core.events import Post
from oc_trio.errors import MattermostError, MattermostRejected, MattermostUnavailable
from oc_trio.ids import PostId
from oc_trio.mattermost.client import Api
from oc_trio.mattermost.concurrency import run_bounded
from oc_trio.retry import RetryState, retrying
from oc_trio.runtime.delivery.delivery import Delivery
from oc_trio.store.pending_edits import PendingEdit
from oc_trio.telemetry.log import get_logger

# Longer than a proxy holds a request back.
WATCH_SECONDS = 300.0
# After a start: time to read the posts whose watch ended while the gateway was not running.
RESTORE_SECONDS = 120.0
# The newest that are watched: each is read at every check.
_MAX_POSTS = 256
# Per post, so that the gateway and another writer can't overwrite each other for ever.
_MAX_REPAIRS = 3
# Answers are being delivered meanwhile, by the same server.
_CHECKS_AT_ONCE = 4
_RETRY = RetryPolicy(initial=1.0, maximum=30.0)

log = get_logger(part="late_edits")


@frozen
class _Watched:
    """`text` is empty while the post may still be edited by its turn; `until` is in milliseconds."""

    text: str = ""
    until: int = 0
    repairs: int = 0


@define(eq=False)
class LateEditGuard:
    """One account's posts with an edit of unknown outcome."""

    delivery: Delivery
    api: Api
    _posts: "OrderedDict[PostId, _Watched]" = field(init=False, factory=OrderedDict)
    _is_checking: bool = False
    _checked_at: int = 0

    def __len__(self) -> int:
        return len(self._posts)

    async def restore(self) -> None:
        """Continue to watch the posts of an earlier run. One whose watch ended in between is read once more."""
        delivery, now = self.delivery, self.delivery.clock.now_ms()
        # The time of the resume point is the last sign of life: until then the watch was kept by the earlier run.
        alive = await delivery.store.resume.load(delivery.account)
        watched_until = alive.at if alive else now
        for edit in await delivery.store.pending_edits.with_final_text(delivery.account, watched_until, _MAX_POSTS):
            until = max(edit.until, now + int(RESTORE_SECONDS * 1000))
            self._posts.setdefault(edit.post_id, _Watched(edit.text, until))

    async def edit_uncertain(self, post_id: PostId) -> None:
        """An edit of this post got no answer."""
        await self._note(post_id, "")

    async def final_written(self, post_id: PostId, text: str) -> None:
        """`text` is the post's final text."""
        # Only posts with an uncertain edit are watched; for all others nothing can arrive late.
        if post_id in self._posts:
            await self._note(post_id, text)

    def is_overwritten(self, post: Post) -> bool:
        """Whether an event of our own edit shows that an older edit was applied late."""
        watched = self._watched(post.id)
        return watched is not None and watched.text != post.message

    async def check(self, alive_at: int) -> None:
        """Read every watched post: the event of a late edit may have been missed. Does nothing while another check
        runs.

        A watch that ended after `alive_at`, the time of the last connection in milliseconds, is extended.
        """
        if self._is_checking:
            return
        self._is_checking = True
        try:
            watched_until, now = max(self._checked_at, alive_at), self.delivery.clock.now_ms()
            for post_id, watched in tuple(self._posts.items()):
                if watched_until < watched.until < now:
                    self._posts[post_id] = evolve(watched, until=now + int(RESTORE_SECONDS * 1000))
            self._checked_at = now
            posts = [post_id for post_id in tuple(self._posts) if self._watched(post_id)]
            await run_bounded(self.repair, posts, _CHECKS_AT_ONCE)
        finally:
            self._is_checking = False

    async def repair(self, post_id: PostId) -> None:
        """Write the final text again, if the server shows another one."""
        watched = self._watched(post_id)
        if watched is None:
            return
        clock = self.delivery.clock
        # One lost answer must not leave an old text in the channel: no further event would tell of it.
        left = (watched.until - clock.now_ms()) / 1000
        retry = RetryState(
            MattermostUnavailable, _RETRY, clock.random.random, give_up_at=trio.current_time() + max(left, 0.0)
        )
        try:
            # The event may have been an older edit's, delivered late.
            if (await retrying(partial(self.api.posts.get, post_id), retry)).message == watched.text:
                return
            # Counted before the write: a repair that fails is one of the allowed ones, too.
            self._posts[post_id] = evolve(watched, repairs=watched.repairs + 1)
            log.warning("an edit landed after the final text; writing it again", post=post_id)
            await self.delivery.edit_until_done(post_id, watched.text)
        except MattermostRejected as refusal:
            self._posts.pop(post_id, None)  # deleted, or the bot was removed: nothing to repair
            log.info("a post is watched no longer", post=post_id, problem=str(refusal))
        except MattermostError as problem:
            log.warning("a late edit could not be repaired", post=post_id, problem=str(problem))

    def _watched(self, post_id: PostId) -> _Watched | None:
        """The post's entry once its final text is known, until the watch ends."""
        watched = self._posts.get(post_id)
        if watched is None or not watched.text:
            return None
        if self.delivery.clock.now_ms() > watched.until or watched.repairs >= _MAX_REPAIRS:
            del self._posts[post_id]
            return None
        return watched

    async def _note(self, post_id: PostId, text: str) -> None:
        delivery = self.delivery
        watched = _Watched(text, delivery.clock.now_ms() + int(WATCH_SECONDS * 1000))
        self._posts[post_id] = watched
        self._posts.move_to_end(post_id)
        while len(self._posts) > _MAX_POSTS:
            self._posts.popitem(last=False)
        await delivery.store.pending_edits.put(delivery.account, PendingEdit(post_id, watched.text, watched.until))
