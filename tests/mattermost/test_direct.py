"""Direct channels: one job per user, the table of attempts and times, cancelling one caller."""

from collections.abc import Awaitable
from typing import cast

import httpx
import pytest
import trio

from oc_trio.core.backoff import DirectRetryPolicy
from oc_trio.errors import MattermostError, MattermostRejected, MattermostUnavailable
from oc_trio.ids import UserId
from oc_trio.mattermost.client import Api
from oc_trio.mattermost.direct import DirectChannels, open_direct_channels
from tests.mattermost.doubles import FakeHttp, error, open_api

KEY = "POST /channels/direct"
BOT, ALICE = UserId("bot"), UserId("alice")
DM = {"id": "dm", "type": "D", "name": "alice__bot"}
LIMITED = httpx.Response(429, text="limit exceeded\n", headers={"Retry-After": "12"})
DOWN = error(503, "api.down")


async def hang(request: httpx.Request) -> httpx.Response:
    await trio.sleep_forever()
    raise AssertionError


def timed(http: FakeHttp, answers: list[object]) -> list[float]:
    """Answer in turn, and write down when each attempt came."""
    times: list[float] = []
    left = list(answers)

    async def answer(request: httpx.Request) -> httpx.Response:
        times.append(round(trio.current_time(), 3))
        given = left.pop(0) if len(left) > 1 else left[0]
        if callable(given):
            given = await cast("Awaitable[object]", given(request))
        if isinstance(given, Exception):
            raise given
        return given if isinstance(given, httpx.Response) else httpx.Response(200, json=given)

    http.routes[KEY] = answer
    return times


@pytest.mark.parametrize(
    ("answers", "random", "times", "outcome"),
    [
        pytest.param([DM], 0.5, [0], None, id="at once"),
        pytest.param([DOWN, DM], 0.0, [0, 1], None, id="5xx once"),
        pytest.param([DOWN], 0.0, [0, 1, 3, 7], MattermostUnavailable, id="5xx for ever, no jitter"),
        pytest.param([DOWN], 1.0, [0, 2, 6, 14], MattermostUnavailable, id="5xx for ever, full jitter"),
        pytest.param([LIMITED, DM], 0.0, [0, 12], None, id="429 with Retry-After"),
        pytest.param([httpx.ConnectError("x"), DM], 0.5, [0, 1.5], None, id="network"),
        pytest.param([hang, DM], 0.0, [0, 31], None, id="attempt times out"),
        pytest.param([error(400, "invalid_user")], 0.0, [0], MattermostRejected, id="400"),
        pytest.param([error(401, "expired")], 0.0, [0], MattermostRejected, id="401"),
        pytest.param([error(403, "no")], 0.0, [0], MattermostRejected, id="403"),
    ],
)
async def test_the_table_of_attempts_and_times(
    answers: list[object],
    random: float,
    times: list[float],
    outcome: type[MattermostError] | None,
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Only what may heal is tried again, at the times of the policy."""
    http = FakeHttp()
    happened = timed(http, answers)
    async with open_api(http) as api, open_direct_channels(api, BOT, random=lambda: random) as direct:
        if outcome is None:
            assert (await direct.channel(ALICE)).id == "dm"
        else:
            with pytest.raises(outcome):
                await direct.channel(ALICE)
    assert happened == [pytest.approx(time, abs=0.05) for time in times]


async def test_callers_share_one_job_and_its_result_is_kept(autojump_clock: trio.testing.MockClock) -> None:
    """Ten callers and an eleventh later cost one request."""
    http = FakeHttp({KEY: [DOWN, DM]})
    async with open_api(http) as api, open_direct_channels(api, BOT, random=lambda: 0.0) as direct:
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(direct.channel, ALICE)
        await direct.channel(ALICE)
    assert http.log == [KEY, KEY]
    assert http.bodies(KEY)[0] == [BOT, ALICE]


async def test_cancelling_one_caller_leaves_the_job(autojump_clock: trio.testing.MockClock) -> None:
    """The one who gives up does not take the answer from the one who stays."""
    http, got = FakeHttp({KEY: [DOWN, DM]}), list[str]()

    async def stay(direct: DirectChannels) -> None:
        got.append((await direct.channel(ALICE)).id)

    async def both(direct: DirectChannels) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stay, direct)
            with trio.move_on_after(0.5):
                await direct.channel(ALICE)

    async with open_api(http) as api, open_direct_channels(api, BOT, random=lambda: 0.0) as direct:
        await both(direct)
    assert got == ["dm"]


async def test_a_failure_is_not_remembered(autojump_clock: trio.testing.MockClock) -> None:
    """The next caller after a refusal asks the server again."""
    http = FakeHttp({KEY: [error(403, "no"), DM]})
    async with open_api(http) as api, open_direct_channels(api, BOT, random=lambda: 0.0) as direct:
        with pytest.raises(MattermostRejected):
            await direct.channel(ALICE)
        assert (await direct.channel(ALICE)).id == "dm"


async def test_closing_the_service_wakes_those_who_wait(autojump_clock: trio.testing.MockClock) -> None:
    """Shutdown in the middle of a wait is told to the caller, who keeps the delivery for the next start."""
    errors: list[str] = []

    async def wait(direct: DirectChannels) -> None:
        try:
            await direct.channel(ALICE)
        except MattermostUnavailable as exc:
            errors.append(str(exc))

    async def serve(api: Api, nursery: trio.Nursery) -> None:
        async with open_direct_channels(api, BOT, retry=DirectRetryPolicy(), random=lambda: 0.0) as direct:
            nursery.start_soon(wait, direct)
            await trio.sleep(0.5)

    async with open_api(FakeHttp({KEY: DOWN})) as api, trio.open_nursery() as nursery:
        await serve(api, nursery)
    assert errors == ["the direct channel was not opened: shutting down"]
