"""Creates a post once although answers get lost: the same key at every try, and a look for its marker in between.

Mattermost remembers a `pending_post_id` for 30 s and gives the first post again for it; later, after a restart and on
another node the same key makes a second post. So every post carries its key in `props.oc_trio.k` as well, and in doubt
we look before writing again.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from typing import Any

import trio
from attrs import define, evolve, field

from oc_trio.core.backoff import exponential
from oc_trio.core.entities import NewPost
from oc_trio.core.events import Post
from oc_trio.core.ratelimit import Lane
from oc_trio.errors import MattermostRejected, MattermostUnavailable
from oc_trio.ids import ChannelId, PostId, UserId
from oc_trio.mattermost.client import Api
from oc_trio.mattermost.keyed_locks import KeyedLocks

SAME_KEY_SECONDS = 25.0  # of the server's 30
GIVE_UP_SECONDS = 120.0
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 8.0
_LOOK_BACK = 200

STILL_SAVING = "api.post.deduplicate_create_post.pending"
THREAD_RACE = "app.post.save.app_error"  # two first replies at once: the loser is told this, and nothing was stored
WAS_DELETED = "api.post.deduplicate_create_post.failed_to_get"


def marked(new: NewPost) -> NewPost:
    """`new` with its key in the props. Raises ValueError without a `pending_post_id`."""
    if not new.pending_post_id:
        raise ValueError("a post to be created surely needs a pending_post_id")
    own = new.props.get("oc_trio")
    ours: Mapping[str, Any] = own if isinstance(own, Mapping) else {}
    return new if ours.get("k") else evolve(new, props={**new.props, "oc_trio": {**ours, "k": new.pending_post_id}})


def marker(props: Mapping[str, Any]) -> str:
    """The key in a post's props, "" if there is none. Anyone can write props: compare the author too."""
    match props.get("oc_trio"):
        case {"k": str(key)}:
            return key
        case _:
            return ""


async def find_by_marker(api: Api, bot_id: UserId, channel_id: ChannelId, root_id: str, key: str) -> Post | None:
    """Our own post with that key in the tail of the thread or channel, the first of them where a request that was held
    up has made another. Raises MattermostError if it can't be told.
    """
    if root_id:
        posts = await api.posts.thread(PostId(root_id), limit=_LOOK_BACK)
    else:
        posts = (await api.posts.page(channel_id, per_page=_LOOK_BACK)).posts
    ours = (post for post in posts if post.user_id == bot_id and marker(post.props) == key)
    return min(ours, key=lambda post: post.create_at, default=None)


async def create_post_idempotent(
    api: Api,
    new: NewPost,
    *,
    bot_id: UserId,
    random: Callable[[], float],
    lane: Lane = Lane.CREATE,
    in_doubt: bool = False,
    serialised: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
) -> Post:
    """The post of `new.pending_post_id`, created now or found. `in_doubt`: an earlier process may have sent it. Each
    create is sent within `serialised()`.

    Raises MattermostRejected, or MattermostUnavailable after GIVE_UP_SECONDS; `ambiguous` then says it may be there.
    """
    attempt = _Attempt(api, marked(new), bot_id, random, lane, serialised)
    if in_doubt:
        try:
            found = await attempt.look()
        except MattermostUnavailable as failure:
            # Whether an earlier try was applied is as unknown as before.
            raise _as(failure, str(failure), ambiguous=True) from failure
        if found is not None:
            return found
    return await attempt.run()


@define(eq=False)
class _Attempt:
    api: Api
    new: NewPost
    bot_id: UserId
    random: Callable[[], float]
    lane: Lane
    serialised: Callable[[], AbstractAsyncContextManager[None]]
    # When the first try began whose outcome we don't know: the server's 30 s run from there at the earliest.
    doubt_since: float | None = None
    tries: int = 0

    async def run(self) -> Post:
        give_up_at = trio.current_time() + GIVE_UP_SECONDS
        while True:
            began = trio.current_time()
            try:
                async with self.serialised():
                    began = trio.current_time()
                    return await self.api.posts.create(self.new, lane=self.lane)
            except MattermostUnavailable as exc:
                if exc.code == WAS_DELETED:
                    raise MattermostRejected(str(exc), status=exc.status or 500, code=exc.code) from exc
                if self.doubt_since is None and (exc.ambiguous or exc.code == STILL_SAVING):
                    self.doubt_since = began
                failure = exc
            wait = self._pause(failure)
            if trio.current_time() + wait >= give_up_at:
                raise self._gave_up(failure)
            await trio.sleep(wait)
            found = None if failure.code == STILL_SAVING else await self._settle_doubt(give_up_at)
            if found is not None:
                return found

    async def look(self) -> Post | None:
        new = self.new
        return await find_by_marker(self.api, self.bot_id, new.channel_id, new.root_id, marker(new.props))

    async def _settle_doubt(self, give_up_at: float) -> Post | None:
        """Find the post that may be there already, or know that it is not yet."""
        if self.doubt_since is None:
            return None
        while True:
            try:
                found = await self.look()
            except MattermostUnavailable as exc:
                wait = self._pause(exc)
                if trio.current_time() + wait >= give_up_at:
                    raise self._gave_up(exc) from exc
                await trio.sleep(wait)
                continue
            if trio.current_time() - self.doubt_since >= SAME_KEY_SECONDS:
                self.doubt_since = None
            return found

    def _pause(self, failure: MattermostUnavailable) -> float:
        whole = exponential(_FIRST_PAUSE, _LONGEST_PAUSE, self.tries)
        self.tries += 1
        return max(whole * (0.5 + self.random()), failure.retry_after or 0.0)

    def _gave_up(self, failure: MattermostUnavailable) -> MattermostUnavailable:
        return _as(failure, f"gave up after {self.tries} tries: {failure}", ambiguous=self.doubt_since is not None)


def _as(failure: MattermostUnavailable, message: str, *, ambiguous: bool) -> MattermostUnavailable:
    status, code, wait = failure.status, failure.code, failure.retry_after
    return MattermostUnavailable(message, status=status, code=code, retry_after=wait, ambiguous=ambiguous)


@define(eq=False)
class PostCreator:
    """One writer per thread: concurrent first replies to a root fail in Mattermost's own race. One per account."""

    api: Api
    bot_id: UserId
    random: Callable[[], float]
    _locks: KeyedLocks = field(init=False, factory=KeyedLocks)

    async def create(self, new: NewPost, *, lane: Lane = Lane.CREATE, in_doubt: bool = False) -> Post:
        """See `create_post_idempotent`. Posts of one thread, or of a channel's top level, go in order of arrival; one
        that has to be tried again lets the others pass meanwhile.
        """
        serialised = partial(self._locks.hold, (new.channel_id, new.root_id))
        return await create_post_idempotent(
            self.api, new, bot_id=self.bot_id, random=self.random, lane=lane, in_doubt=in_doubt, serialised=serialised
        )
