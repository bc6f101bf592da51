"""Creates a post exactly once, even where the server's answer is lost: retries with the same idempotency key.

For 30 s Mattermost answers a repeated `pending_post_id` with the first post. Later, after a restart, and on another
node of a cluster the same key makes a second post. So every post carries its key in `props.oc_trio.k` as well (the
marker), and after an ambiguous error we look for the marker before we write again.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from types import MappingProxyType
from typing import Any

import trio
from attrs import evolve, field

from oc_trio.classes import define
from oc_trio.core.backoff import RetryPolicy
from oc_trio.core.entities import NewPost
from oc_trio.core.events import Post
from oc_trio.core.post_marker import KEY, MARKER, read_marker
from oc_trio.core.ratelimit import Lane
from oc_trio.errors import LeaseLost, MattermostRejected, MattermostUnavailable
from oc_trio.ids import ChannelId, PostId, UserId
from oc_trio.mattermost.client import Api
from oc_trio.mattermost.keyed_locks import KeyedLocks
from oc_trio.retry import RetryState, retrying

SAME_KEY_SECONDS = 25.0  # of the server's 30
# Then the caller decides: an answer waits on in the outbox, a draft is replaced by newer text.
GIVE_UP_SECONDS = 120.0
# Jitter of a half either way, so that posts that failed together are not repeated together.
_RETRY = RetryPolicy(initial=0.25, maximum=8.0, jitter=0.5)
# One page of the API.
_LOOK_BACK = 200

STILL_SAVING = "api.post.deduplicate_create_post.pending"
THREAD_RACE = "app.post.save.app_error"  # of two first replies at once one gets this error, and it was not stored
WAS_DELETED = "api.post.deduplicate_create_post.failed_to_get"


def with_marker(new: NewPost, fields: Mapping[str, str] = MappingProxyType({})) -> NewPost:
    """`new` with its key in the props, and the further `fields`. Raises ValueError without a
    `pending_post_id`.
    """
    if not new.pending_post_id:
        raise ValueError("a post needs a pending_post_id to be created idempotently")
    own = new.props.get(MARKER)
    ours: Mapping[str, Any] = own if isinstance(own, Mapping) else {}
    marked = {**ours, KEY: ours.get(KEY) or new.pending_post_id, **fields}
    return evolve(new, props={**new.props, MARKER: marked})


async def find_by_marker(
    api: Api, bot_id: UserId, channel_id: ChannelId, root_id: str, key: str, installation: str = ""
) -> Post | None:
    """Our own post with that key among the newest of the thread or channel; None if there is none.

    The oldest of them, where a delayed request has made a second one. A post of another installation is not ours: keys
    of schedules are the same everywhere. Raises MattermostError if the server can't say.
    """
    if root_id:
        posts = await api.posts.thread(PostId(root_id), limit=_LOOK_BACK)
    else:
        posts = (await api.posts.page(channel_id, per_page=_LOOK_BACK)).posts
    ours = (post for post in posts if post.user_id == bot_id and _is_marked(post, key, installation))
    return min(ours, key=lambda post: post.create_at, default=None)


def _is_marked(post: Post, key: str, installation: str) -> bool:
    marker = read_marker(post.props)
    return marker.key == key and (not marker.installation or not installation or marker.installation == installation)


async def create_post_idempotent(
    api: Api,
    new: NewPost,
    *,
    bot_id: UserId,
    random: Callable[[], float],
    lane: Lane = Lane.CREATE,
    in_doubt: bool = False,
    serialised: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
    marker_fields: Mapping[str, str] = MappingProxyType({}),
) -> Post:
    """The post with the key `new.pending_post_id`, created now or found.

    `in_doubt`: an earlier process may have sent it. Each create is sent within `serialised()`, a lock as a rule.
    `marker_fields` are in the post's marker beside the key.

    Raises MattermostRejected, or MattermostUnavailable after GIVE_UP_SECONDS; `ambiguous` then says it may be there.
    """
    new = with_marker(new, marker_fields)
    marker = read_marker(new.props)
    find_existing = partial(
        find_by_marker, api, bot_id, new.channel_id, new.root_id, marker.key, installation=marker.installation
    )
    if in_doubt:
        try:
            existing = await find_existing()
        except MattermostUnavailable as failure:
            # Whether an earlier try was applied is as unknown as before.
            raise _with_message(failure, str(failure), ambiguous=True) from failure
        if existing is not None:
            return existing
    give_up_at = trio.current_time() + GIVE_UP_SECONDS
    retries = RetryState(MattermostUnavailable, _RETRY, random, give_up_at=give_up_at)
    return await _IdempotentCreate(api, new, lane, serialised, find_existing, retries).run()


@define(eq=False)
class _IdempotentCreate:
    """The tries of one create. `retries` counts those of the request and of the look-ups between them."""

    api: Api
    new: NewPost
    lane: Lane
    serialised: Callable[[], AbstractAsyncContextManager[None]]
    find_existing: Callable[[], Awaitable[Post | None]]
    retries: RetryState[MattermostUnavailable]
    # When the first try with an unknown outcome began: the server's 30 s run from there at the earliest.
    ambiguous_since: float | None = None

    async def run(self) -> Post:
        try:
            return await self._run()
        except MattermostUnavailable as failure:
            message = f"gave up after {self.retries.failures} tries: {failure}"
            raise _with_message(failure, message, ambiguous=self.ambiguous_since is not None) from failure

    async def _run(self) -> Post:
        # Not `retrying`: after a pause the post is looked for, and only where it is not there sent again.
        while True:
            began = trio.current_time()
            try:
                async with self.serialised():
                    # Again, since the wait for the lock is no part of the request.
                    began = trio.current_time()
                    return await self.api.posts.create(self.new, lane=self.lane)
            except MattermostUnavailable as exc:
                # The post was created and has been deleted since: creating another would undo the deletion.
                if exc.code == WAS_DELETED:
                    raise MattermostRejected(str(exc), status=exc.status or 500, code=exc.code) from exc
                if self.ambiguous_since is None and (exc.ambiguous or exc.code == STILL_SAVING):
                    self.ambiguous_since = began
                failure = exc
            self.retries.failed(failure)
            await self.retries.pause(failure)
            # While the first request is still being processed, a retry with the same key gives its result.
            existing = None if failure.code == STILL_SAVING else await self._resolve_ambiguity()
            if existing is not None:
                return existing

    async def _resolve_ambiguity(self) -> Post | None:
        """The post that an ambiguous try has made; None where it has made none, or not yet."""
        if self.ambiguous_since is None:
            return None
        existing = await retrying(self.find_existing, self.retries)
        if trio.current_time() - self.ambiguous_since >= SAME_KEY_SECONDS:
            self.ambiguous_since = None
        return existing


def _with_message(failure: MattermostUnavailable, message: str, *, ambiguous: bool) -> MattermostUnavailable:
    if isinstance(failure, LeaseLost):
        return LeaseLost(str(failure), ambiguous=ambiguous or failure.ambiguous)
    status, code, wait = failure.status, failure.code, failure.retry_after
    return MattermostUnavailable(message, status=status, code=code, retry_after=wait, ambiguous=ambiguous)


@define(eq=False)
class PostCreator:
    """Creates an account's posts, one at a time per thread: of concurrent first replies Mattermost refuses some.

    `marker_fields` are in every post's marker beside its key: the installation, or that a command posts.
    """

    api: Api
    bot_id: UserId
    random: Callable[[], float]
    marker_fields: Mapping[str, str] = field(factory=dict)
    _locks: KeyedLocks = field(init=False, factory=KeyedLocks)

    async def create(self, new: NewPost, *, lane: Lane = Lane.CREATE, in_doubt: bool = False) -> Post:
        """See `create_post_idempotent`. Posts of one thread, or of a channel's top level, are sent in order of arrival;
        while one waits for its retry, the others go on.
        """
        serialised = partial(self._locks.hold, (new.channel_id, new.root_id))
        return await create_post_idempotent(
            self.api,
            new,
            bot_id=self.bot_id,
            random=self.random,
            lane=lane,
            in_doubt=in_doubt,
            serialised=serialised,
            marker_fields=self.marker_fields,
        )
