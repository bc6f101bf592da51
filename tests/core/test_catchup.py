"""What a catch-up reads, against a channel held in a list."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oc_trio.core.catchup import (
    Capped,
    CatchUpPolicy,
    Walk,
    Watermark,
    after_joining,
    channels_to_read,
    first_watermark,
)
from oc_trio.core.entities import Channel, PostPage
from oc_trio.core.events import ChannelType, Post
from oc_trio.ids import ChannelId, PostId, UserId

TOWN, BOT, ALICE = ChannelId("town"), UserId("bot"), UserId("alice")
NOW = 10_000_000
POLICY = CatchUpPolicy(overlap_ms=100, max_age_ms=5_000_000, max_posts=50, page_size=5)


def post(name: str, at: int, **more: Any) -> Post:
    return Post(PostId(name), TOWN, more.pop("user_id", ALICE), create_at=at, **more)


def page_of(posts: list[Post], before: str, size: int) -> PostPage:
    """A page as the server gives it: newest first, strictly older than the anchor's time."""
    ordered = sorted(posts, key=lambda item: (-item.create_at, item.id))
    if before:
        anchor = next(item for item in posts if item.id == before)
        ordered = [item for item in ordered if item.create_at < anchor.create_at]
    shown = ordered[:size]
    return PostPage(tuple(shown), prev_post_id=ordered[size].id if len(ordered) > size else "")


def read(posts: list[Post], mark_at: int, policy: CatchUpPolicy = POLICY) -> tuple[Walk, int]:
    walk, pages = Walk(TOWN, Watermark(TOWN, mark_at), policy, NOW), 0
    while not walk.done:
        walk = walk.feed(page_of(posts, walk.before, policy.page_size))
        pages += 1
        assert pages < 500
    return walk, pages


def names(walk: Walk) -> list[str]:
    return [item.id for item in walk.posts]


@pytest.mark.parametrize(
    ("last_post_at", "mark", "found"),
    [
        pytest.param(NOW, NOW - 1, True, id="moved"),
        pytest.param(NOW - 5, NOW - 1, False, id="older"),
        pytest.param(NOW - 5, NOW - 5, True, id="the-same-time-lately"),
        pytest.param(1, 1, False, id="the-same-time-long-ago"),
        pytest.param(NOW, None, False, id="no-watermark"),
    ],
)
def test_moved(last_post_at: int, mark: int | None, found: bool) -> None:
    """A channel is read if it has something newer, or possibly something of the same millisecond."""
    marks = {} if mark is None else {TOWN: Watermark(TOWN, mark)}
    channel = Channel(TOWN, ChannelType.OPEN, last_post_at=last_post_at)
    assert bool(channels_to_read([channel], marks, CatchUpPolicy(), now=NOW)) is found


def test_a_tie_ages_only_while_we_look() -> None:
    """A channel whose newest post is the watermark is read again as long as we were away, not only for a while."""
    quiet = Channel(ChannelId("a"), ChannelType.OPEN, last_post_at=NOW)
    marks = {quiet.id: Watermark(quiet.id, NOW)}
    much_later = NOW + 10 * CatchUpPolicy().tie_ms
    assert channels_to_read([quiet], marks, CatchUpPolicy(), now=much_later) == ()
    assert channels_to_read([quiet], marks, CatchUpPolicy(), now=min(much_later, NOW + 1)) == (quiet,)


def test_the_longest_unread_comes_first() -> None:
    """Channels are read in the order of their watermarks."""
    channels = [Channel(ChannelId(name), ChannelType.OPEN, last_post_at=NOW) for name in "abc"]
    marks = {channel.id: Watermark(channel.id, at) for channel, at in zip(channels, (3, 1, 2))}
    assert [channel.id for channel in channels_to_read(channels, marks, POLICY, now=NOW)] == ["b", "c", "a"]


@pytest.mark.parametrize(
    ("joined_at", "known_until", "at"),
    [
        pytest.param(None, None, NOW, id="first-start-reads-no-history"),
        pytest.param(NOW - 9, NOW - 500, NOW - 9, id="at-its-joining"),
        pytest.param(None, NOW - 500, NOW - 500, id="opened-while-we-were-away"),
        pytest.param(None, NOW + 500, NOW, id="never-in-the-future"),
    ],
)
def test_first_mark(joined_at: int | None, known_until: int | None, at: int) -> None:
    """A channel that is new to us starts where we came to it."""
    assert first_watermark(TOWN, now=NOW, known_until=known_until, joined_at=joined_at) == Watermark(TOWN, at)


def test_a_short_gap_is_one_page() -> None:
    """What came since, with the overlap, oldest first."""
    posts = [post(f"p{at}", NOW - 1000 + at) for at in (0, 850, 950, 960)]
    walk, pages = read(posts, NOW - 1000 + 949)
    assert (names(walk), pages, walk.capped) == (["p850", "p950", "p960"], 1, None)


