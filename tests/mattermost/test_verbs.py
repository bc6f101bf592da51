"""What each REST method sends and reads, where the embedded server's test does not show it."""

from typing import Any

import httpx
import pytest
import trio

from oc_trio.core.entities import NewPost, SlashCommand
from oc_trio.errors import PayloadError
from oc_trio.ids import ChannelId, CommandId, PostId, TeamId, UserId
from oc_trio.mattermost.rest.pages import PER_PAGE
from tests.mattermost.doubles import FakeHttp, open_api

COMMAND = {"id": "cmd", "team_id": "team", "trigger": "oc", "method": "P", "url": "http://x", "token": "tok"}
TEAM, CHAN = TeamId("team"), ChannelId("chan")


async def test_slash_commands_go_round(autojump_clock: trio.testing.MockClock) -> None:
    """List, get, create, update and delete name the server's fields."""
    http = FakeHttp(
        {
            "GET /commands": [[COMMAND]],
            "GET /commands/cmd": COMMAND,
            "POST /commands": COMMAND,
            "PUT /commands/cmd": COMMAND,
            "DELETE /commands/cmd": {"status": "OK"},
        }
    )
    new = SlashCommand(CommandId(""), TEAM, "oc", url="http://x", auto_complete=True, auto_complete_hint="[text]")
    async with open_api(http) as api:
        (listed,) = await api.commands.list(TEAM)
        assert listed == await api.commands.get(CommandId("cmd")) == await api.commands.create(new)
        await api.commands.update(listed)
        await api.commands.delete(listed.id)
    assert dict(http.requests[0].url.params) == {"team_id": "team", "custom_only": "true"}
    created, updated = http.bodies("POST /commands")[0], http.bodies("PUT /commands/cmd")[0]
    assert (created["trigger"], created["auto_complete_hint"], "id" in created) == ("oc", "[text]", False)
    assert (updated["id"], updated["token"]) == ("cmd", "tok")
    assert "tok" not in repr(listed)


async def test_a_post_sends_only_what_it_has(autojump_clock: trio.testing.MockClock) -> None:
    """Empty fields stay out of the body, NUL is stripped, and a patch of the text leaves the props alone."""
    post = {"id": "p", "channel_id": "chan", "user_id": "bot"}
    http = FakeHttp({"POST /posts": post, "PUT /posts/p/patch": post, "POST /posts/ephemeral": post})
    async with open_api(http) as api:
        await api.posts.create(NewPost(CHAN, "a\0b"))
        await api.posts.patch(PostId("p"), message="c")
        await api.ephemeral(UserId("alice"), NewPost(CHAN, "psst", root_id="r"))
    assert http.bodies("POST /posts") == [{"channel_id": "chan", "message": "ab"}]
    assert http.bodies("PUT /posts/p/patch") == [{"message": "c"}]
    assert http.bodies("POST /posts/ephemeral")[0]["user_id"] == "alice"


async def test_a_dialog_and_the_system(autojump_clock: trio.testing.MockClock) -> None:
    """Dialogs carry their trigger; settings that are no strings are left out."""
    http = FakeHttp(
        {
            "POST /actions/dialogs/open": {"status": "OK"},
            "GET /config/client": {"MaxFileSize": "5", "odd": 7},
            "GET /system/ping": {"status": "OK"},
        }
    )
    async with open_api(http) as api:
        await api.dialogs.open("trig", "http://back", {"title": "T"})
        assert await api.system.client_config() == {"MaxFileSize": "5"}
        assert await api.system.ping() is True
    assert http.bodies("POST /actions/dialogs/open")[0]["trigger_id"] == "trig"


