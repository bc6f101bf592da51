"""The listener and its token: a refused one is recognised, retried slowly, and checked at once after a 401."""

import httpx
import pytest
import trio
from attrs import define, evolve

from oc_trio.core.connection import ConnectionState
from oc_trio.errors import MattermostRejected
from oc_trio.mattermost.client import Api
from oc_trio.mattermost.listener import run_poller
from oc_trio.mattermost.transport import Transport
from tests.mattermost.doubles import FakeHttp, FakeSockets, Peer, error, open_api
from tests.mattermost.listening import ME, HookRecorder, go_on_at_one, listen


async def test_a_refused_token_is_told_apart_and_tried_slowly(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """Silence and a drop after the upgrade, confirmed by a 401 from REST, end in ever slower tries without a dial."""

    async def drop(peer: Peer) -> None:
        await trio.sleep(5)

    http = FakeHttp({"GET /users/me": [ME, error(401, "api.context.session_expired.app_error")]})
    recorder, sockets = HookRecorder(), FakeSockets(nursery, [drop])
    async with open_api(http) as api:
        await listen(recorder, sockets, api, seconds=140)
    assert recorder.lines == ["AUTH_FAILED"] * 3
    assert len(sockets.dials) == 1


@define(eq=False)
class Rotating(HookRecorder):
    """Puts another token in place once the old one was refused, as reading its file again does."""

    token: str = "old"

    async def _state(self, link: ConnectionState, detail: str) -> None:
        await super()._state(link, detail)
        if self.lines[-1:] == ["AUTH_FAILED"]:
            self.token = "new"

    def answer(self, request: httpx.Request) -> httpx.Response:
        is_new = request.headers["Authorization"] == "Bearer new"
        return httpx.Response(200, json=ME) if is_new else error(401, "api.context.session_expired.app_error")


async def test_another_token_is_tried_at_once(autojump_clock: trio.testing.MockClock, nursery: trio.Nursery) -> None:
    """The long pauses are for a token that was refused, not for the one that took its place."""
    recorder, sockets = Rotating(), FakeSockets(nursery, [go_on_at_one])
    async with open_api(FakeHttp({"GET /users/me": recorder.answer})) as api:
        await listen(recorder, sockets, Api(Transport(api.transport.server, lambda: recorder.token)), seconds=5)
    assert recorder.lines == ["AUTH_FAILED", "fresh", "LIVE"]


async def test_a_poller_tries_another_token_at_once(autojump_clock: trio.testing.MockClock) -> None:
    """With polling, a rotated token is tried at once as well."""
    recorder = Rotating()

    async def connected(_resumed: bool) -> None:
        await trio.lowlevel.checkpoint()
        if recorder.token == "old":
            raise MattermostRejected("no", status=401, code="api.context.session_expired.app_error")
        recorder.lines.append("polled")

    hooks = evolve(recorder.hooks(), on_connected=connected)
    with trio.move_on_after(4):
        await run_poller(hooks, interval=5.0, random=lambda: 0.5, token=lambda: recorder.token)
    assert recorder.lines == ["AUTH_FAILED", "polled", "LIVE"]


EXPIRED = "api.context.session_expired.app_error"


async def after_a_refusal(http: FakeHttp, nursery: trio.Nursery) -> list[str]:
    """What the recorder has of twenty seconds in which a request of somebody else's was refused with 401."""
    recorder, sockets = HookRecorder(), FakeSockets(nursery, [go_on_at_one])
    async with open_api(http) as api, trio.open_nursery() as own:
        own.start_soon(listen, recorder, sockets, api)
        await trio.sleep(5)
        with pytest.raises(MattermostRejected):
            await api.teams.mine()
    return recorder.lines


async def test_a_refused_request_has_the_token_looked_at(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """A token that is revoked leaves its websocket open; the next request that meets a 401 tells at once."""
    http = FakeHttp({"GET /users/me": [ME, error(401, EXPIRED)], "GET /users/me/teams": error(401, EXPIRED)})
    assert await after_a_refusal(http, nursery) == ["fresh", "LIVE", "AUTH_FAILED"]


async def test_a_401_that_is_not_about_the_token_changes_nothing(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """The look finds the token in order; one refusal causes one look, not a row of them."""
    http = FakeHttp({"GET /users/me": ME, "GET /users/me/teams": error(401, "api.context.mfa_required.app_error")})
    assert await after_a_refusal(http, nursery) == ["fresh", "LIVE"]
    assert http.log == ["GET /users/me", "GET /users/me/teams", "GET /users/me"]
