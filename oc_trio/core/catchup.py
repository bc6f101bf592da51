"""What a catch-up reads over REST: which channels, how far back, in which order, and what it has to say it left out.

It walks each channel from the newest post back by `before=` with the anchor just seen. That needs no stored cursor
to be alive (an unknown one gives an empty page, not an error), new posts don't shift the pages, and a cap keeps
the newest. Whether a post is answered is decided by the same `gating` as for live ones.
"""

from collections.abc import Iterable, Mapping

from attrs import evolve, frozen

from oc_trio.core.entities import Channel, PostPage
from oc_trio.core.events import Post
from oc_trio.ids import ChannelId, PostId, UserId

_JOINED = frozenset({"system_join_channel", "system_add_to_channel", "system_join_team", "system_add_to_team"})


@frozen
class CatchUpPolicy:
    """`overlap_ms` re-reads what was seen already, against clocks, equal times and late replicas; ids sort that out. As
    long as `gating.ChatRules.edit_window_ms`, it reaches every post to which a mention may have been added meanwhile.

    `tie_ms`: for so long after its last post a channel whose newest time is exactly the watermark is read all the
    same, for two posts of one millisecond may have come apart.
    """

    overlap_ms: int = 5 * 60 * 1000
    tie_ms: int = 15 * 60_000
    max_age_ms: int = 24 * 3600 * 1000
    max_posts: int = 1000
    page_size: int = 200
    concurrency: int = 4


@frozen
class Watermark:
    """How far a channel was admitted: the time (server milliseconds) and id of its newest admitted post."""

    channel_id: ChannelId
    at: int
    post_id: str = ""


@frozen
class Capped:
    """A limit that cut a catch-up short, to be said aloud; `skipped` None means that nobody counted."""

    channel_id: ChannelId
    limit: str
    skipped: int | None = None

    def __str__(self) -> str:
        number = "Some" if self.skipped is None else str(self.skipped)
        why = "they are too old" if self.limit == "age" else "there were too many"
        return f"{number} earlier messages here were not read while I was away: {why}."


def moved(
    channels: Iterable[Channel], marks: Mapping[ChannelId, Watermark], policy: CatchUpPolicy, *, now: int
) -> tuple[Channel, ...]:
    """The channels with something newer than their watermark, the longest unread first.

    `now`, in milliseconds, is the present, or when we were last live if we were away: a tie ages only while we look.
    Channels without a watermark are not among them: give them one with `first_mark`.
    """
    found = []
    for channel in channels:
        mark = marks.get(channel.id)
        if mark is None:
            continue
        tie = channel.last_post_at == mark.at and now - mark.at <= policy.tie_ms
        if channel.last_post_at > mark.at or tie:
            found.append(channel)
    return tuple(sorted(found, key=lambda channel: marks[channel.id].at))


def first_mark(channel_id: ChannelId, *, now: int, known_until: int | None, joined_at: int | None = None) -> Watermark:
    """Where a channel that is new to us starts, so that its history is never taken for questions.

    At its joining where that was seen. Otherwise at `known_until`, when we last knew all our channels: a direct
    channel may have been opened while we were away. At a first start that is None, and the channel starts now.
    """
    if joined_at is not None:
        return Watermark(channel_id, joined_at)
    return Watermark(channel_id, now if known_until is None else min(known_until, now))


def after_joining(posts: tuple[Post, ...], bot: UserId) -> tuple[Post, ...]:
    """Of posts oldest first, those after the system post of our (last) joining; all of them if there is none."""
    for index in range(len(posts) - 1, -1, -1):
        post = posts[index]
        if post.type in _JOINED and bot in (post.user_id, post.props.get("addedUserId")):
            # When somebody adds us, user_id is theirs; when we add somebody, it is ours but it is not our joining.
            if post.user_id == bot and post.props.get("addedUserId", bot) != bot:
                continue
            return posts[index + 1 :]
    return posts


@frozen
class Walk:
    """A channel being read back from its newest post. `before` is the anchor of the next page, "" for the newest one.

    Feed it pages until `done`; then `posts` are to be admitted, oldest first, and `capped` is to be said.
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
        """The time down to which posts are wanted, itself included."""
        return max(self.mark.at - self.policy.overlap_ms, self.now - self.policy.max_age_ms)

    @property
    def posts(self) -> tuple[Post, ...]:
        """What was found, oldest first; equal times by id, so that every pass has the same order."""
        return tuple(sorted(self.newest_first, key=lambda post: (post.create_at, post.id)))

    def feed(self, page: PostPage) -> "Walk":
        """The walk after the page that was asked for."""
        known = {post.id for post in self.newest_first}
        fresh = sorted({post.id: post for post in page.posts if post.id not in known}.values(), key=_newest_first)
        wanted = [post for post in fresh if post.create_at >= self.floor]
        walk = evolve(self, newest_first=self.newest_first + tuple(filter(_is_current, wanted)))
        if len(walk.newest_first) > self.policy.max_posts:
            return walk._cut()
        if len(wanted) < len(fresh):
            return walk._at_floor(fresh[len(wanted) :])
        if not fresh or not page.prev_post_id:
            return evolve(walk, done=True)
        return evolve(walk, before=_anchor(page.posts))

    def _cut(self) -> "Walk":
        kept, rest = self.newest_first[: self.policy.max_posts], self.newest_first[self.policy.max_posts :]
        # What was seen already does not count as skipped.
        capped = Capped(self.channel_id, "count") if rest[0].create_at > self.mark.at else None
        return evolve(self, newest_first=kept, done=True, capped=capped)

    def _at_floor(self, left_out: list[Post]) -> "Walk":
        too_old = any(post.create_at > self.mark.at and _is_current(post) for post in left_out)
        return evolve(self, done=True, capped=Capped(self.channel_id, "age") if too_old else None)


def _newest_first(post: Post) -> tuple[int, PostId]:
    return (-post.create_at, post.id)


def _is_current(post: Post) -> bool:
    """Not deleted, and not the old version of an edited post, which the server lists as a post of its own."""
    return not (post.delete_at or post.original_id)


def _anchor(page: tuple[Post, ...]) -> PostId:
    # `before=` leaves out posts of the anchor's own millisecond, and the page may end between two of one: take the
    # last post but those of the oldest time, and let the next page repeat these.
    ordered = sorted(page, key=_newest_first)
    oldest = ordered[-1].create_at
    return next((post.id for post in reversed(ordered) if post.create_at > oldest), ordered[-1].id)