def channels(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [{"id": f"c{number}", "type": "O", "name": "x"} for number in range(start, start + count)]


@pytest.mark.parametrize(
    ("pages", "found"),
    [
        pytest.param([channels(3)], 3, id="one short page"),
        pytest.param([channels(PER_PAGE), channels(5, PER_PAGE)], PER_PAGE + 5, id="two pages"),
        pytest.param([channels(PER_PAGE)], PER_PAGE, id="a server that repeats itself"),
        pytest.param([channels(PER_PAGE + 50)], PER_PAGE + 50, id="a server that gives all at once"),
        pytest.param([[*channels(2), {"id": "z", "type": "?", "name": "x"}]], 2, id="a type from the future"),
    ],
)
async def test_every_channel_is_listed_once(
    pages: list[Any], found: int, autojump_clock: trio.testing.MockClock
) -> None:
    """All pages are read, whatever the server makes of the page number."""
    async with open_api(FakeHttp({"GET /users/me/channels": pages})) as api:
        assert len({channel.id for channel in await api.channels.mine()}) == found


@pytest.mark.parametrize("answer", [{"not": "a list"}, "text", [1, 2]], ids=repr)
async def test_a_list_that_is_none_is_their_fault(answer: Any, autojump_clock: trio.testing.MockClock) -> None:
    """A wrong shape raises PayloadError and nothing else."""
    async with open_api(FakeHttp({"GET /users/me/teams": lambda _: _json(answer)})) as api:
        with pytest.raises(PayloadError):
            await api.teams.mine()


async def test_members_come_page_by_page(autojump_clock: trio.testing.MockClock) -> None:
    """A channel's members are read to the last page, a team's by the same rule."""
    full = [{"user_id": f"u{number}"} for number in range(PER_PAGE)]
    pages = [full, [{"user_id": "last"}]]
    http = FakeHttp({"GET /channels/chan/members": list(pages), "GET /teams/team/members": list(pages)})
    async with open_api(http) as api:
        assert len(await api.channels.members(CHAN)) == PER_PAGE + 1
        assert (await api.teams.members(TEAM))[-1] == "last"


@pytest.mark.parametrize(("status", "is_member"), [(200, True), (404, False)])
async def test_whether_somebody_is_a_member(
    status: int, is_member: bool, autojump_clock: trio.testing.MockClock
) -> None:
    """A row of theirs is a yes, 404 a no."""
    row = httpx.Response(status, json={"channel_id": "chan", "user_id": "u1"})
    async with open_api(FakeHttp({"GET /channels/chan/members/u1": lambda _: row})) as api:
        assert await api.channels.has_member(CHAN, UserId("u1")) is is_member


@pytest.mark.parametrize("answer", [{}, [], None, "yes", {"channel_id": "chan", "user_id": "u2"}], ids=repr)
async def test_a_membership_of_somebody_else_is_no_answer(answer: Any, autojump_clock: trio.testing.MockClock) -> None:
    """Whatever is not about this channel and user raises PayloadError, and is never a yes."""
    async with open_api(FakeHttp({"GET /channels/chan/members/u1": lambda _: _json(answer)})) as api:
        with pytest.raises(PayloadError):
            await api.channels.has_member(CHAN, UserId("u1"))


async def test_a_long_thread_is_read_to_its_end(autojump_clock: trio.testing.MockClock) -> None:
    """Pages of a thread follow each other by the last post, oldest first."""

    def part(*numbers: int, has_next: bool) -> dict[str, Any]:
        posts = {f"p{n}": {"id": f"p{n}", "channel_id": "chan", "user_id": "u", "create_at": n} for n in numbers}
        return {"order": list(posts), "posts": posts, "has_next": has_next}

    http = FakeHttp({"GET /posts/p0/thread": [part(0, 1, 2, has_next=True), part(3, 4, has_next=False)]})
    async with open_api(http) as api:
        assert [post.id for post in await api.posts.thread(PostId("p0"))] == ["p0", "p1", "p2", "p3", "p4"]
        assert http.requests[1].url.params["fromPost"] == "p2"


def _json(answer: Any) -> Any:
    return httpx.Response(200, json=answer)
