"""Two gateways with one bot, against the sandbox: both raise the alarm, and neither deletes what the other wrote."""

import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from typing import Any

import trio
from attrs import evolve

from oc_trio.core.entities import User
from oc_trio.core.events import Post
from oc_trio.core.second_gateway import Installation
from oc_trio.ids import ChannelId, PostId, UserId
from oc_trio.mattermost.client import Api
from oc_trio.mattermost.transport import Transport, open_server
from oc_trio.runtime.clock import Clock
from oc_trio.runtime.operator.second_gateway_check import second_gateway_findings
from oc_trio.runtime.process.gateway import Gateway
from oc_trio.runtime.second_gateway import QUIET_MS, SecondGatewayAlarm
from oc_trio.sandbox.http_transport import SandboxTransport
from oc_trio.sandbox.writing import Change
from oc_trio.telemetry.account_status import SecondGateway
from oc_trio.telemetry.health import Health
from oc_trio.telemetry.metrics import Metrics
from tests.journals import empty_journal
from tests.logbook import Logbook
from tests.runtime.harness import ACCOUNT, EPOCH, URL, Harness

NATIVE = {"commands": {"native": True, "callbackUrl": "http://gw.test/command"}}
BOT = User(UserId("bot"), "helper", is_bot=True)
ELSEWHERE = "https://other.example.com/command"


def findings(gateway: Gateway) -> tuple[SecondGateway, ...]:
    return gateway.health.account(ACCOUNT).second_gateway


def posted_without_mark(harness: Harness, text: str = "I am OpenClaw") -> None:
    harness.world.post_as(harness.bot, harness.square, text)


def lines(logbook: Logbook) -> list[str]:
    return [str(event["event"]) for event in logbook.find("second gateway:")]


@asynccontextmanager
async def another_gateway(harness: Harness) -> AsyncGenerator[Gateway, None]:
    """A gateway with the same configuration and a journal of its own, on another machine as it were."""
    assert harness.gateway is not None
    async with empty_journal() as journal:
        journal.now_ms = harness.now_ms
        other = Gateway(harness.gateway.loaded, journal, evolve(harness.gateway.dependencies))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: other.run(with_signals=False))
            await other.ready.wait()
            yield other
            other.stop("the test is over")


async def test_two_gateways_with_one_bot(harness: Harness, logbook: Logbook) -> None:
    """Each sees the other's posts, once in the log, and both answers stay."""
    gateway = await harness.start()
    async with another_gateway(harness) as other:
        for text in ("@helper one", "@helper two"):
            harness.say(text)
            await harness.settled()
        await trio.sleep(5)
        assert len(harness.ours()) == 4
        for one in (gateway, other):
            (finding,) = findings(one)
            assert (finding.sign, finding.count) == ("installation", 2)
            assert finding.channel == harness.square.id
        assert len(lines(logbook)) == 2
        assert all("posts as @helper" in line for line in lines(logbook))
        assert logbook.find("made a post twice") == []
        assert harness.calls("DELETE") == 0
        metrics = gateway.metrics.render().decode()
        assert 'oc_trio_second_gateway_total{account="default",kind="installation"} 2.0' in metrics


async def test_posts_without_a_mark(harness: Harness, logbook: Logbook) -> None:
    """An OpenClaw with the same token is a warning, once, which says that it may be a script."""
    gateway = await harness.start()
    for _ in range(3):
        posted_without_mark(harness)
    await harness.until(lambda: findings(gateway) and findings(gateway)[0].count == 3)
    (event,) = logbook.find("second gateway:")
    assert (event["level"], event["sign"]) == ("warning", "unmarked")
    assert "or a script with its token" in str(event["event"])
    assert harness.answers() == ["I am OpenClaw"] * 3


