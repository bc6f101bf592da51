"""Idempotent creates with an unknown outcome: which requests are made, when, and with what result."""

from typing import Any

import httpx
import pytest
import trio

from oc_trio.core.entities import NewPost
from oc_trio.core.post_marker import marker_key
from oc_trio.errors import MattermostRejected, MattermostUnavailable
from oc_trio.ids import ChannelId, UserId
from oc_trio.mattermost.post_creator import (
    GIVE_UP_SECONDS,
    STILL_SAVING,
    THREAD_RACE,
    WAS_DELETED,
    create_post_idempotent,
    with_marker,
)
from tests.mattermost.doubles import FakeHttp, error, open_api

BOT = UserId("bot")
NEW = NewPost(ChannelId("chan"), "hello", pending_post_id="bot:k1")
CREATE, PAGE = "POST /posts", "GET /channels/chan/posts"


def post(post_id: str, user_id: str = "bot", key: str = "bot:k1") -> dict[str, Any]:
    return {"id": post_id, "channel_id": "chan", "user_id": user_id, "props": {"oc_trio": {"k": key}}, "create_at": 1}


def page(*posts: dict[str, Any]) -> dict[str, Any]:
    return {"order": [one["id"] for one in posts], "posts": {one["id"]: one for one in posts}}


async def create(http: FakeHttp, new: NewPost = NEW, *, in_doubt: bool = False) -> str:
    async with open_api(http) as api:
        return (await create_post_idempotent(api, new, bot_id=BOT, random=lambda: 0.5, in_doubt=in_doubt)).id


@pytest.mark.parametrize(
    ("failures", "log"),
    [
        pytest.param([], [CREATE], id="at once"),
        pytest.param([error(500, STILL_SAVING)], [CREATE, CREATE], id="still being saved"),
        pytest.param([error(500, THREAD_RACE)] * 3, [CREATE] * 4, id="thread race"),
        pytest.param([httpx.ReadError("x")], [CREATE, PAGE, CREATE], id="lost answer"),
        pytest.param([httpx.ConnectError("x")] * 4, [CREATE] * 5, id="server down for a while"),
        pytest.param([httpx.Response(502)], [CREATE, PAGE, CREATE], id="proxy gave up"),
        pytest.param(
            [httpx.Response(504), httpx.ConnectError("x")], [CREATE, PAGE, CREATE, PAGE, CREATE], id="lost, then down"
        ),
    ],
)
async def test_within_the_servers_memory_the_same_key_is_sent_again(
    failures: list[Any], log: list[str], autojump_clock: trio.testing.MockClock
) -> None:
    """Inside 25 s every retry has the same key and the same marker; only what may be there is looked for first."""
    http = FakeHttp({CREATE: [*failures, post("p1")], PAGE: page()})
    assert await create(http) == "p1"
    assert http.log == log
    assert {body["pending_post_id"] for body in http.bodies(CREATE)} == {"bot:k1"}
    assert all(marker_key(body["props"]) == "bot:k1" for body in http.bodies(CREATE))


def lost_after(seconds: float) -> Any:
    async def answer(request: httpx.Request) -> httpx.Response:
        await trio.sleep(seconds)
        raise httpx.ReadError("reset")

    return answer


async def test_after_that_it_is_looked_for_first(autojump_clock: trio.testing.MockClock) -> None:
    """When the key has aged the post is found by its marker and not written again."""
    http = FakeHttp({CREATE: [lost_after(26), post("p2")], PAGE: page(post("p1"))})
    assert await create(http) == "p1"
    assert http.log == [CREATE, PAGE]


async def test_not_found_it_is_written_again(autojump_clock: trio.testing.MockClock) -> None:
    """Somebody else's copy of the marker is no proof; then the post is created."""
    forged = page(post("p0", user_id="mallory"), post("p9", key="bot:other"))
    http = FakeHttp({CREATE: [lost_after(26), post("p1")], PAGE: forged})
    assert await create(http) == "p1"
    assert http.log == [CREATE, PAGE, CREATE]


