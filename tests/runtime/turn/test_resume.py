"""A turn that goes on after a crash: people read its answer once, whole and in order, in the posts that were there."""

from typing import Any

import pytest
import trio

from oc_trio.agent.scripted import Pause, Say, Step
from oc_trio.core.draft_view import StreamMode
from oc_trio.core.turn_events import ToolEnded, ToolStarted, ToolStatus
from tests.runtime.harness import Harness

LOOK: list[Step] = [ToolStarted("1", "look"), ToolEnded("1", "look", ToolStatus.COMPLETED, "the result")]
COALESCE = {"minChars": 5, "idleMs": 100}


def words(harness: Harness) -> list[str]:
    return [text for text in harness.answers() if "Look" not in text]


@pytest.mark.parametrize("remembered", [True, False], ids=["after the call", "during the call"])
async def test_blocks_of_an_earlier_run(harness: Harness, remembered: bool) -> None:
    """What the transcript has is shown in its block; what it has not is said anew, in the same post."""
    await harness.start({"streaming": {"mode": "block"}})
    harness.script = [Say("Let me see."), *(LOOK if remembered else LOOK[:1]), Pause(600)]
    question = harness.say("@helper look")
    await harness.until(lambda: len(harness.answers()) == 2)
    await harness.crash()
    drafts = [post.id for post in harness.ours()]
    harness.script = [Say("Found it.")] if remembered else [Say("Now I see."), *LOOK, Say("\n\nFound it.")]
    await harness.start({"streaming": {"mode": "block"}})
    await harness.settled()
    assert words(harness) == ["Let me see." if remembered else "Now I see.", "Found it."]
    assert [post.id for post in harness.ours()][:2] == drafts
    obligation = await harness.obligation(question)
    assert obligation is not None
    assert list(obligation.outcome_posts) == [post.id for post in harness.ours()]


async def test_the_work_of_an_earlier_run_reads_as_it_did(harness: Harness) -> None:
    """That a call failed, what a tool says of itself, and that a command stays hidden, all survive the crash."""
    settings = {"streaming": {"mode": "block", "progress": {"commandText": "status"}}}
    await harness.start(settings)
    harness.script = [
        ToolStarted("1", "read", {"path": "/var/log/app.log"}),
        ToolEnded("1", "read", ToolStatus.FAILED, "no such file"),
        ToolStarted("2", "look"),
        ToolEnded("2", "look", ToolStatus.COMPLETED, "much", "two of them"),
        ToolStarted("3", "bash", {"command": "cat password"}),
        ToolEnded("3", "bash", ToolStatus.COMPLETED, "1234", "4 letters"),
        Pause(600),
    ]
    harness.say("@helper look")
    await harness.until(lambda: any("two of them" in text and "Exec" in text for text in harness.answers()))
    (before,) = harness.answers()
    await harness.crash()
    harness.script = [Say("Nothing there.")]
    await harness.start(settings)
    await harness.settled()
    assert harness.answers() == [before, "Nothing there."]
    assert "(failed)" in before


async def test_a_block_without_a_place_is_removed(harness: Harness) -> None:
    """The second run came to its answer with fewer posts."""
    await harness.start({"streaming": {"mode": "block"}})
    harness.script = [Say("Let me see."), LOOK[0], Pause(600)]
    harness.say("@helper look")
    await harness.until(lambda: len(harness.answers()) == 2)
    await harness.crash()
    harness.script = [Say("I know it.")]
    await harness.start({"streaming": {"mode": "block"}})
    await harness.settled()
    assert harness.answers() == ["I know it."]


async def test_sent_blocks_of_an_earlier_run(harness: Harness) -> None:
    """Blocks that were posted before a crash are not posted again, without drafts as well."""
    settings: dict[str, Any] = {"streaming": {"mode": "off", "block": {"enabled": True, "coalesce": COALESCE}}}
    await harness.start(settings)
    harness.script = [Say("First of all.\n\nAnd"), Pause(600)]
    harness.say("@helper tell")
    await harness.until(harness.answers)
    await harness.crash()
    harness.script = [Say("First, so.\n\nAnd"), Pause(5), Say(" then.")]
    await harness.start(settings)
    await harness.settled()
    assert harness.answers() == ["First, so.", "And then."]


@pytest.mark.parametrize("mode", [mode for mode in StreamMode if not mode.leaves_blocks])
async def test_words_before_the_crash_lead_the_answer(harness: Harness, mode: StreamMode) -> None:
    """The agent does not repeat them; in one post or none, they are a part of the answer."""
    await harness.start({"streaming": {"mode": mode.value}})
    harness.script = [Say("Let me see."), *LOOK, Pause(600)]
    question = harness.say("@helper look")
    await trio.sleep(5)
    await harness.crash()
    harness.script = [Say("Found it.")]
    await harness.start({"streaming": {"mode": mode.value}})
    await harness.settled()
    assert harness.answers() == ["Let me see.\n\nFound it."]
    assert await harness.state(question) == "delivered"