def test_a_finding_is_over_after_a_quiet_day(logbook: Logbook) -> None:
    """The next sign is logged again; of signs in between only the count and the time are new."""
    now = [EPOCH]
    clock = Clock(lambda: now[0])
    health = Health(clock.now_ms, lambda: 0.0)
    alarm = SecondGatewayAlarm(ACCOUNT, Installation("ours"), lambda: BOT, clock, Metrics(), health)
    post = Post(PostId("p"), ChannelId("c"), UserId("bot"), "hi", create_at=EPOCH)
    for number, pause in enumerate((0, QUIET_MS - 1, QUIET_MS)):
        now[0] += pause
        alarm.examine(evolve(post, id=PostId(f"p{number}")), is_sent=False, is_live=True)
    assert len(lines(logbook)) == 2
    (finding,) = health.account(ACCOUNT).second_gateway
    assert (finding.count, finding.first_at) == (1, now[0])


def test_a_post_counts_once(logbook: Logbook) -> None:
    """A post that an event brought is not counted again by catch-up."""
    clock = Clock(lambda: EPOCH)
    health = Health(clock.now_ms, lambda: 0.0)
    alarm = SecondGatewayAlarm(ACCOUNT, Installation("ours"), lambda: BOT, clock, Metrics(), health)
    post = Post(PostId("p"), ChannelId("c"), UserId("bot"), "hi", create_at=EPOCH)
    for is_live in (True, False, True):
        alarm.examine(post, is_sent=False, is_live=is_live)
    (finding,) = health.account(ACCOUNT).second_gateway
    assert finding.count == 1


def test_the_findings_are_bounded(logbook: Logbook) -> None:
    """Props that name ever new installations fill no memory."""
    clock = Clock(lambda: EPOCH)
    health = Health(clock.now_ms, lambda: 0.0)
    alarm = SecondGatewayAlarm(ACCOUNT, Installation("ours"), lambda: BOT, clock, Metrics(), health)
    for number in range(20):
        props = {"oc_trio": {"k": "a", "i": f"other{number}"}}
        post = Post(PostId(f"p{number}"), ChannelId("c"), UserId("bot"), "hi", create_at=EPOCH, props=props)
        alarm.examine(post, is_sent=False, is_live=True)
    assert [each.post for each in health.account(ACCOUNT).second_gateway] == [f"p{n}" for n in range(12, 20)]
    assert len(lines(logbook)) == 20


async def test_our_own_posts_are_no_alarm(harness: Harness, logbook: Logbook) -> None:
    """Live, after a restart, and with a journal that was restored from a backup of before the answer."""
    await harness.start()
    with closing(sqlite3.connect(":memory:")) as backup:
        harness.journal.backup(backup)
        harness.say("@helper one")
        await harness.settled()
        (mark,) = {post.props["oc_trio"]["i"] for post in harness.ours()}
        await harness.stop()
        backup.backup(harness.journal)
    gateway = await harness.start()
    await harness.settled()
    assert {post.props["oc_trio"]["i"] for post in harness.ours()} == {mark}
    assert findings(gateway) == ()
    assert lines(logbook) == []


async def test_what_openclaw_posted_before_the_move_is_no_alarm(harness: Harness, logbook: Logbook) -> None:
    """Posts from before the very first start say nothing, also where catch-up reads them."""
    posted_without_mark(harness)
    gateway = await harness.start()
    await trio.sleep(700)
    assert findings(gateway) == ()


async def begin_with_commands(harness: Harness) -> Gateway:
    harness.team.roles[harness.bot.id] = "team_user team_admin"
    gateway = await harness.start(NATIVE, gateway={"port": 0})
    await harness.until(lambda: gateway.health.account(ACCOUNT).commands.registered)
    return gateway


def move_commands(harness: Harness) -> None:
    """Somebody with the bot's token points its commands elsewhere, as another gateway does at its start."""
    commands = harness.world.commands
    for command in commands.of_team(harness.team.id):
        body: dict[str, Any] = {"id": command.id, "team_id": command.team_id, "trigger": command.trigger}
        commands.update(harness.world.users.get(harness.bot.id), command.id, {**body, "method": "P", "url": ELSEWHERE})


