"""Catch-up in the town: what was said while nobody listened is answered once, and what is left out is said aloud."""

from typing import Any

import pytest
import trio

from oc_trio.agent.scripted import Say
from oc_trio.ids import ChannelId
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from tests.runtime.harness import ACCOUNT, Town

DAY = 24 * 3600.0


async def away(_request: SandboxRequest) -> SandboxResponse | None:
    return SandboxResponse.text("away", 503)


async def absent(town: Town, seconds: float) -> None:
    """The gateway is stopped, time goes by, and the server forgets the connection: there is nothing to resume."""
    await town.stop()
    town.world.restart()
    await trio.sleep(seconds)


async def test_what_was_said_while_away_is_answered_once_and_in_order(town: Town) -> None:
    """Across a restart, and not again by the second pass."""
    await town.start()
    await absent(town, 60)
    town.script = lambda request: [Say("re: " + request.messages[-1].text.splitlines()[-1][:40])]
    asked = [town.say(f"@helper number {n}") for n in range(3)]
    await town.start()
    await town.settled()
    await trio.sleep(30)
    assert len(town.answers()) == 3
    assert [await town.state(post) for post in asked] == ["delivered"] * 3


async def test_a_mention_that_was_added_while_away_is_answered_once(town: Town) -> None:
    """A post that was passed over is read again with the words that it has now; not if it was edited too late."""
    await town.start()
    late = town.say("hello from long ago")
    await trio.sleep(290)
    post = town.say("hello all")
    await town.settled()
    await absent(town, 20)
    town.edit(late, "@helper hello from long ago")
    town.edit(post, "hello all, @helper too")
    town.script = [Say("here")]
    for _ in range(2):
        await town.start()
        await town.settled()
        await absent(town, 60)
    assert town.answers() == ["here"]
    assert await town.state(post) == "delivered"


async def test_what_was_said_before_the_first_start_is_not_answered(town: Town) -> None:
    """History is no question."""
    old = town.say("@helper long ago")
    await town.start()
    await town.settled()
    assert town.answers() == []
    assert await town.state(old) == "none"


async def test_news_that_are_all_too_old_are_told_once(town: Town) -> None:
    """Not at every connect from then on."""
    gateway = await town.start({"catchup": {"maxAgeHours": 1}})
    await absent(town, 5)
    town.say("@helper are you there?")
    await trio.sleep(2 * 3600)
    for _ in range(3):
        gateway = await town.start({"catchup": {"maxAgeHours": 1}})
        await town.settled()
        await trio.sleep(90)
        await town.stop()
    assert [text.count("not read while I was away") for text in town.answers()] == [1]
    assert "too old" in town.answers()[0]
    assert 'catchup_capped_total{account="default"}' not in gateway.metrics.render().decode()


async def test_a_channel_that_takes_no_posts_does_not_keep_the_account_from_going_live(town: Town) -> None:
    """The notice waits, the answers elsewhere do not; and the cap is not met again at the next connect."""
    await town.start({"catchup": {"maxAgeHours": 1}})
    await absent(town, 5)
    town.say("@helper are you there?")
    await trio.sleep(2 * 3600)

    async def no_posts(request: SandboxRequest) -> SandboxResponse | None:
        if (request.method, request.path) == ("POST", "/api/v4/posts") and town.square.id.encode() in request.body:
            return SandboxResponse.text("away", 503)
        return None

    town.weather.before_rules.append(no_posts)
    gateway = await town.start({"catchup": {"maxAgeHours": 1}})
    assert gateway.health.any_live
    town.weather.before_rules.clear()
    await town.until(lambda: any("too old" in text for text in town.answers()), within=300)


async def test_too_many_posts_are_cut_and_told(town: Town) -> None:
    """The newest are answered."""
    await town.start({"catchup": {"maxPosts": 2}})
    await absent(town, 60)
    town.script = [Say("here")]
    asked = [town.say(f"@helper {n}") for n in range(4)]
    await town.start({"catchup": {"maxPosts": 2}})
    await town.settled()
    await trio.sleep(30)
    assert [await town.state(post) for post in asked] == ["none", "none", "delivered", "delivered"]
    assert sum("there were too many" in text for text in town.answers()) == 1


async def test_switched_off_nothing_is_read_back(town: Town) -> None:
    """Neither on connect nor by the audit."""
    settings: dict[str, Any] = {"catchup": {"enabled": False}, "connection": {"auditSeconds": 10}}
    await town.start(settings)
    await absent(town, 60)
    asked = town.say("@helper hello?")
    await town.start(settings)
    await trio.sleep(120)
    assert await town.state(asked) == "none"


