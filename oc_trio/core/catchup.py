"""Plans the catch-up over REST: which channels to read, how far back, in which order, and what to report as skipped.

Each channel is read backwards from its newest post, by `before=` with the oldest post seen so far. So no stored post id
has to exist still (Mattermost returns an empty page for an unknown one, no error), new posts don't shift the pages, and
a limit keeps the newest posts. Whether a post is answered is decided by `gating`, as for live posts.
"""

from collections.abc import Iterable, Mapping

from attrs import evolve

from oc_trio.classes import frozen
from oc_trio.core.entities import Channel, PostPage
from oc_trio.core.events import Post
from oc_trio.ids import ChannelId, PostId, UserId

_JOINED = frozenset({"system_join_channel", "system_add_to_channel", "system_join_team", "system_add_to_team"})


@frozen
class CatchUpPolicy:
    """`overlap_ms` before the watermark is read again, because of clock differences, equal times and late replicas;
    known ids are skipped. It should not be below `gating.ChatRules.edit_window_ms`: then it covers every post to which
    a mention may have been added meanwhile.

    `tie_ms`: a channel whose newest post has exactly the watermark's time is read for this long after that post,
    because another post of the same millisecond may have arrived later.
    """

    # As long as an edit may add a mention (`gating.ChatRules.edit_window_ms`).
    overlap_ms: int = 5 * 60 * 1000
    # Three audits (`mattermost.audit`): with no end, every quiet channel would be read again at each of them.
    tie_ms: int = 15 * 60_000
    # Whoever asked a day ago has found another way, and an answer now would only surprise.
    max_age_ms: int = 24 * 3600 * 1000
    max_posts: int = 200
    # The most that Mattermost returns; it cuts a larger `per_page` to this without a word.
    page_size: int = 200
    # Enough to hide the latency; more would only take the rate budget, which is shared, from answers.
    concurrency: int = 4


@frozen
class Watermark:
    """How far a channel was read: the time (server milliseconds) and id of its newest admitted post."""

    channel_id: ChannelId
    at: int
    post_id: str = ""


@frozen
class Capped:
    """A limit that ended a catch-up early, to be reported in the channel; `skipped` is None if not counted."""

    channel_id: ChannelId
    limit: str
    skipped: int | None = None

    def __str__(self) -> str:
        number = "Some" if self.skipped is None else str(self.skipped)
        why = "they are too old" if self.limit == "age" else "there were too many"
        return f"{number} earlier messages here were not read while I was away: {why}."


def channels_to_read(
    channels: Iterable[Channel], marks: Mapping[ChannelId, Watermark], policy: CatchUpPolicy, *, now: int
) -> tuple[Channel, ...]:
    """The channels with posts newer than their watermark, the oldest watermark first.

    `now` (ms) is the present, or after an absence the time when we were last live: `tie_ms` counts only while we are
    connected. Channels without a watermark are left out: give them one with `first_watermark`.
    """
    unread = []
    for channel in channels:
        mark = marks.get(channel.id)
        if mark is None:
            continue
        tie = channel.last_post_at == mark.at and now - mark.at <= policy.tie_ms
        if channel.last_post_at > mark.at or tie:
            unread.append(channel)
    return tuple(sorted(unread, key=lambda channel: marks[channel.id].at))


def first_watermark(
    channel_id: ChannelId, *, now: int, known_until: int | None, joined_at: int | None = None
) -> Watermark:
    """The first watermark of a new channel, so that the posts before we joined are never answered.

    It is the time of joining if we saw that. Otherwise it is `known_until`, when we last knew all our channels, for a
    direct channel may have been opened while we were away; None at the first start: then the channel starts now.
    """
    if joined_at is not None:
        return Watermark(channel_id, joined_at)
    return Watermark(channel_id, now if known_until is None else min(known_until, now))


def after_joining(posts: tuple[Post, ...], bot: UserId) -> tuple[Post, ...]:
    """The posts (oldest first) after the system post of our last joining; all if there is no such post."""
    for index in range(len(posts) - 1, -1, -1):
        post = posts[index]
        if post.type in _JOINED and bot in (post.user_id, post.props.get("addedUserId")):
            # If somebody adds us, user_id is theirs. If we add somebody, it is ours, but that is not our joining.
            if post.user_id == bot and post.props.get("addedUserId", bot) != bot:
                continue
            return posts[index + 1 :]
    return posts


@frozen
class Walk:
    """A channel being read backwards. `before` is the post id for the next page, "" for the newest page.

    Call `feed` with each page until `done`; then admit `posts`, oldest first, and report `capped` if set.
    """

    channel_id: ChannelId
    mark: Watermark
    policy: CatchUpPolicy
    now: int
    before: str = ""
    done: bool = False
    capped: Capped | None = None
    newest_first: tuple[Post, ...] = ()

    @property
    def floor(self) -> int:
        """The time (ms) down to which posts are read, inclusive."""
        return max(self.mark.at - self.policy.overlap_ms, self.now - self.policy.max_age_ms)

    @property
    def posts(self) -> tuple[Post, ...]:
        """The posts read, oldest first; equal times by id, so that the order is always the same."""
        return tuple(sorted(self.newest_first, key=lambda post: (post.create_at, post.id)))

    def feed(self, page: PostPage) -> "Walk":
        """The walk after the page at `before`."""
        # Pages overlap on purpose: see `_anchor`.
        known = {post.id for post in self.newest_first}
        fresh = sorted({post.id: post for post in page.posts if post.id not in known}.values(), key=_newest_first)
        wanted = [post for post in fresh if post.create_at >= self.floor]
        walk = evolve(self, newest_first=self.newest_first + tuple(filter(_is_current, wanted)))
        # Newest first, so the limit drops the oldest posts.
        if len(walk.newest_first) > self.policy.max_posts:
            return walk._cut()
        if len(wanted) < len(fresh):
            return walk._at_floor(fresh[len(wanted) :])
        if not fresh or not page.prev_post_id:
            return evolve(walk, done=True)
        return evolve(walk, before=_anchor(page.posts))

    def _cut(self) -> "Walk":
        kept, rest = self.newest_first[: self.policy.max_posts], self.newest_first[self.policy.max_posts :]
        # Posts up to the watermark were seen before, so they don't count as skipped.
        capped = Capped(self.channel_id, "count") if rest[0].create_at > self.mark.at else None
        return evolve(self, newest_first=kept, done=True, capped=capped)

    def _at_floor(self, left_out: list[Post]) -> "Walk":
        too_old = any(post.create_at > self.mark.at and _is_current(post) for post in left_out)
        return evolve(self, done=True, capped=Capped(self.channel_id, "age") if too_old else None)


def _newest_first(post: Post) -> tuple[int, PostId]:
    return (-post.create_at, post.id)


def _is_current(post: Post) -> bool:
    """Neither deleted nor the old version of an edited post, which Mattermost lists as a post of its own."""
    return not (post.delete_at or post.original_id)


def _anchor(page: tuple[Post, ...]) -> PostId:
    # `before=` leaves out other posts of the anchor's millisecond, and a page may end between two of them. So the
    # anchor is the oldest post that is newer than the page's oldest time, and the next page repeats the rest.
    ordered = sorted(page, key=_newest_first)
    oldest = ordered[-1].create_at
    return next((post.id for post in reversed(ordered) if post.create_at > oldest), ordered[-1].id)
