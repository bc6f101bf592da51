"""Asking the server about a command's token: together, not too often, and closed when nobody answers."""

from typing import Any

import httpx
import pytest
import trio
from trio.testing import MockClock

from oc_trio.core.entities import SlashCommand
from oc_trio.core.slash import SlashCall
from oc_trio.ids import ChannelId, CommandId, TeamId, UserId
from oc_trio.mattermost.client import Api
from oc_trio.runtime.handlers.token_check import SlashTokenValidator
from tests.mattermost.doubles import FakeHttp, error, open_api

COMMAND = SlashCommand(CommandId("c1"), TeamId("team1"), "oc_status", url="http://gw/cmd", token="tok")
ROW: dict[str, Any] = {
    "id": "c1",
    "team_id": "team1",
    "trigger": "oc_status",
    "method": "P",
    "url": "http://gw/cmd",
    "token": "tok",
}


def row(**changes: object) -> dict[str, Any]:
    return {**ROW, **changes}


def call(token: str = "tok") -> SlashCall:
    return SlashCall(token, TeamId("team1"), ChannelId("c"), UserId("u"), "/oc_status")


async def test_calls_at_the_same_time_share_one_question(autojump_clock: MockClock) -> None:
    """Ten people using a command cost one request."""

    async def slowly(_: httpx.Request) -> httpx.Response:
        await trio.sleep(0.5)
        return httpx.Response(200, json=ROW)

    http, confirmed = FakeHttp({"GET /commands/c1": slowly}), []
    async with open_api(http) as api:
        check = SlashTokenValidator(api)

        async def ask() -> None:
            confirmed.append(await check.confirm(COMMAND, call(), known=True) is not None)

        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(ask)
    assert (confirmed, len(http.log)) == ([True] * 10, 1)


async def test_a_refused_token_is_not_asked_about_again_at_once(autojump_clock: MockClock) -> None:
    """For five seconds the answer is known; other tokens are not concerned."""
    http = FakeHttp({"GET /commands/c1": ROW})
    async with open_api(http) as api:
        check = SlashTokenValidator(api)
        for _ in range(3):
            assert await check.confirm(COMMAND, call("wrong"), known=False) is None
        assert len(http.log) == 1
        assert await check.confirm(COMMAND, call(), known=True) is not None
        await trio.sleep(6)
        assert await check.confirm(COMMAND, call("wrong"), known=False) is None
        assert len(http.log) == 3


@pytest.mark.parametrize(
    ("routes", "vouched"),
    [
        pytest.param({"GET /commands/c1": error(500, "x"), "GET /commands": [[ROW]]}, True, id="the list stands in"),
        pytest.param({"GET /commands/c1": error(500, "x"), "GET /commands": error(403, "x")}, False, id="nobody tells"),
        pytest.param({"GET /commands/c1": row(delete_at=5), "GET /commands": [[]]}, False, id="deleted"),
        pytest.param({"GET /commands/c1": row(url="http://other/")}, False, id="points elsewhere"),
        pytest.param({"GET /commands/c1": row(team_id="team2")}, False, id="another team's"),
        pytest.param({"GET /commands/c1": row(token="")}, False, id="token hidden"),
    ],
)
async def test_only_the_servers_own_record_vouches(
    routes: dict[str, object], vouched: bool, autojump_clock: MockClock
) -> None:
    """Everything that is not exactly our command, alive and with that token, is a no."""
    async with open_api(FakeHttp(routes)) as api:
        assert (await SlashTokenValidator(api).confirm(COMMAND, call(), known=True) is not None) is vouched


async def test_a_server_that_is_slow_is_not_waited_for(autojump_clock: MockClock) -> None:
    """A second for each of the two questions, then no."""

    async def never(_: httpx.Request) -> httpx.Response:
        await trio.sleep_forever()
        raise AssertionError

    async with open_api(FakeHttp({"GET /commands/c1": never, "GET /commands": never})) as api:
        began = trio.current_time()
        assert await SlashTokenValidator(api).confirm(COMMAND, call(), known=True) is None
        assert trio.current_time() - began == pytest.approx(2.0)


async def test_one_who_hangs_up_spoils_nothing(autojump_clock: MockClock) -> None:
    """A caller that goes away while the server is asked does not get the token refused."""

    async def slowly(_: httpx.Request) -> httpx.Response:
        await trio.sleep(0.5)
        return httpx.Response(200, json=ROW)

    async with open_api(FakeHttp({"GET /commands/c1": slowly})) as api:
        check: SlashTokenValidator = SlashTokenValidator(api)
        with trio.move_on_after(0.1):
            await check.confirm(COMMAND, call(), known=True)
        assert await check.confirm(COMMAND, call(), known=True) is not None
        assert isinstance(check.api, Api)
