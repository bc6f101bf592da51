"""A turn that goes on after a crash: people read its answer once, whole and in order, in the posts that were there."""

from typing import Any

import pytest
import trio

from oc_trio.agent.scripted import Pause, Say, Step
from oc_trio.core.turn_events import ToolEnded, ToolStarted, ToolStatus
from tests.runtime.harness import Town

LOOK: list[Step] = [ToolStarted("1", "look"), ToolEnded("1", "look", ToolStatus.COMPLETED, "the result")]
COALESCE = {"minChars": 5, "idleMs": 100}


def words(town: Town) -> list[str]:
    return [text for text in town.answers() if "Look" not in text]


@pytest.mark.parametrize("remembered", [True, False], ids=["after the call", "during the call"])
async def test_blocks_of_an_earlier_run(town: Town, remembered: bool) -> None:
    """What the transcript has is shown in its block; what it has not is said anew, in the same post."""
    await town.start({"streaming": {"mode": "block"}})
    town.script = [Say("Let me see."), *(LOOK if remembered else LOOK[:1]), Pause(600)]
    asked = town.say("@helper look")
    await town.until(lambda: len(town.answers()) == 2)
    await town.crash()
    standing = [post.id for post in town.ours()]
    town.script = [Say("Found it.")] if remembered else [Say("Now I see."), *LOOK, Say("\n\nFound it.")]
    await town.start({"streaming": {"mode": "block"}})
    await town.settled()
    assert words(town) == ["Let me see." if remembered else "Now I see.", "Found it."]
    assert [post.id for post in town.ours()][:2] == standing
    obligation = await town.obligation(asked)
    assert obligation is not None
    assert list(obligation.outcome_posts) == [post.id for post in town.ours()]


async def test_the_work_of_an_earlier_run_reads_as_it_did(town: Town) -> None:
    """That a call failed, what a tool says of itself, and that a command stays hidden, all survive the crash."""
    settings = {"streaming": {"mode": "block", "progress": {"commandText": "status"}}}
    await town.start(settings)
    town.script = [
        ToolStarted("1", "read", {"path": "/var/log/app.log"}),
        ToolEnded("1", "read", ToolStatus.FAILED, "no such file"),
        ToolStarted("2", "look"),
        ToolEnded("2", "look", ToolStatus.COMPLETED, "much", "two of them"),
        ToolStarted("3", "bash", {"command": "cat password"}),
        ToolEnded("3", "bash", ToolStatus.COMPLETED, "1234", "4 letters"),
        Pause(600),
    ]
    town.say("@helper look")
    await town.until(lambda: any("two of them" in text and "Exec" in text for text in town.answers()))
    (before,) = town.answers()
    await town.crash()
    town.script = [Say("Nothing there.")]
    await town.start(settings)
    await town.settled()
    assert town.answers() == [before, "Nothing there."]
    assert "(failed)" in before


async def test_a_block_without_a_place_is_removed(town: Town) -> None:
    """The second run came to its answer with fewer posts."""
    await town.start({"streaming": {"mode": "block"}})
    town.script = [Say("Let me see."), LOOK[0], Pause(600)]
    town.say("@helper look")
    await town.until(lambda: len(town.answers()) == 2)
    await town.crash()
    town.script = [Say("I know it.")]
    await town.start({"streaming": {"mode": "block"}})
    await town.settled()
    assert town.answers() == ["I know it."]


async def test_sent_blocks_of_an_earlier_run(town: Town) -> None:
    """The same without drafts."""
    settings: dict[str, Any] = {"streaming": {"mode": "off", "block": {"enabled": True, "coalesce": COALESCE}}}
    await town.start(settings)
    town.script = [Say("First of all.\n\nAnd"), Pause(600)]
    town.say("@helper tell")
    await town.until(town.answers)
    await town.crash()
    town.script = [Say("First, so.\n\nAnd"), Pause(5), Say(" then.")]
    await town.start(settings)
    await town.settled()
    assert town.answers() == ["First, so.", "And then."]


@pytest.mark.parametrize("mode", ["partial", "progress", "off"])
async def test_words_before_the_crash_lead_the_answer(town: Town, mode: str) -> None:
    """The agent does not repeat them; in one post or none, they are a part of the answer."""
    await town.start({"streaming": {"mode": mode}})
    town.script = [Say("Let me see."), *LOOK, Pause(600)]
    asked = town.say("@helper look")
    await trio.sleep(5)
    await town.crash()
    town.script = [Say("Found it.")]
    await town.start({"streaming": {"mode": mode}})
    await town.settled()
    assert town.answers() == ["Let me see.\n\nFound it."]
    assert await town.state(asked) == "delivered"
