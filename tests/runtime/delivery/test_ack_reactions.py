"""Reactions that show how far a message is."""

import pytest

from oc_trio.agent.scripted import Pause, Say, Step
from oc_trio.core.turn_events import Failed
from oc_trio.sandbox.records import Post
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from tests.runtime.harness import Town

ACKS = {"ackReactions": {"seen": "eyes", "done": "white_check_mark", "failed": "x"}}


def reactions(town: Town, post: Post) -> list[str]:
    return [reaction.emoji_name for reaction in town.world.reactions.of(post.id)]


@pytest.mark.parametrize(
    ("last", "shown"), [(Say("yes"), ["white_check_mark"]), (Failed("no", "broken"), ["x"])], ids=["done", "failed"]
)
async def test_a_message_is_seen_and_then_done(town: Town, last: Step, shown: list[str]) -> None:
    """The first reaction gives way to the second."""
    await town.start(ACKS)
    town.script = [Pause(2), last]
    asked = town.say("@helper go")
    await town.until(lambda: reactions(town, asked) == ["eyes"])
    await town.settled()
    await town.until(lambda: reactions(town, asked) == shown)


async def test_a_stopped_message(town: Town) -> None:
    """It is neither done nor failed."""
    await town.start(ACKS)
    town.script = [Pause(60)]
    asked = town.say("@helper go")
    await town.until(lambda: reactions(town, asked) == ["eyes"])
    town.say("@helper stop", root=asked)
    await town.settled()
    await town.until(lambda: reactions(town, asked) == [])


async def test_a_refused_reaction(town: Town) -> None:
    """Decoration fails no answer."""

    async def refuse(request: SandboxRequest) -> SandboxResponse | None:
        return SandboxResponse.json({"message": "no"}, 403) if "reactions" in request.path else None

    town.weather.before_rules.append(refuse)
    await town.start(ACKS)
    town.script = [Say("yes")]
    asked = town.say("@helper go")
    await town.settled()
    assert (town.answers(), await town.state(asked)) == (["yes"], "delivered")


async def test_none_by_default(town: Town) -> None:
    """Nobody asked for reactions."""
    await town.start()
    town.script = [Say("yes")]
    town.say("@helper go")
    await town.settled()
    assert town.calls("", "reactions") == 0
