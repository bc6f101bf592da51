"""Reactions of people: kept for the next turn of the conversation, under the same policy as posts."""

from typing import Any

from oc_trio.agent.scripted import Say
from oc_trio.sandbox.compact import dump
from oc_trio.sandbox.hub import Broadcast
from oc_trio.sandbox.views import reaction_view
from tests.runtime.harness import Harness


def react(harness: Harness, user: Any, post: Any, emoji: str, *, remove: bool = False) -> None:
    """As the server does it: the reaction is stored, and its event goes to everybody in the channel."""
    change = harness.world.reactions.remove if remove else harness.world.reactions.add
    reaction = change(user.id, post, emoji)
    name = "reaction_removed" if remove else "reaction_added"
    harness.world.hub.publish(name, {"reaction": dump(reaction_view(reaction))}, Broadcast(channel_id=post.channel_id))


async def prompt_of_next_turn(harness: Harness) -> str:
    """What the agent is asked next."""
    harness.script = [Say("ok")]
    harness.say("@helper and?")
    await harness.settled()
    return str(harness.agent.requests[-1].messages[-1].text)


async def test_a_reaction_is_told_with_the_next_turn(harness: Harness) -> None:
    """Added and removed, in the documented words; it starts no turn."""
    await harness.start({"replyToMode": "off"})
    post = harness.say("nobody is addressed")
    react(harness, harness.bob, post, "tada")
    react(harness, harness.bob, post, "tada", remove=True)
    await harness.settled()
    assert harness.agent.requests == []
    text = await prompt_of_next_turn(harness)
    reaction_text = f":tada: by @bob on post {post.id} in channel {harness.square.id}"
    assert f"Mattermost reaction added: {reaction_text}" in text
    assert f"Mattermost reaction removed: {reaction_text}" in text
    assert text.count("Mattermost reaction") == 2
    assert "Mattermost reaction" not in await prompt_of_next_turn(harness), "told once"


async def test_the_bots_own_reactions_are_none(harness: Harness) -> None:
    """What the bot did itself is no event."""
    await harness.start({"replyToMode": "off"})
    post = harness.say("nobody is addressed")
    react(harness, harness.world.users.get(harness.bot.id), post, "eyes")
    await harness.settled()
    assert "Mattermost reaction" not in await prompt_of_next_turn(harness)


async def test_strangers_reactions_are_not_told(harness: Harness) -> None:
    """Who may not talk to the bot may not reach it by reactions either."""
    await harness.start({"replyToMode": "off", "groupPolicy": "allowlist", "groupAllowFrom": [harness.alice.id]})
    post = harness.say("nobody is addressed")
    react(harness, harness.bob, post, "tada")
    react(harness, harness.alice, post, "eyes")
    await harness.settled()
    text = await prompt_of_next_turn(harness)
    assert ":eyes: by @alice" in text
    assert ":tada:" not in text


async def test_a_reaction_in_a_thread_belongs_to_the_threads_conversation(harness: Harness) -> None:
    """On its root, on a reply and on the answer alike, and to no other conversation."""
    await harness.start()
    root = harness.say("@helper start")
    await harness.settled()
    answer = harness.ours()[-1]
    react(harness, harness.alice, root, "tada")
    react(harness, harness.bob, answer, "eyes")
    await harness.settled()
    other = await prompt_of_next_turn(harness)
    assert "Mattermost reaction" not in other
    harness.script = [Say("ok")]
    harness.say("@helper and here?", root=root)
    await harness.settled()
    here = str(harness.agent.requests[-1].messages[-1].text)
    assert f":tada: by @alice on post {root.id}" in here
    assert f":eyes: by @bob on post {answer.id}" in here
