"""Catch-up over REST: which channels are asked, what is admitted, and what happens when a channel can't be read."""

from collections.abc import Mapping
from typing import Any

import httpx
import pytest
import trio

from oc_trio.core.catchup import Capped, CatchUpPolicy, Watermark
from oc_trio.core.entities import Channel
from oc_trio.core.events import Post
from oc_trio.errors import MattermostRejected, MattermostUnavailable
from oc_trio.ids import ChannelId, UserId
from oc_trio.mattermost.catchup import CatchUpResult, catch_up
from tests.mattermost.doubles import FakeHttp, error, open_api

NOW = 10_000_000
BOT = UserId("bot")
MINE = "GET /users/me/channels"


def channel(name: str, last_post_at: int) -> dict[str, Any]:
    return {"id": name, "type": "O", "name": name, "last_post_at": last_post_at}


def serve(http: FakeHttp, name: str, posts: dict[str, int]) -> None:
    """A channel's posts with their times, paged as the server does."""
    ids = sorted(posts, key=lambda one: -posts[one])

    def answer(request: httpx.Request) -> httpx.Response:
        query = request.url.params
        assert "since" not in query
        older = ids
        if "before" in query:
            older = [one for one in ids if posts[one] < posts[query["before"]]]
        size = int(query["per_page"])
        shown, rest = older[:size], older[size:]
        found = {one: {"id": one, "channel_id": name, "user_id": "alice", "create_at": posts[one]} for one in shown}
        return httpx.Response(200, json={"order": shown, "posts": found, "prev_post_id": rest[0] if rest else ""})

    http.routes[f"GET /channels/{name}/posts"] = answer


async def run(
    http: FakeHttp, marks: Mapping[str, int], policy: CatchUpPolicy | None = None
) -> tuple[CatchUpResult, dict[str, list[str]]]:
    admitted: dict[str, list[str]] = {}

    async def look_up(channels: tuple[Channel, ...]) -> Mapping[ChannelId, Watermark]:
        return {ChannelId(name): Watermark(ChannelId(name), at) for name, at in marks.items()}

    async def admit(where: Channel, posts: tuple[Post, ...]) -> None:
        assert where.id not in admitted
        admitted[where.id] = [post.id for post in posts]

    async with open_api(http) as api:
        return await catch_up(api, BOT, look_up, admit, now_ms=NOW, policy=policy), admitted


async def test_only_what_moved_is_read_oldest_first(autojump_clock: trio.testing.MockClock) -> None:
    """Quiet channels cost nothing, unknown ones are named, moved ones are admitted in order, over several pages."""
    http = FakeHttp({MINE: [[channel("a", NOW - 100), channel("b", 500), channel("new", NOW)]]})
    serve(http, "a", {f"p{number}": NOW - 1000 + number for number in range(7)})
    done, admitted = await run(http, {"a": NOW - 1000, "b": 500}, CatchUpPolicy(page_size=3, overlap_ms=0))
    assert admitted == {"a": [f"p{number}" for number in range(7)]}
    assert (done.checked, done.moved, done.posts, done.unknown) == (3, 1, 7, (ChannelId("new"),))
    assert [each.id for each in done.read] == ["a"]
    assert {line for line in http.log if "posts" in line} == {"GET /channels/a/posts"}


async def test_a_cap_is_reported(autojump_clock: trio.testing.MockClock) -> None:
    """With more posts than the cap the newest are admitted, and the channel is named."""
    http = FakeHttp({MINE: [[channel("a", NOW - 1)]]})
    serve(http, "a", {f"p{number}": NOW - 100 + number for number in range(9)})
    done, admitted = await run(http, {"a": NOW - 5000}, CatchUpPolicy(max_posts=4))
    assert admitted == {"a": ["p5", "p6", "p7", "p8"]}
    assert done.capped == (Capped(ChannelId("a"), "count"),)
    assert done.read == ()


async def test_a_channel_we_may_not_read_is_skipped(autojump_clock: trio.testing.MockClock) -> None:
    """Being removed from one channel leaves the others alone."""
    http = FakeHttp({MINE: [[channel("a", NOW), channel("b", NOW)]], "GET /channels/a/posts": error(403, "no")})
    serve(http, "b", {"p1": NOW})
    done, admitted = await run(http, {"a": NOW - 9, "b": NOW - 9})
    assert (done.refused, admitted) == ((ChannelId("a"),), {"b": ["p1"]})


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        pytest.param(error(503, "x.y"), MattermostUnavailable, id="server down"),
        pytest.param(error(401, "expired"), MattermostRejected, id="token refused"),
    ],
)
async def test_an_incomplete_pass_is_an_error(
    answer: httpx.Response, kind: type[Exception], autojump_clock: trio.testing.MockClock
) -> None:
    """What could not be read is not passed over: the error comes out bare."""
    http = FakeHttp({MINE: [[channel("a", NOW)]], "GET /channels/a/posts": answer})
    with pytest.raises(kind):
        await run(http, {"a": NOW - 9})


async def test_at_most_four_channels_at_once(autojump_clock: trio.testing.MockClock) -> None:
    """However many channels moved, the server sees a bounded number of requests."""
    running, most = 0, 0

    async def slow(request: httpx.Request) -> httpx.Response:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await trio.sleep(1)
        running -= 1
        return httpx.Response(200, json={"order": [], "posts": {}})

    names = [f"c{number}" for number in range(10)]
    http = FakeHttp({MINE: [[channel(name, NOW) for name in names]]})
    http.routes.update({f"GET /channels/{name}/posts": slow for name in names})
    await run(http, dict.fromkeys(names, NOW - 9))
    assert (most, trio.current_time()) == (4, 3)
