"""Edits that land after the final text although they were sent before it."""

import json
from random import Random
from typing import Never

import httpx
import pytest
import trio

from oc_trio.agent.scripted import Pause, Say
from oc_trio.core.backoff import RetryPolicy
from oc_trio.ids import PostId, UserId
from oc_trio.runtime.clock import Clock
from oc_trio.runtime.delivery.delivery import Delivery
from oc_trio.runtime.delivery.late_edits import LateEditGuard
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from oc_trio.sandbox.writing import Change
from oc_trio.telemetry.metrics import Metrics
from tests.runtime.harness import Harness


def loses_one_edit(harness: Harness, seconds: float) -> list[str]:
    """The first edit's answer is lost, and the edit lands `seconds` later; returns its text once it was sent."""
    sent: list[str] = []

    async def lose(request: SandboxRequest) -> SandboxResponse | None:
        if request.method != "PUT" or sent:
            return None
        sent.append(json.loads(request.body)["message"])
        harness.nursery.start_soon(land, request.path.split("/")[4])
        await trio.sleep(0.2)
        raise httpx.ReadError("the connection broke")

    async def land(post_id: str) -> None:
        await trio.sleep(seconds)
        harness.world.writing.edit(harness.world.users.get(harness.bot.id), post_id, Change(message=sent[0]))

    harness.faults.before_rules.append(lose)
    return sent


async def test_a_late_edit_is_written_over(harness: Harness) -> None:
    """The final text is written again when a lost edit lands behind it."""
    await harness.start()
    harness.script = [Say("one two three four five six", delay=0.5)]
    stale = loses_one_edit(harness, 20)
    harness.say("@helper count")
    await harness.settled()
    [answer] = harness.ours()
    assert answer.message == "one two three four five six"
    await trio.sleep(60)
    texts = [text for _, text in answer.history]
    assert texts[-3:] == ["one two three four five six", stale[0], "one two three four five six"]


async def test_a_repair_whose_look_at_the_post_gets_no_answer(harness: Harness) -> None:
    """The look is repeated: no other event would tell of the old text."""
    await harness.start()
    harness.script = [Say("one two three four five six", delay=0.5)]
    stale = loses_one_edit(harness, 20)
    harness.say("@helper count")
    await harness.settled()
    [answer] = harness.ours()
    unanswered: list[str] = []

    async def lose(request: SandboxRequest) -> SandboxResponse | None:
        if request.method == "GET" and request.path.endswith(f"/posts/{answer.id}") and len(unanswered) < 2:
            unanswered.append(request.path)
            raise httpx.ReadError("the connection broke")
        return None

    harness.faults.before_rules.append(lose)
    await harness.until(lambda: harness.answers() == stale)
    await trio.sleep(60)
    assert len(unanswered) == 2
    assert harness.answers() == ["one two three four five six"]


async def test_a_late_edit_before_the_final(harness: Harness) -> None:
    """The next edit makes good for it; nothing is written twice."""
    await harness.start()
    harness.script = [Say("one two three four five six", delay=0.5), Pause(10)]
    loses_one_edit(harness, 1)
    harness.say("@helper count")
    await harness.settled()
    [answer] = harness.ours()
    edits = len(answer.history)
    await trio.sleep(60)
    assert (answer.message, len(answer.history)) == ("one two three four five six", edits)


async def test_a_person_edits_the_answer(harness: Harness) -> None:
    """An edit of a post without a lost write is nobody's mistake: it stays."""
    await harness.start()
    harness.script = [Say("one two three four five six", delay=0.5)]
    harness.say("@helper count")
    await harness.settled()
    [answer] = harness.ours()
    harness.world.writing.edit(harness.alice, answer.id, Change(message="one two"))
    await trio.sleep(60)
    assert answer.message == "one two"


async def test_much_later_nothing_is_repaired(harness: Harness) -> None:
    """The watch over a post ends: after it, an edit is somebody's will."""
    await harness.start()
    harness.script = [Say("one two three four five six", delay=0.5)]
    loses_one_edit(harness, 400)
    harness.say("@helper count")
    await harness.settled()
    await trio.sleep(500)
    assert harness.answers() != ["one two three four five six"]


async def test_a_late_edit_that_no_event_told_of(harness: Harness) -> None:
    """It lands while the websocket is half open: the posts are read once there is a new connection."""
    await harness.start()
    harness.script = [Say("one two three four five six", delay=0.5)]
    stale = loses_one_edit(harness, 20)
    harness.say("@helper count")
    await harness.settled()
    for connection in harness.world.hub.connections():
        connection.frozen = True
    await harness.until(lambda: harness.answers() == stale)
    await trio.sleep(60)
    assert harness.answers() == ["one two three four five six"]


