"""Catch-up: posts that came while the gateway was down are answered once, and those left out are reported."""

from typing import Any

import pytest
import trio

from oc_trio.agent.scripted import Say
from oc_trio.ids import ChannelId
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from tests.runtime.harness import ACCOUNT, Harness

DAY = 24 * 3600.0


async def away(_request: SandboxRequest) -> SandboxResponse | None:
    return SandboxResponse.text("away", 503)


async def absent(harness: Harness, seconds: float) -> None:
    """The gateway is stopped, time goes by, and the server forgets the connection: there is nothing to resume."""
    await harness.stop()
    harness.world.restart()
    await trio.sleep(seconds)


async def test_what_was_said_while_away_is_answered_once_and_in_order(harness: Harness) -> None:
    """Across a restart, and not again by the second pass."""
    await harness.start()
    await absent(harness, 60)
    harness.script = lambda request: [Say("re: " + request.messages[-1].text.splitlines()[-1][:40])]
    questions = [harness.say(f"@helper number {n}") for n in range(3)]
    await harness.start()
    await harness.settled()
    await trio.sleep(30)
    assert len(harness.answers()) == 3
    assert [await harness.state(post) for post in questions] == ["delivered"] * 3


async def test_a_mention_that_was_added_while_away_is_answered_once(harness: Harness) -> None:
    """A post that was passed over is read again with the words that it has now; not if it was edited too late."""
    await harness.start()
    late = harness.say("hello from long ago")
    await trio.sleep(290)
    post = harness.say("hello all")
    await harness.settled()
    await absent(harness, 20)
    harness.edit(late, "@helper hello from long ago")
    harness.edit(post, "hello all, @helper too")
    harness.script = [Say("here")]
    for _ in range(2):
        await harness.start()
        await harness.settled()
        await absent(harness, 60)
    assert harness.answers() == ["here"]
    assert await harness.state(post) == "delivered"


async def test_what_was_said_before_the_first_start_is_not_answered(harness: Harness) -> None:
    """Posts from before are recorded as ignored, not as refused; an edit of one doesn't wake the bot either."""
    old = harness.say("@helper long ago")
    await harness.start()
    await harness.settled()
    assert harness.answers() == []
    assert await harness.state(old) == "none"
    harness.say("hello")  # for the second pass to read the channel, a little of its past included
    await trio.sleep(30)
    decision = await harness.store.admission.decision(ACCOUNT, old.id)
    assert decision is not None
    assert (decision.decision, decision.reason) == ("ignore", "before_first_start")
    harness.edit(old, "@helper not so long ago")
    await harness.settled()
    await absent(harness, 20)
    await harness.start()
    await harness.settled()
    assert (harness.answers(), await harness.state(old)) == ([], "none")


@pytest.mark.parametrize("ends", ["stop", "crash"])
async def test_what_was_said_before_the_first_start_is_not_answered_after_a_restart(
    harness: Harness, ends: str
) -> None:
    """Somebody writes while nobody listens, so that the channel is read, a little of its past included; of what came
    after the first start every mention is answered.
    """
    harness.script = [Say("here")]
    old = harness.say("@helper are you new?")
    await harness.start()
    await (harness.crash() if ends == "crash" else harness.stop())
    harness.world.restart()
    await trio.sleep(20)
    harness.say("hello")
    question = harness.say("@helper hello?")
    for _ in range(2):
        await harness.start()
        await harness.settled()
        await absent(harness, 20)
        harness.say("hello again")
    assert harness.answers() == ["here"]
    assert (await harness.state(old), await harness.state(question)) == ("none", "delivered")


async def test_news_that_are_all_too_old_are_told_once(harness: Harness) -> None:
    """Not at every connect from then on."""
    gateway = await harness.start({"catchup": {"maxAgeHours": 1}})
    await absent(harness, 5)
    harness.say("@helper are you there?")
    await trio.sleep(2 * 3600)
    for _ in range(3):
        gateway = await harness.start({"catchup": {"maxAgeHours": 1}})
        await harness.settled()
        await trio.sleep(90)
        await harness.stop()
    assert [text.count("not read while I was away") for text in harness.answers()] == [1]
    assert "too old" in harness.answers()[0]
    assert 'catchup_capped_total{account="default"}' not in gateway.metrics.render().decode()


async def test_a_channel_that_takes_no_posts_does_not_keep_the_account_from_going_live(harness: Harness) -> None:
    """The notice waits, the answers elsewhere do not; and the cap is not met again at the next connect."""
    await harness.start({"catchup": {"maxAgeHours": 1}})
    await absent(harness, 5)
    harness.say("@helper are you there?")
    await trio.sleep(2 * 3600)

    async def no_posts(request: SandboxRequest) -> SandboxResponse | None:
        if (request.method, request.path) == ("POST", "/api/v4/posts") and harness.square.id.encode() in request.body:
            return SandboxResponse.text("away", 503)
        return None

    harness.faults.before_rules.append(no_posts)
    gateway = await harness.start({"catchup": {"maxAgeHours": 1}})
    assert gateway.health.any_live
    harness.faults.before_rules.clear()
    await harness.until(lambda: any("too old" in text for text in harness.answers()), within=300)


async def test_too_many_posts_are_cut_and_told(harness: Harness) -> None:
    """The newest are answered."""
    await harness.start({"catchup": {"maxPosts": 2}})
    await absent(harness, 60)
    harness.script = [Say("here")]
    questions = [harness.say(f"@helper {n}") for n in range(4)]
    await harness.start({"catchup": {"maxPosts": 2}})
    await harness.settled()
    await trio.sleep(30)
    assert [await harness.state(post) for post in questions] == ["none", "none", "delivered", "delivered"]
    assert sum("there were too many" in text for text in harness.answers()) == 1


