"""A running account: how it looks itself up, what its health shows, and how it survives refusals and lost servers."""

from functools import partial
from pathlib import Path

import httpx
import pytest
import trio
import trio.testing

from oc_trio.agent.scripted import Say
from oc_trio.config.secrets import Secret, SecretRef, SecretSource
from oc_trio.core.backoff import RetryPolicy
from oc_trio.mattermost.client import Api
from oc_trio.mattermost.transport import Transport
from oc_trio.runtime.account.connection import show_state
from oc_trio.runtime.account.login import fetch_own_user
from oc_trio.runtime.account.token import Token
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from oc_trio.telemetry.health import Health
from oc_trio.telemetry.metrics import Metrics
from tests.logbook import Logbook
from tests.mattermost.doubles import FakeHttp, error, open_api
from tests.runtime.harness import ACCOUNT, Harness

EXPIRED = SandboxResponse.json({"id": "api.context.session_expired.app_error", "message": "expired"}, 401)


def put(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


class ServerRefusals:
    """Answers the API with `answer` while `is_refusing`: by default as a server that takes the token no more.

    `times` are those of the refused requests, in seconds; the first `skip` requests pass.
    """

    def __init__(self, harness: Harness, answer: SandboxResponse = EXPIRED) -> None:
        self.is_refusing, self.answer, self.times = False, answer, list[float]()
        self.skip = 0
        harness.faults.before_rules.append(self.refuse)

    async def refuse(self, request: SandboxRequest) -> SandboxResponse | None:
        if self.skip:
            self.skip -= 1
            return None
        if self.is_refusing and request.path.startswith("/api/v4/"):
            self.times.append(trio.current_time())
            return self.answer
        return None


async def test_a_refused_token_is_shown_and_asked_about_slowly(harness: Harness, logbook: Logbook) -> None:
    """The connection ends, the state says why, and nobody knocks every second; an answer waits until it is good."""
    gateway = await harness.start()
    refusals = ServerRefusals(harness)
    refusals.is_refusing = True
    for stream in harness.streams:
        await stream.aclose()
    await trio.sleep(600)
    assert gateway.health.account(ACCOUNT).state == "auth_failed"
    assert 'ws_state{account="default",state="auth_failed"} 1.0' in gateway.metrics.render().decode()
    assert len(refusals.times) < 12
    assert logbook.find("the server refuses the token")
    refusals.is_refusing = False
    await trio.sleep(400)
    assert gateway.health.any_live


async def test_a_token_that_is_rotated_during_a_turn_costs_no_answer(harness: Harness, logbook: Logbook) -> None:
    """For a minute everything is refused: the answer is delivered afterwards, once."""
    await harness.start()
    refusals = ServerRefusals(harness)
    harness.script = [Say("one two three four five six", delay=1.0)]
    question = harness.say("@helper count")
    await trio.sleep(3.0)
    refusals.is_refusing = True
    await trio.sleep(60)
    refusals.is_refusing = False
    await harness.settled(within=900)
    assert harness.answers() == ["one two three four five six"]
    assert await harness.state(question) == "delivered"
    logbook.find("the server refuses the token")


async def test_an_account_that_can_not_be_reached_at_the_start_is_asked_again(
    harness: Harness, logbook: Logbook
) -> None:
    """After the gateway's own look the server goes away: the account waits for it, and is live when it is back."""
    refusals = ServerRefusals(harness, SandboxResponse.text("away", 503))
    refusals.is_refusing, refusals.skip = True, 1

    async def come_back() -> None:
        await trio.sleep(20)
        refusals.is_refusing = False

    harness.nursery.start_soon(come_back)
    gateway = await harness.start()
    assert gateway.health.any_live
    assert logbook.find("the server can't be reached")


async def test_a_stop_is_heard_before_the_server_is_reached(harness: Harness, logbook: Logbook) -> None:
    """A stop ends an account that never reached its server, without a drain."""
    refusals = ServerRefusals(harness)
    refusals.is_refusing, refusals.skip = True, 1

    async def stop_soon() -> None:
        await harness.until(lambda: harness.gateway is not None and refusals.times)
        assert harness.gateway is not None
        assert harness.gateway.health.account(ACCOUNT).state == "auth_failed"
        await harness.stop()
        scope.cancel()

    with trio.CancelScope() as scope:
        harness.nursery.start_soon(stop_soon)
        await harness.start()
    assert logbook.find("the server refuses the token")


@pytest.fixture
def patient_clock() -> trio.testing.MockClock:
    """Jumps when nothing has happened for a moment: a token file is read in a thread."""
    return trio.testing.MockClock(autojump_threshold=0.1)


async def test_a_token_file_that_was_replaced_is_used_at_once(
    patient_clock: trio.testing.MockClock, logbook: Logbook, tmp_path: Path
) -> None:
    """The account does not wait out the slow retry of the old token."""
    file = put(tmp_path / "token", "new-token")
    rotated: list[str] = []
    token = Token(Secret("old-token", SecretRef(SecretSource.FILE, str(file))), {}, rotated.append)
    http, health = FakeHttp(), Health(lambda: 0)

    def me(request: httpx.Request) -> httpx.Response:
        if request.headers["authorization"] != "Bearer new-token":
            return error(401, "api.context.session_expired.app_error")
        return httpx.Response(200, json={"id": "bot", "username": "helper"})

    http.routes["GET /users/me"] = me
    show = partial(show_state, health, Metrics(), ACCOUNT)
    async with open_api(http) as api:
        knocking = Api(Transport(api.transport.server, token.reveal))
        user = await fetch_own_user(ACCOUNT, knocking, token, show, lambda: 0.5, RetryPolicy())
    assert (user.username, rotated, trio.current_time()) == ("helper", ["new-token"], 0.0)
    assert health.account(ACCOUNT).state == "auth_failed"
    assert logbook.find("the token was replaced")


async def test_a_stopped_account_is_no_longer_shown_as_live(harness: Harness) -> None:
    """Neither to people nor to Prometheus."""
    gateway = await harness.start()
    assert 'ws_state{account="default",state="live"} 1.0' in gateway.metrics.render().decode()
    await harness.stop()
    assert 'ws_state{account="default",state="live"} 0.0' in gateway.metrics.render().decode()
    assert gateway.health.account(ACCOUNT).state == "stopped"


async def test_sessions_and_drafts_are_counted_while_they_live(harness: Harness) -> None:
    """The gauges follow the tables."""
    gateway = await harness.start(session={"idleSeconds": 60})
    harness.script = [Say("one two three four", delay=1.0)]
    harness.say("@helper count")
    await trio.sleep(2.0)
    text = gateway.metrics.render().decode()
    assert 'oc_trio_sessions{account="default"} 1.0' in text
    assert 'oc_trio_live_drafts{account="default"} 1.0' in text
    await harness.settled()
    assert 'oc_trio_live_drafts{account="default"} 0.0' in gateway.metrics.render().decode()