def urls(harness: Harness) -> set[str]:
    return {command.url for command in harness.world.commands.of_team(harness.team.id)}


async def test_moved_commands_are_taken_back_at_the_audit(harness: Harness, logbook: Logbook) -> None:
    """Within five minutes they lead here again, and the alarm names where they led."""
    gateway = await begin_with_commands(harness)
    move_commands(harness)
    assert urls(harness) == {ELSEWHERE}
    await trio.sleep(301)
    assert urls(harness) == {"http://gw.test/command"}
    (finding,) = findings(gateway)
    assert finding.sign == "commands"
    assert f"{ELSEWHERE} in team town" in finding.text
    assert len(lines(logbook)) == 1
    assert gateway.health.account(ACCOUNT).commands.registered == 10


async def test_two_gateways_do_not_fight_for_ever(harness: Harness, logbook: Logbook) -> None:
    """After three times in a day they are left to the other one, and the status says so; SIGHUP takes them back."""
    gateway = await begin_with_commands(harness)
    gateway.reread = _the_same(gateway)
    for _ in range(6):
        move_commands(harness)
        await trio.sleep(301)
    assert urls(harness) == {ELSEWHERE}
    assert len(logbook.find("slash commands taken back")) == 3
    (note,) = gateway.health.account(ACCOUNT).notes
    assert "taken back 3 times within a day" in note
    assert gateway.health.account(ACCOUNT).commands.registered == 0
    assert len(lines(logbook)) == 1
    await gateway.reload()
    await trio.sleep(5)
    assert urls(harness) == {"http://gw.test/command"}
    assert gateway.health.account(ACCOUNT).notes == ()


async def test_a_changed_callback_url_is_no_alarm(harness: Harness, logbook: Logbook) -> None:
    """The operator moved them: the journal knows where they led."""
    await begin_with_commands(harness)
    await harness.stop()
    moved = {"commands": {"native": True, "callbackUrl": "http://new.test/command"}}
    gateway = await harness.start(moved, gateway={"port": 0})
    await harness.until(lambda: urls(harness) == {"http://new.test/command"})
    assert findings(gateway) == ()


async def test_what_the_doctor_finds(harness: Harness, logbook: Logbook) -> None:
    """Nothing of a gateway alone; another one's posts and moved commands, whether a gateway runs or not."""
    await begin_with_commands(harness)
    await trio.sleep(120)
    harness.say("@helper one")
    await harness.settled()
    assert await doctor_findings(harness) == ()
    await harness.stop()
    theirs = harness.world.post_as(harness.bot, harness.square, "x", props={"oc_trio": {"k": "t", "i": "f00d" * 6}})
    posted_without_mark(harness)
    move_commands(harness)
    another, commands, unmarked = sorted(await doctor_findings(harness))
    assert "installation f00df00d" in another
    assert theirs.id in another
    assert ELSEWHERE in commands
    assert "or a script with its token" in unmarked


async def doctor_findings(harness: Harness) -> tuple[str, ...]:
    async with open_server(URL, None, http_transport=SandboxTransport(harness.world)) as origin:
        api = Api(Transport(origin, lambda: harness.bot.token))
        return await second_gateway_findings(
            api, await api.users.me(), ACCOUNT, await api.teams.mine(), harness.store, harness.now_ms()
        )


def _the_same(gateway: Gateway) -> Any:
    async def reread() -> Any:
        await trio.lowlevel.checkpoint()
        return gateway.loaded

    return reread


async def test_an_edit_of_ours_keeps_the_mark(harness: Harness) -> None:
    """An edit of a post's text leaves its props."""
    await harness.start()
    harness.say("@helper one")
    await harness.settled()
    (post,) = harness.ours()
    before = dict(post.props)
    harness.world.writing.edit(harness.world.users.get(harness.bot.id), post.id, Change(message="changed"))
    assert harness.ours()[0].props["oc_trio"] == before["oc_trio"]
