"""Cached look-ups: one request, invalidated by time and by events, no invented values."""

import httpx
import pytest
import trio

from oc_trio.core.events import ChannelChanged, TeamJoined, Typed, UserChanged
from oc_trio.errors import MattermostUnavailable
from oc_trio.ids import ChannelId, TeamId, UserId
from oc_trio.mattermost.directory import TTL_SECONDS, Directory
from tests.mattermost.doubles import FakeHttp, error, open_api

ALICE, CHAN = UserId("alice1"), ChannelId("chan")
ROUTES = {
    "GET /users/alice1": {"id": "alice1", "username": "alice"},
    "GET /users/username/alice": {"id": "alice1", "username": "alice"},
    "GET /channels/chan": {"id": "chan", "type": "O", "name": "town"},
    "GET /users/me/teams": [[{"id": "t", "name": "team"}]],
}


async def test_many_who_ask_at_once_cost_one_request(autojump_clock: trio.testing.MockClock) -> None:
    """Fifty posts of one stranger are one look-up."""
    http = FakeHttp(dict(ROUTES))
    async with open_api(http) as api:
        directory = Directory(api)
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(directory.user, ALICE)
    assert http.log == ["GET /users/alice1"]


async def test_facts_grow_old(autojump_clock: trio.testing.MockClock) -> None:
    """After the time to live the server is asked again."""
    http = FakeHttp(dict(ROUTES))
    async with open_api(http) as api:
        directory = Directory(api)
        await directory.channel(CHAN)
        await trio.sleep(TTL_SECONDS - 1)
        await directory.channel(CHAN)
        await trio.sleep(2)
        await directory.channel(CHAN)
    assert len(http.log) == 2


async def test_names_that_are_known(autojump_clock: trio.testing.MockClock) -> None:
    """A name costs no request: it is that of the last look-up, however old, or none."""
    http = FakeHttp(dict(ROUTES))
    async with open_api(http) as api:
        directory = Directory(api)
        assert (directory.cached_name(ALICE), directory.cached_name(CHAN)) == ("", "")
        await directory.user(ALICE)
        await directory.channel(CHAN)
        await trio.sleep(TTL_SECONDS + 1)
        assert (directory.cached_name(ALICE), directory.cached_name(CHAN)) == ("alice", "town")
    assert len(http.log) == 2


async def test_events_make_us_forget(autojump_clock: trio.testing.MockClock) -> None:
    """A changed user, channel or team is asked for again, under every name; other events change nothing."""
    http = FakeHttp(dict(ROUTES))
    async with open_api(http) as api:
        directory = Directory(api)
        for event in (
            Typed(ALICE, CHAN),
            UserChanged(ALICE, "alicia"),
            ChannelChanged(CHAN),
            TeamJoined(ALICE, TeamId("t")),
        ):
            await directory.user(ALICE)
            await directory.username("@Alice")
            await directory.channel(CHAN)
            await directory.teams()
            directory.note(event)
        await directory.teams()
    assert [http.log.count(key) for key in ROUTES] == [2, 2, 2, 2]


async def test_a_failed_look_up_is_not_an_answer(autojump_clock: trio.testing.MockClock) -> None:
    """Failure comes out as an error, and the next caller asks again."""
    http = FakeHttp({"GET /users/alice1": [error(503, "x.y"), ROUTES["GET /users/alice1"]]})
    async with open_api(http) as api:
        directory = Directory(api)
        with pytest.raises(MattermostUnavailable):
            await directory.user(ALICE)
        assert (await directory.user(ALICE)).username == "alice"


async def test_what_changed_while_we_asked_is_asked_again(autojump_clock: trio.testing.MockClock) -> None:
    """An answer that an event may have overtaken is used once and not kept."""
    http = FakeHttp()
    async with open_api(http) as api:
        directory = Directory(api)

        def answer(request: httpx.Request) -> httpx.Response:
            directory.note(UserChanged(ALICE))
            return httpx.Response(200, json=ROUTES["GET /users/alice1"])

        http.routes["GET /users/alice1"] = answer
        await directory.user(ALICE)
        await directory.user(ALICE)
    assert len(http.log) == 2