async def test_a_place_that_was_only_edited_since_is_read_once(town: Town) -> None:
    """An edit moves its channel like a post: the next connect looks there, a later one does not."""
    await town.start()
    town.script = [Say("one two three four", delay=1.0)]
    town.say("@helper go")
    await town.settled()
    reads = []
    for _ in range(3):
        before = town.calls("GET", f"/api/v4/channels/{town.square.id}/posts")
        await absent(town, 1000)
        await town.start()
        await trio.sleep(60)
        reads.append(town.calls("GET", f"/api/v4/channels/{town.square.id}/posts") - before)
    assert reads == [1, 0, 0]
    assert town.answers() == ["one two three four"]


async def test_a_loss_without_an_error_is_found_by_the_audit(town: Town) -> None:
    """The post is answered, and the deaf socket dialled anew."""
    await town.start({"connection": {"auditSeconds": 30}})
    await trio.sleep(20)
    town.world.hub._connections.clear()  # the socket stays open and answers pings, but no event comes any more
    dials = len(town.streams)
    town.script = [Say("found")]
    asked = town.say("@helper do you hear me?")
    await trio.sleep(60)
    assert await town.state(asked) == "delivered"
    assert len(town.streams) == dials + 1
    town.say("@helper and now?")
    await trio.sleep(5)
    assert town.answers() == ["found", "found"]


async def test_an_audit_that_meets_an_outage_ends_nothing(town: Town) -> None:
    """Refusals and outages are the connection's to show; the account lives on and audits again."""
    gateway = await town.start({"connection": {"auditSeconds": 20}})
    trouble = [SandboxResponse.text("away", 503), SandboxResponse.json({"id": "x", "message": "no"}, 403)]

    async def no_list(request: SandboxRequest) -> SandboxResponse | None:
        if request.path.endswith("/channels") and trouble:
            return trouble.pop(0)
        return None

    await trio.sleep(15)
    town.weather.before_rules.append(no_list)
    await trio.sleep(100)
    assert trouble == []
    assert "account_restarts_total{" not in gateway.metrics.render().decode()
    assert gateway.health.any_live


async def test_a_new_channels_first_post_is_not_lost_to_a_fast_clock(town: Town) -> None:
    """Our clock is ahead of the server's when the channel appears, and the connection drops before its first post."""
    await town.start()
    await trio.sleep(40)
    channel = town.direct()
    await trio.sleep(0.5)
    marks = {mark.channel_id: mark.create_at for mark in await town.store.watermarks.all(ACCOUNT)}
    assert marks[ChannelId(channel.id)] <= town.now_ms() - 60_000
    await absent(town, 1)
    town.script = [Say("hello")]
    asked = town.say("hi", channel=channel)
    await trio.sleep(1200)
    await town.start()
    await town.settled()
    assert await town.state(asked) == "delivered"


async def test_polling_counts_no_connections(town: Town) -> None:
    """The same passes serve where there is no websocket."""
    gateway = await town.start({"connection": {"mode": "poll"}})
    town.script = [Say("by poll")]
    town.say("@helper hello")
    await town.settled()
    await trio.sleep(60)
    assert town.answers() == ["by poll"]
    assert "ws_resume_total{" not in gateway.metrics.render().decode()


async def test_a_second_pass_that_fails_is_let_go(town: Town) -> None:
    """The next connect does it all again."""
    gateway = await town.start()
    town.weather.before_rules.append(away)
    await trio.sleep(12)
    town.weather.before_rules.clear()
    await trio.sleep(60)
    assert "account_restarts_total{" not in gateway.metrics.render().decode()
    assert gateway.health.any_live


async def test_a_channel_that_refuses_the_notice_ends_nothing(town: Town) -> None:
    """The operator reads it in the log."""
    await town.start({"catchup": {"maxAgeHours": 1}})
    await absent(town, 5)
    town.say("@helper are you there?")
    await trio.sleep(2 * 3600)

    async def refuse(request: SandboxRequest) -> SandboxResponse | None:
        if (request.method, request.path) == ("POST", "/api/v4/posts"):
            return SandboxResponse.json({"id": "api.context.permissions.app_error", "message": "no"}, 403)
        return None

    town.weather.before_rules.append(refuse)
    gateway = await town.start({"catchup": {"maxAgeHours": 1}})
    await trio.sleep(30)
    assert gateway.health.any_live
    assert town.answers() == []


@pytest.mark.slow
async def test_a_start_asks_for_channels_with_news_only(town: Town) -> None:
    """In a thousand channels, all used lately: a first start, and one after an absence, need few requests."""
    channels = [town.world.create_channel(town.team, f"c{n}", town.alice, town.bot) for n in range(1000)]
    await town.start()
    await trio.sleep(90)
    assert town.calls("GET") < 40
    assert town.calls("GET", "/posts") == 0
    await absent(town, 60)
    town.script = [Say("here")]
    asked = [town.say("@helper hi", channel=channel) for channel in channels[:5]]
    before = town.calls("GET")
    await town.start()
    await town.settled()
    await trio.sleep(90)
    assert town.calls("GET") - before < 60
    assert [await town.state(post) for post in asked] == ["delivered"] * 5
