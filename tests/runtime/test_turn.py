"""A turn from mention to answer, in the town."""

from oc_trio.agent.scripted import Say
from tests.runtime.town import Town


async def test_a_mention_is_answered_in_one_growing_post(town: Town) -> None:
    """The first word appears at once, the post grows, and the last edit is the answer."""
    await town.start()
    town.script = [Say("one two three four five six seven eight nine ten", delay=0.3)]
    asked = town.say("@helper count")
    await town.settled()
    [answer] = town.ours()
    assert answer.message == "one two three four five six seven eight nine ten"
    assert answer.root_id == asked.id
    assert answer.history[0][1] == "one"
    assert await town.state(asked) == "delivered"