async def test_switched_off_nothing_is_read_back(harness: Harness) -> None:
    """Neither on connect nor by the audit."""
    settings: dict[str, Any] = {"catchup": {"enabled": False}, "connection": {"auditSeconds": 10}}
    await harness.start(settings)
    await absent(harness, 60)
    question = harness.say("@helper hello?")
    await harness.start(settings)
    await trio.sleep(120)
    assert await harness.state(question) == "none"


async def test_a_place_that_was_only_edited_since_is_read_once(harness: Harness) -> None:
    """An edit moves its channel like a post: the next connect looks there, a later one does not."""
    await harness.start()
    harness.script = [Say("one two three four", delay=1.0)]
    harness.say("@helper go")
    await harness.settled()
    reads = []
    for _ in range(3):
        before = harness.calls("GET", f"/api/v4/channels/{harness.square.id}/posts")
        await absent(harness, 1000)
        await harness.start()
        await trio.sleep(60)
        reads.append(harness.calls("GET", f"/api/v4/channels/{harness.square.id}/posts") - before)
    assert reads == [1, 0, 0]
    assert harness.answers() == ["one two three four"]


async def test_a_loss_without_an_error_is_found_by_the_audit(harness: Harness) -> None:
    """The post is answered, and the deaf socket dialled anew."""
    await harness.start({"connection": {"auditSeconds": 30}})
    await trio.sleep(20)
    harness.world.hub._connections.clear()  # the socket stays open and answers pings, but no event comes any more
    dials = len(harness.streams)
    harness.script = [Say("found")]
    question = harness.say("@helper do you hear me?")
    await trio.sleep(60)
    assert await harness.state(question) == "delivered"
    assert len(harness.streams) == dials + 1
    harness.say("@helper and now?")
    await trio.sleep(5)
    assert harness.answers() == ["found", "found"]


async def test_an_audit_that_meets_an_outage_ends_nothing(harness: Harness) -> None:
    """Refusals and outages are the connection's to show; the account lives on and audits again."""
    gateway = await harness.start({"connection": {"auditSeconds": 20}})
    trouble = [SandboxResponse.text("away", 503), SandboxResponse.json({"id": "x", "message": "no"}, 403)]

    async def no_list(request: SandboxRequest) -> SandboxResponse | None:
        if request.path.endswith("/channels") and trouble:
            return trouble.pop(0)
        return None

    await trio.sleep(15)
    harness.faults.before_rules.append(no_list)
    await trio.sleep(100)
    assert trouble == []
    assert "account_restarts_total{" not in gateway.metrics.render().decode()
    assert gateway.health.any_live


async def test_a_new_channels_first_post_is_not_lost_to_a_fast_clock(harness: Harness) -> None:
    """Our clock is ahead of the server's when the channel appears, and the connection drops before its first post."""
    await harness.start()
    await trio.sleep(40)
    channel = harness.direct()
    await trio.sleep(0.5)
    marks = {mark.channel_id: mark.create_at for mark in await harness.store.watermarks.all(ACCOUNT)}
    assert marks[ChannelId(channel.id)] <= harness.now_ms() - 60_000
    await absent(harness, 1)
    harness.script = [Say("hello")]
    question = harness.say("hi", channel=channel)
    await trio.sleep(1200)
    await harness.start()
    await harness.settled()
    assert await harness.state(question) == "delivered"


async def test_polling_counts_no_connections(harness: Harness) -> None:
    """The same passes serve where there is no websocket."""
    gateway = await harness.start({"connection": {"mode": "poll"}})
    harness.script = [Say("by poll")]
    harness.say("@helper hello")
    await harness.settled()
    await trio.sleep(60)
    assert harness.answers() == ["by poll"]
    assert "ws_resume_total{" not in gateway.metrics.render().decode()


async def test_a_second_pass_that_fails_is_let_go(harness: Harness) -> None:
    """The next connect does it all again."""
    gateway = await harness.start()
    harness.faults.before_rules.append(away)
    await trio.sleep(12)
    harness.faults.before_rules.clear()
    await trio.sleep(60)
    assert "account_restarts_total{" not in gateway.metrics.render().decode()
    assert gateway.health.any_live


async def test_a_channel_that_refuses_the_notice_ends_nothing(harness: Harness) -> None:
    """The operator reads it in the log."""
    await harness.start({"catchup": {"maxAgeHours": 1}})
    await absent(harness, 5)
    harness.say("@helper are you there?")
    await trio.sleep(2 * 3600)

    async def refuse(request: SandboxRequest) -> SandboxResponse | None:
        if (request.method, request.path) == ("POST", "/api/v4/posts"):
            return SandboxResponse.json({"id": "api.context.permissions.app_error", "message": "no"}, 403)
        return None

    harness.faults.before_rules.append(refuse)
    gateway = await harness.start({"catchup": {"maxAgeHours": 1}})
    await trio.sleep(30)
    assert gateway.health.any_live
    assert harness.answers() == []


@pytest.mark.slow
async def test_a_start_asks_for_channels_with_news_only(harness: Harness) -> None:
    """In a thousand channels, all used lately: a first start, and one after an absence, need few requests."""
    channels = [harness.world.create_channel(harness.team, f"c{n}", harness.alice, harness.bot) for n in range(1000)]
    await harness.start()
    await trio.sleep(90)
    assert harness.calls("GET") < 40
    assert harness.calls("GET", "/posts") == 0
    await absent(harness, 60)
    harness.script = [Say("here")]
    questions = [harness.say("@helper hi", channel=channel) for channel in channels[:5]]
    before = harness.calls("GET")
    await harness.start()
    await harness.settled()
    await trio.sleep(90)
    assert harness.calls("GET") - before < 60
    assert [await harness.state(post) for post in questions] == ["delivered"] * 5
