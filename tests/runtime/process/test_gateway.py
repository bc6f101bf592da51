"""The running gateway: drains and aborts, restarts what failed, and starts or ends with a sentence that says why."""

import ssl
import traceback
from random import Random
from typing import Any

import httpx
import pytest
import trio

from oc_trio.agent.scripted import Say
from oc_trio.config.document import Document
from oc_trio.config.load import build
from oc_trio.errors import MattermostRejected, MattermostUnavailable, OcTrioError
from oc_trio.runtime.account.dependencies import Dependencies
from oc_trio.runtime.clock import Clock
from oc_trio.runtime.process.gateway import Gateway
from oc_trio.sandbox.http_transport import SandboxTransport
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from tests.logbook import Logbook
from tests.runtime.harness import ACCOUNT, URL, Harness

WORDS = "one two three four five six seven eight nine ten"
SLOW = [Say(WORDS, delay=1.0)]


async def drained(harness: Harness) -> float:
    """Stop the gateway; how long that took."""
    began = trio.current_time()
    await harness.stop()
    return trio.current_time() - began


# the drain


async def test_a_turn_finishes_within_the_budget(harness: Harness) -> None:
    """The answer is complete before the gateway has ended."""
    await harness.start(gateway={"drainSeconds": 60})
    harness.script = SLOW
    question = harness.say("@helper count")
    await trio.sleep(3.0)
    assert 0 < await drained(harness) < 20
    assert harness.answers() == [WORDS]
    assert await harness.state(question) == "delivered"


async def test_a_turn_beyond_the_budget_goes_on_after_the_restart_in_the_same_post(harness: Harness) -> None:
    """Its draft is marked meanwhile, and there is one post in the end."""
    await harness.start(gateway={"drainSeconds": 2})
    harness.script = SLOW
    question = harness.say("@helper count")
    await trio.sleep(3.0)
    assert await drained(harness) < 15
    [draft] = harness.ours()
    assert "interrupted" in draft.message
    assert await harness.state(question) == "open"
    await harness.start()
    await harness.settled()
    [answer] = harness.ours()
    assert (answer.id, answer.message) == (draft.id, WORDS)
    assert await harness.state(question) == "delivered"


async def test_what_is_said_during_the_drain_is_answered_after_the_restart(harness: Harness) -> None:
    """Intake goes on, into the journal only."""
    await harness.start(gateway={"drainSeconds": 60})
    harness.script = SLOW
    harness.say("@helper count")
    await trio.sleep(2.0)
    assert harness.gateway is not None
    harness.gateway.stop("a test")
    await trio.sleep(1.0)
    late = harness.say("@helper and me?")
    await trio.sleep(1.0)
    assert await harness.state(late) == "open"
    await harness.stop()
    assert len(harness.ours()) == 1
    harness.script = [Say("and you")]
    await harness.start()
    await harness.settled()
    assert harness.answers() == [WORDS, "and you"]


async def test_a_drain_ends_although_the_server_is_away(harness: Harness) -> None:
    """Budget, seal and the write in flight are all it may take."""
    await harness.start(gateway={"drainSeconds": 5})
    harness.script = SLOW
    question = harness.say("@helper count")
    await trio.sleep(3.0)

    async def hang(_request: SandboxRequest) -> SandboxResponse | None:
        await trio.sleep_forever()
        return None

    harness.faults.before_rules.append(hang)
    assert await drained(harness) <= 5 + 10 + 20
    harness.faults.before_rules.clear()
    assert await harness.state(question) == "open"
    await harness.start()
    await harness.settled()
    assert harness.answers() == [WORDS]


async def test_stopping_twice_is_stopping_once(harness: Harness) -> None:
    """The first wish counts."""
    gateway = await harness.start()
    gateway.stop("one")
    gateway.stop("two")
    await harness.stop()
    assert gateway.health.phase == "stopped"
    assert [health.state for health in gateway.health.accounts] == ["stopped"]