def test_a_long_gap_is_paged() -> None:
    """Pages follow each other without a hole."""
    posts = [post(f"p{at:02}", NOW - 3000 + 50 * at) for at in range(33)]
    walk, _ = read(posts, NOW - 3000)
    assert names(walk) == [item.id for item in posts]
    assert walk.capped is None


def test_an_empty_channel_is_done_at_once() -> None:
    """No posts, one page."""
    walk, pages = read([], NOW)
    assert (walk.posts, pages, walk.capped) == ((), 1, None)


def test_old_versions_and_deleted_posts_are_skipped() -> None:
    """Neither is anybody's message any more."""
    posts = [post("a", NOW), post("b", NOW, delete_at=NOW), post("c", NOW, original_id="a")]
    assert names(read(posts, NOW - 10)[0]) == ["a"]


def test_the_cap_on_numbers_keeps_the_newest() -> None:
    """Beyond the cap the rest is left out, and that is said."""
    posts = [post(f"p{at:03}", NOW - 300 + at) for at in range(300)]
    walk, _ = read(posts, NOW - 301)
    assert names(walk) == [item.id for item in posts[-50:]]
    assert walk.capped == Capped(TOWN, "count")
    assert str(walk.capped) == "Some earlier messages here were not read while I was away: there were too many."


def test_a_cap_that_only_cuts_the_overlap_is_not_said() -> None:
    """What was seen before is not missing."""
    posts = [post(f"p{at:03}", NOW - 90 + at) for at in range(90)]
    assert read(posts, NOW - 20)[0].capped is None


def test_the_cap_on_age() -> None:
    """Posts older than the limit are left out, and that is said."""
    posts = [post("old", NOW - 5_000_001), post("new", NOW - 5)]
    walk, _ = read(posts, NOW - 6_000_000)
    assert (names(walk), walk.capped) == (["new"], Capped(TOWN, "age"))
    assert "too old" in str(walk.capped)


def test_old_posts_below_the_watermark_are_not_missed() -> None:
    """An old watermark with nothing after it is no cap."""
    posts = [post("old", NOW - 6_000_000), post("new", NOW - 5)]
    assert read(posts, NOW - 6_000_000)[0].capped is None


@example([0, 0, 1, 1, 2], 0, 3)
@given(st.lists(st.integers(0, 40), max_size=40), st.integers(0, 40), st.integers(2, 6))
def test_nothing_since_the_watermark_is_missed(times: list[int], mark: int, size: int) -> None:
    """Whatever the times, ties and pages (fewer posts of one millisecond than a page holds): all, once, in order."""
    created: list[int] = []
    for at in times:
        if created.count(at) < size - 1:
            created.append(at)
    posts = [post(f"p{index:02}", NOW - 41 + at) for index, at in enumerate(created)]
    policy = CatchUpPolicy(overlap_ms=3, max_age_ms=1_000_000, max_posts=1000, page_size=size)
    walk, _ = read(posts, NOW - 41 + mark, policy)
    wanted = sorted((at, f"p{index:02}") for index, at in enumerate(created) if at >= mark - 3)
    assert names(walk) == [name for _, name in wanted]


def test_a_page_that_repeats_itself_ends_the_walk() -> None:
    """A server that ignores the anchor can't keep us walking."""
    page = PostPage((post("a", NOW), post("b", NOW - 1)), prev_post_id="x")
    walk = Walk(TOWN, Watermark(TOWN, NOW - 1000), POLICY, NOW).feed(page)
    assert not walk.done
    assert walk.feed(page).done


JOINED = {"type": "system_add_to_channel", "props": {"addedUserId": "bot"}}


@pytest.mark.parametrize(
    ("posts", "left"),
    [
        pytest.param([post("a", 1), post("j", 2, **JOINED), post("b", 3)], ["b"], id="added"),
        pytest.param([post("a", 1), post("j", 2, type="system_join_channel", user_id=BOT)], [], id="joined"),
        pytest.param([post("a", 1), post("b", 2)], ["a", "b"], id="not-seen"),
        pytest.param(
            [post("a", 1), post("j", 2, type="system_add_to_channel", user_id=BOT, props={"addedUserId": "eve"})],
            ["a", "j"],
            id="somebody-added-by-us",
        ),
        pytest.param([post("a", 1), post("j", 2, type="system_join_channel")], ["a", "j"], id="somebody-joined"),
        pytest.param(
            [post("j1", 1, **JOINED), post("a", 2), post("j2", 3, **JOINED), post("b", 4)], ["b"], id="the-last-joining"
        ),
    ],
)
def test_after_joining(posts: list[Post], left: list[str]) -> None:
    """Of a channel that we came to while away, only what followed counts."""
    assert [item.id for item in after_joining(tuple(posts), BOT)] == left