async def test_in_doubt_no_retry_goes_out_without_a_look(autojump_clock: trio.testing.MockClock) -> None:
    """After a doubtful create each further one follows a look: the server may have been restarted in between."""
    http = FakeHttp({CREATE: lost_after(3), PAGE: [page(), page(), page(post("p1"))]})
    assert await create(http) == "p1"
    assert http.log == [CREATE, PAGE, CREATE, PAGE, CREATE, PAGE]


async def test_of_two_the_first_is_taken(autojump_clock: trio.testing.MockClock) -> None:
    """A request that was held up has made another one; the page shows the newest first."""
    http = FakeHttp({PAGE: page(post("second") | {"create_at": 2}, post("first"), post("x", key="other"))})
    assert await create(http, in_doubt=True) == "first"


async def test_a_look_that_fails_tells_nothing(autojump_clock: trio.testing.MockClock) -> None:
    """Whether the earlier try was applied is as unknown as before, whatever the server says of the look."""
    with pytest.raises(MattermostUnavailable) as raised:
        await create(FakeHttp({PAGE: error(500, "api.broken")}), in_doubt=True)
    assert (raised.value.status, raised.value.ambiguous) == (500, True)


async def test_in_a_thread_the_thread_is_looked_through(autojump_clock: trio.testing.MockClock) -> None:
    """A reply in doubt from an earlier run is found in its thread."""
    new = NewPost(ChannelId("chan"), "hello", root_id="root", pending_post_id="bot:k1")
    http = FakeHttp({"GET /posts/root/thread": page(post("root", key=""), post("p1"))})
    assert await create(http, new, in_doubt=True) == "p1"
    assert http.log == ["GET /posts/root/thread"]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(error(403, "api.context.permissions.app_error"), id="403"),
        pytest.param(error(400, "api.post.create_post.root_id.app_error"), id="400"),
        pytest.param(error(500, WAS_DELETED), id="created and deleted meanwhile"),
    ],
)
async def test_a_refusal_is_told_at_once(answer: httpx.Response, autojump_clock: trio.testing.MockClock) -> None:
    """What won't heal is not tried again."""
    http = FakeHttp({CREATE: answer})
    with pytest.raises(MattermostRejected):
        await create(http)
    assert http.log == [CREATE]


@pytest.mark.parametrize(
    ("failure", "ambiguous"),
    [
        pytest.param(error(503, "x.y"), False, id="never stored"),
        pytest.param(httpx.ReadError("x"), True, id="in doubt"),
    ],
)
async def test_patience_ends(failure: Any, ambiguous: bool, autojump_clock: trio.testing.MockClock) -> None:
    """After GIVE_UP_SECONDS the caller is told, and whether the post may be there."""
    http = FakeHttp({CREATE: failure, PAGE: error(503, "x.y")})
    with pytest.raises(MattermostUnavailable) as caught:
        await create(http)
    assert caught.value.ambiguous is ambiguous
    assert trio.current_time() <= GIVE_UP_SECONDS


def test_a_marker_of_ones_own_is_kept() -> None:
    """The outbox may choose the key; other props stay."""
    new = with_marker(
        NewPost(ChannelId("c"), "x", pending_post_id="p", props={"a": 1, "oc_trio": {"k": "row7", "s": 2}})
    )
    assert new.props == {"a": 1, "oc_trio": {"k": "row7", "s": 2}}
    assert with_marker(NewPost(ChannelId("c"), "x", pending_post_id="p", props={"a": 1})).props["oc_trio"] == {"k": "p"}


def test_without_a_key_there_is_no_sure_create() -> None:
    """Forgetting the pending id is a programming error."""
    with pytest.raises(ValueError, match="pending_post_id"):
        with_marker(NewPost(ChannelId("c"), "x"))
