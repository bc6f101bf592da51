"""Reactions of people: kept for the next turn of the conversation, under the same policy as posts."""

from typing import Any

from oc_trio.agent.scripted import Say
from oc_trio.sandbox.compact import dump
from oc_trio.sandbox.hub import Broadcast
from oc_trio.sandbox.views import reaction_view
from tests.runtime.harness import Town


def react(town: Town, user: Any, post: Any, emoji: str, *, remove: bool = False) -> None:
    """As the server does it: the reaction is stored, and its event goes to everybody in the channel."""
    change = town.world.reactions.remove if remove else town.world.reactions.add
    reaction = change(user.id, post, emoji)
    name = "reaction_removed" if remove else "reaction_added"
    town.world.hub.publish(name, {"reaction": dump(reaction_view(reaction))}, Broadcast(channel_id=post.channel_id))


async def told(town: Town) -> str:
    """What the agent is asked next."""
    town.script = [Say("ok")]
    town.say("@helper and?")
    await town.settled()
    return str(town.stage.requests[-1].messages[-1].text)


async def test_a_reaction_is_told_with_the_next_turn(town: Town) -> None:
    """Added and removed, in the documented words; it starts no turn."""
    await town.start({"replyToMode": "off"})
    post = town.say("nobody is addressed")
    react(town, town.bob, post, "tada")
    react(town, town.bob, post, "tada", remove=True)
    await town.settled()
    assert town.stage.requests == []
    text = await told(town)
    said = f":tada: by @bob on post {post.id} in channel {town.square.id}"
    assert f"Mattermost reaction added: {said}" in text
    assert f"Mattermost reaction removed: {said}" in text
    assert text.count("Mattermost reaction") == 2
    assert "Mattermost reaction" not in await told(town), "told once"


async def test_the_bots_own_reactions_are_none(town: Town) -> None:
    """What the bot did itself is no event."""
    await town.start({"replyToMode": "off"})
    post = town.say("nobody is addressed")
    react(town, town.world.users.get(town.bot.id), post, "eyes")
    await town.settled()
    assert "Mattermost reaction" not in await told(town)


async def test_strangers_reactions_are_not_told(town: Town) -> None:
    """Who may not talk to the bot may not reach it by reactions either."""
    await town.start({"replyToMode": "off", "groupPolicy": "allowlist", "groupAllowFrom": [town.alice.id]})
    post = town.say("nobody is addressed")
    react(town, town.bob, post, "tada")
    react(town, town.alice, post, "eyes")
    await town.settled()
    text = await told(town)
    assert ":eyes: by @alice" in text
    assert ":tada:" not in text


async def test_a_reaction_in_a_thread_belongs_to_the_conversation_without_threads(town: Town) -> None:
    """With a session per thread, the channel's own session is told."""
    await town.start()
    root = town.say("@helper start")
    await town.settled()
    react(town, town.alice, root, "tada")
    await town.settled()
    rows = await town.store.context.take(f"agent:main:mattermost:channel:{town.square.id}", 2**53)  # type: ignore[arg-type]
    assert len(rows) == 1