async def test_an_idle_gateway_stops_at_once_and_saves_where_to_resume(harness: Harness) -> None:
    """The next start asks the server for what came meanwhile."""
    await harness.start()
    assert await drained(harness) < 3
    saved = await harness.store.resume.load(ACCOUNT)
    assert saved is not None
    assert saved.connection_id
    harness.script = [Say("here I am")]
    harness.say("@helper are you there?")
    await harness.start()
    await harness.settled()
    assert harness.answers() == ["here I am"]


async def test_an_abort_loses_nothing(harness: Harness) -> None:
    """Ended where it stands, the turn goes on with the next start, in one post."""
    gateway = await harness.start()
    harness.script = SLOW
    harness.say("@helper count")
    await trio.sleep(4.0)
    gateway.abort()
    await trio.sleep(30.0)
    assert gateway.health.phase == "stopped"
    await harness.start()
    await harness.settled()
    assert harness.answers() == [WORDS]


async def test_polling_drains_the_same_way(harness: Harness) -> None:
    """Without a websocket there is no resume point, only the watermarks."""
    await harness.start(connection_mode())
    harness.script = SLOW
    harness.say("@helper count")
    await trio.sleep(5.0)
    await drained(harness)
    assert harness.answers() == [WORDS]
    harness.say("@helper again")
    harness.script = [Say("yes")]
    await harness.start(connection_mode())
    await harness.settled()
    assert harness.answers() == [WORDS, "yes"]


def connection_mode() -> dict[str, Any]:
    return {"connection": {"mode": "poll"}}


# an account's failure


async def test_an_account_that_fails_is_started_again(harness: Harness, logbook: Logbook) -> None:
    """A mistake of the program ends the account, not the gateway; the message is answered after the restart."""
    gateway = await harness.start()
    fails = [True, True]

    async def mistake(request: SandboxRequest) -> SandboxResponse | None:
        if fails and "/users/me/channels" in request.path:
            fails.pop()
            raise LookupError("a mistake in the program")
        return None

    harness.faults.before_rules.append(mistake)
    await harness.streams[-1].aclose()
    harness.script = [Say("at last")]
    question = harness.say("@helper hello")
    await harness.until(harness.answers, within=120)
    await harness.settled()
    assert harness.answers()[-1] == "at last"
    assert await harness.state(question) == "delivered"
    assert 'account_restarts_total{account="default"} 2.0' in gateway.metrics.render().decode()
    failures = logbook.find("account failed")
    assert len(failures) == 2
    assert all("LookupError" in "".join(traceback.format_exception(line["exc_info"])) for line in failures)
    assert gateway.health.account(ACCOUNT).is_live
    assert gateway.health.stuck_parts() == ()


async def test_a_stop_is_heard_while_an_account_waits_for_its_restart(harness: Harness, logbook: Logbook) -> None:
    """The pause between two tries is no part of the drain."""
    await harness.start()

    async def mistake(request: SandboxRequest) -> SandboxResponse | None:
        if "/users/me/channels" in request.path:
            raise LookupError("a mistake in the program")
        return None

    harness.faults.before_rules.append(mistake)
    await harness.streams[-1].aclose()
    await trio.sleep(40.0)
    assert await drained(harness) < 3
    assert logbook.find("account failed")


async def test_a_post_that_the_program_fails_at_is_passed_over(harness: Harness, logbook: Logbook) -> None:
    """The account lives on, and answers what comes next; a later look does not meet the post again."""
    gateway = await harness.start()

    async def mistake(request: SandboxRequest) -> SandboxResponse | None:
        if harness.bob.id in request.path:
            raise LookupError("a mistake in the program")
        return None

    harness.faults.before_rules.append(mistake)
    odd = harness.say("@helper this breaks you", by=harness.bob)
    await trio.sleep(120)
    question = harness.say("@helper hello")
    harness.script = [Say("hello")]
    await trio.sleep(60)
    assert await harness.state(question) == "delivered"
    assert await harness.state(odd) == "none"
    assert gateway.health.any_live
    logged = logbook.find("a defect failed one of many")
    # Taking it in, and then finding out whether its author is to be told.
    assert [(line["post"], line["failed"]) for line in logged] == [(odd.id, "event"), (odd.id, "message")]
    assert 'account_restarts_total{account="default"}' not in gateway.metrics.render().decode()


