"""Reactions that show how far a message is."""

import pytest

from oc_trio.agent.scripted import Pause, Say, Step
from oc_trio.core.turn_events import Failed
from oc_trio.sandbox.records import PostRecord
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from tests.runtime.harness import Harness

# A character, as OpenClaw's files have it, or a name.
ACKS = {"ackReactions": {"seen": "👀", "done": "white_check_mark", "failed": "x"}}


def reactions(harness: Harness, post: PostRecord) -> list[str]:
    return [reaction.emoji_name for reaction in harness.world.reactions.of(post.id)]


@pytest.mark.parametrize(
    ("last", "shown"), [(Say("yes"), ["white_check_mark"]), (Failed("no", "broken"), ["x"])], ids=["done", "failed"]
)
async def test_a_message_is_seen_and_then_done(harness: Harness, last: Step, shown: list[str]) -> None:
    """The first reaction gives way to the second."""
    await harness.start(ACKS)
    harness.script = [Pause(2), last]
    question = harness.say("@helper go")
    await harness.until(lambda: reactions(harness, question) == ["eyes"])
    await harness.settled()
    await harness.until(lambda: reactions(harness, question) == shown)


async def test_a_stopped_message(harness: Harness) -> None:
    """A message whose turn was stopped gets neither reaction."""
    await harness.start(ACKS)
    harness.script = [Pause(60)]
    question = harness.say("@helper go")
    await harness.until(lambda: reactions(harness, question) == ["eyes"])
    harness.say("@helper stop", root=question)
    await harness.settled()
    await harness.until(lambda: reactions(harness, question) == [])


async def test_a_refused_reaction(harness: Harness) -> None:
    """Decoration fails no answer."""

    async def refuse(request: SandboxRequest) -> SandboxResponse | None:
        return SandboxResponse.json({"message": "no"}, 403) if "reactions" in request.path else None

    harness.faults.before_rules.append(refuse)
    await harness.start(ACKS)
    harness.script = [Say("yes")]
    question = harness.say("@helper go")
    await harness.settled()
    assert (harness.answers(), await harness.state(question)) == (["yes"], "delivered")


async def test_none_by_default(harness: Harness) -> None:
    """Without `ackReactions` no reaction is added."""
    await harness.start()
    harness.script = [Say("yes")]
    harness.say("@helper go")
    await harness.settled()
    assert harness.calls("", "reactions") == 0
