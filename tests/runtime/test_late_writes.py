"""Edits that land after the final text although they were sent before it."""

import json

import httpx
import trio

from oc_trio.agent.scripted import Pause, Say
from oc_trio.ids import PostId
from oc_trio.runtime.late_writes import LateWrites
from oc_trio.sandbox.exchange import SandboxRequest, SandboxResponse
from oc_trio.sandbox.writing import Change
from tests.runtime.town import Town


def loses_one_edit(town: Town, seconds: float) -> list[str]:
    """The first edit's answer is lost, and the edit lands `seconds` later; returns its text once it was sent."""
    sent: list[str] = []

    async def lose(request: SandboxRequest) -> SandboxResponse | None:
        if request.method != "PUT" or sent:
            return None
        sent.append(json.loads(request.body)["message"])
        town.nursery.start_soon(land, request.path.split("/")[4])
        await trio.sleep(0.2)
        raise httpx.ReadError("the connection broke")

    async def land(post_id: str) -> None:
        await trio.sleep(seconds)
        town.world.writing.edit(town.world.users.get(town.bot.id), post_id, Change(message=sent[0]))

    town.weather.before_rules.append(lose)
    return sent


async def test_a_late_edit_is_written_over(town: Town) -> None:
    """The final text is written again when a lost edit lands behind it."""
    await town.start()
    town.script = [Say("one two three four five six", delay=0.5)]
    stale = loses_one_edit(town, 20)
    town.say("@helper count")
    await town.settled()
    [answer] = town.ours()
    assert answer.message == "one two three four five six"
    await trio.sleep(60)
    texts = [text for _, text in answer.history]
    assert texts[-3:] == ["one two three four five six", stale[0], "one two three four five six"]


async def test_a_late_edit_before_the_final(town: Town) -> None:
    """The next edit makes good for it; nothing is written twice."""
    await town.start()
    town.script = [Say("one two three four five six", delay=0.5), Pause(10)]
    loses_one_edit(town, 1)
    town.say("@helper count")
    await town.settled()
    [answer] = town.ours()
    edits = len(answer.history)
    await trio.sleep(60)
    assert (answer.message, len(answer.history)) == ("one two three four five six", edits)


async def test_a_person_edits_the_answer(town: Town) -> None:
    """An edit of a post without a lost write is nobody's mistake: it stays."""
    await town.start()
    town.script = [Say("one two three four five six", delay=0.5)]
    town.say("@helper count")
    await town.settled()
    [answer] = town.ours()
    town.world.writing.edit(town.alice, answer.id, Change(message="one two"))
    await trio.sleep(60)
    assert answer.message == "one two"


async def test_much_later_nothing_is_repaired(town: Town) -> None:
    """The watch over a post ends: after it, an edit is somebody's will."""
    await town.start()
    town.script = [Say("one two three four five six", delay=0.5)]
    loses_one_edit(town, 400)
    town.say("@helper count")
    await town.settled()
    await trio.sleep(500)
    assert town.answers() != ["one two three four five six"]


def test_the_table_is_bounded() -> None:
    """Posts beyond the bound are forgotten, the oldest first; a post that nobody doubted is not watched."""
    watched = LateWrites(None, None)  # type: ignore[arg-type]  # neither is asked before a repair
    watched.settled(PostId("never"), "text")
    for number in range(300):
        watched.doubt(PostId(f"p{number}"))
    assert len(watched) == 256