# progress


async def test_a_live_connection_keeps_its_promise_and_a_lost_one_makes_none(harness: Harness) -> None:
    """Ten quiet minutes and ten minutes without a server are both in order."""
    gateway = await harness.start()
    await trio.sleep(600)
    assert gateway.health.stuck_parts() == ()

    async def down(_request: SandboxRequest) -> SandboxResponse | None:
        return SandboxResponse.text("away", 503)

    harness.faults.before_rules.append(down)
    for stream in harness.streams:
        await stream.aclose()
    await trio.sleep(600)
    assert gateway.health.stuck_parts() == ()
    harness.faults.before_rules.clear()
    await trio.sleep(120)
    assert gateway.health.any_live


# the start


async def ends_with(harness: Harness, **mattermost: Any) -> BaseException:
    """Start a gateway on its own; the error that it ends with."""
    values = {
        "channels": {
            "mattermost": {
                "baseUrl": URL,
                "botToken": harness.bot.token,
                "network": {"dangerouslyAllowPrivateNetwork": True},
                **mattermost,
            }
        },
        "agents": {"defaults": {"model": {"primary": "double/script"}}},
        "models": {"providers": {"double": {"api": "scripted", "models": ["script"]}}},
    }
    dependencies = Dependencies(
        Clock(harness.now_ms, Random(1)),
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        lambda _url: SandboxTransport(harness.world),
    )
    gateway = Gateway(build(Document(values), {}), harness.journal, dependencies)
    with pytest.raises((OcTrioError, ExceptionGroup)) as raised, trio.fail_after(120):  # noqa: ASYNC401 - either may come
        await gateway.run(with_signals=False)
    problem: BaseException = raised.value
    while isinstance(problem, BaseExceptionGroup):
        problem = problem.exceptions[0]
    return problem


async def test_a_refused_token_ends_the_start_in_words(harness: Harness) -> None:
    """Where no account can be served, going on would only hide the mistake."""
    problem = await ends_with(harness, botToken="wrong-token")
    assert isinstance(problem, MattermostRejected)
    assert "refuses the token of account default" in str(problem)
    assert "wrong-token" not in str(problem)


@pytest.mark.parametrize(
    "answer",
    [
        SandboxResponse.text("<html><title>Our wiki</title></html>", 404),
        SandboxResponse.text("<html><title>Our wiki</title></html>", 200),
        SandboxResponse.text("<html><title>Sign in</title></html>", 401),
    ],
)
async def test_something_else_at_the_address_ends_the_start_in_words(harness: Harness, answer: SandboxResponse) -> None:
    """It is no refusal of the token, after which a service manager would give up: a proxy's page goes away again."""

    async def foreign(_request: SandboxRequest) -> SandboxResponse | None:
        return answer

    harness.faults.before_rules.append(foreign)
    problem = await ends_with(harness)
    assert isinstance(problem, MattermostUnavailable)
    assert str(problem).startswith(f"{URL}: what answers there is not Mattermost (GET /users/me: ")
    assert "baseUrl is the server's address, without team or channel" in str(problem)


async def test_a_server_that_is_away_ends_the_start_in_words(harness: Harness) -> None:
    """The service manager tries again."""

    async def down(_request: SandboxRequest) -> SandboxResponse | None:
        raise httpx.ConnectError("connection refused")

    harness.faults.before_rules.append(down)
    problem = await ends_with(harness)
    assert isinstance(problem, MattermostUnavailable)
    assert f"{URL} can't be reached" in str(problem)