@pytest.mark.slow
async def test_a_late_edit_before_a_connection_that_takes_long(harness: Harness) -> None:
    """The watch is not over before somebody could look, though its time is."""

    async def no_lists(request: SandboxRequest) -> SandboxResponse | None:
        return SandboxResponse.text("away", 503) if request.path.endswith("/channels") else None

    await harness.start()
    harness.script = [Say("one two three four five six", delay=0.5)]
    stale = loses_one_edit(harness, 20)
    harness.say("@helper count")
    await harness.settled()
    harness.faults.before_rules.append(no_lists)
    for connection in harness.world.hub.connections():
        connection.frozen = True
    await harness.until(lambda: harness.answers() == stale)
    await trio.sleep(600)
    harness.faults.before_rules.remove(no_lists)
    await trio.sleep(120)
    assert harness.answers() == ["one two three four five six"]


async def test_a_late_edit_between_the_posts_of_an_answer(harness: Harness) -> None:
    """What the second post takes is time enough for it: the first post is watched from its last text on."""
    await harness.start({"textChunkLimit": 30})
    harness.script = [Say("one two three four five six", delay=0.5), Say(" seven eight nine ten")]
    stale = loses_one_edit(harness, 10)

    async def slow(request: SandboxRequest) -> SandboxResponse | None:
        if request.method == "POST" and b"nine" in request.body:
            await trio.sleep(15)
        return None

    harness.faults.before_rules.append(slow)
    harness.say("@helper count")
    await harness.settled()
    first, second = harness.ours()
    assert stale[0] in [text for _, text in first.history]
    assert f"{first.message} {second.message}" == "one two three four five six seven eight nine ten"


@pytest.mark.parametrize("down", [0.0, 1000.0], ids=["shortly", "for longer than posts are watched"])
async def test_a_late_edit_while_the_gateway_is_down(harness: Harness, down: float) -> None:
    """The next start knows which posts are watched, and writes the last text again."""
    await harness.start()
    harness.script = [Say("one two three four five six", delay=0.5)]
    stale = loses_one_edit(harness, 20)
    harness.say("@helper count")
    await harness.settled()
    await harness.crash()
    await harness.until(lambda: harness.answers() == stale)
    await trio.sleep(down)
    await harness.start()
    await trio.sleep(5)
    assert harness.answers() == ["one two three four five six"]


async def test_an_edit_of_the_run_that_crashed(harness: Harness) -> None:
    """Nobody waited for its answer any more: it lands behind the next run's final text, and is written over."""
    await harness.start()
    harness.script = [Say("one two three four five six", delay=0.5)]
    stale = loses_one_edit(harness, 50)  # sealing takes its 30 s, to no effect
    harness.say("@helper count")
    await harness.until(lambda: stale)
    await harness.crash()
    harness.script = [Say("another answer", delay=0.01)]
    await harness.start()
    await harness.settled()
    await trio.sleep(60)
    [answer] = harness.ours()
    texts = [text for _, text in answer.history]
    assert texts[-3:] == ["another answer", stale[0], "another answer"]


async def test_a_late_edit_where_no_events_come(harness: Harness) -> None:
    """A gateway that polls reads the posts with every poll."""
    await harness.start({"connection": {"mode": "poll"}})
    harness.script = [Say("one two three four five six", delay=0.5)]
    stale = loses_one_edit(harness, 20)
    harness.say("@helper count")
    await harness.settled()
    await harness.until(lambda: harness.answers() == stale)
    await trio.sleep(20)
    assert harness.answers() == ["one two three four five six"]


async def test_a_watched_post_is_deleted(harness: Harness) -> None:
    """There is nothing to repair, and it is not read again."""
    gateway = await harness.start({"connection": {"mode": "poll"}})
    harness.script = [Say("one two three four five six", delay=0.5)]
    loses_one_edit(harness, 1000)
    harness.say("@helper count")
    await harness.until(harness.ours)
    await harness.settled()
    [answer] = harness.ours()
    harness.delete(answer)
    await trio.sleep(30)
    reads = harness.calls("GET", f"/posts/{answer.id}")
    await trio.sleep(60)
    assert (harness.calls("GET", f"/posts/{answer.id}"), harness.answers()) == (reads, [])
    assert gateway.health.account(harness.account).is_live


async def test_the_table_is_bounded(harness: Harness) -> None:
    """Posts beyond the bound are forgotten, the oldest first; a post that nobody doubted is not watched."""
    rules = RetryPolicy()

    async def never(*_: object) -> Never:
        raise AssertionError("nothing is written")

    delivery = Delivery(
        harness.account,
        UserId("bot"),
        harness.store,
        Clock(harness.now_ms, Random(1)),
        Metrics(),
        never,
        never,
        never,
        rules,
    )
    watched = LateEditGuard(delivery, None)  # type: ignore[arg-type]  # it is not asked before a repair
    await watched.final_written(PostId("never"), "text")
    for number in range(300):
        await watched.edit_uncertain(PostId(f"p{number}"))
    assert len(watched) == 256
    again = LateEditGuard(delivery, None)  # type: ignore[arg-type]
    await watched.final_written(PostId("p299"), "text")
    await again.restore()
    assert len(again) == 1
