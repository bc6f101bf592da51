"""Many posts that are not for the bot: recorded together, and the same comes of each as if it had come alone."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import trio

from oc_trio.agent.scripted import Say
from oc_trio.runtime.inbound.event_handler import GATHER_SECONDS
from oc_trio.sandbox.records import PostRecord
from tests.runtime.harness import ACCOUNT, Harness


async def decisions(harness: Harness, posts: list[PostRecord]) -> list[str]:
    seen = [await harness.store.admission.decision(ACCOUNT, post.id) for post in posts]
    return [f"{each.decision} {each.reason}" if each else "unseen" for each in seen]


@contextmanager
def recording(harness: Harness) -> Iterator[list[int]]:
    """How many posts each transaction of the block recorded, if any."""
    counts: list[int] = [0]

    def note(sql: str) -> None:
        counts[-1] += sql.count("('default', ") if sql.startswith("INSERT INTO seen") else 0
        if sql == "COMMIT" and counts[-1]:
            counts.append(0)

    harness.journal.set_trace_callback(note)
    try:
        yield counts
    finally:
        harness.journal.set_trace_callback(None)
        counts.pop()


async def test_a_mention_among_them_is_answered_in_its_place(harness: Harness) -> None:
    """The posts around it are kept as context, each for its thread."""
    harness.script = [Say("yes")]
    await harness.start()
    harness.say("good morning")
    await harness.settled()
    posts = [harness.say(text) for text in ("one", "two", "@helper three?", "four")]
    await harness.settled()
    overheard = "context no_mention"
    assert await decisions(harness, posts) == [overheard, overheard, "admit mention", overheard]
    assert harness.answers() == ["yes"]
    for post in (posts[0], posts[1], posts[3]):
        decision = await harness.store.admission.decision(ACCOUNT, post.id)
        assert decision is not None
        assert decision.session is not None
        [kept] = await harness.store.context.take(decision.session, post.create_at)
        assert post.message in kept


async def test_a_reply_where_the_bot_takes_part_is_answered(harness: Harness) -> None:
    """It needs no mention, whatever it comes between; a reply in another thread does."""
    harness.script = [Say("yes")]
    await harness.start()
    root = harness.say("@helper one?")
    other = harness.say("elsewhere")
    await harness.settled()
    posts = [
        harness.say("a", root=other),
        harness.say("b"),
        harness.say("and two?", root=root),
        harness.say("c", root=other),
    ]
    await harness.settled()
    assert await decisions(harness, posts) == [
        "context no_mention",
        "context no_mention",
        "admit thread_participation",
        "context no_mention",
    ]
    assert harness.answers() == ["yes", "yes"]


async def test_strangers_are_looked_up_and_the_rest_follows(harness: Harness) -> None:
    """A post by somebody who was not seen before is decided by what the server says of them."""
    await harness.start({"groupPolicy": "allowlist", "groupAllowFrom": [harness.alice.id]})
    posts = [
        harness.say("one"),
        harness.say("two", by=harness.bob),
        harness.say("three"),
        harness.say("@helper no?", by=harness.bob),
    ]
    await harness.settled()
    assert await decisions(harness, posts) == [
        "context no_mention",
        "context group_policy_not_allowlisted",
        "context no_mention",
        "context group_policy_not_allowlisted",
    ]


async def test_under_a_flood_the_next_posts_are_gathered(harness: Harness) -> None:
    """What comes within a moment of many posts is recorded together; a question among it is answered after that."""
    harness.script = [Say("yes")]
    await harness.start()
    harness.say("good morning")
    await harness.settled()
    harness.faults.latency = 0.01
    with recording(harness) as counts:
        # Bob is asked for first, and the others wait behind his post.
        posts = [harness.say("hello", by=harness.bob), *(harness.say(f"word {number}") for number in range(30))]
        await trio.sleep(0.02)
        for word in ("a", "b", "@helper c?", "d"):
            posts.append(harness.say(word))
            await trio.sleep(GATHER_SECONDS / 10)
        assert counts == [1, 30, 0]
        await harness.settled()
    assert await decisions(harness, posts) == [
        *["context no_mention"] * 33,
        "admit mention",
        "context no_mention",
    ]
    assert harness.answers() == ["yes"]
    assert counts == [1, 30, 2, 1, 1]


async def test_behind_posts_for_the_bot_few_are_looked_at(harness: Harness) -> None:
    """All that wait, once for each message to the bot, would hold everything up."""
    harness.script = [Say("yes")]
    await harness.start()
    root = harness.say("@helper one?")
    others = [harness.say(f"topic {number}") for number in range(120)]
    await harness.settled()
    harness.faults.latency = 2.0
    # Bob is asked for first, and the others wait behind his post.
    harness.say("hello", by=harness.bob)
    messages = [harness.say(f"and {number}?", root=root) for number in range(10)]
    posts = [harness.say("a word", root=other) for other in others]
    await trio.sleep(1)
    statements: list[str] = []
    harness.journal.set_trace_callback(statements.append)
    harness.faults.latency = 0.0
    await trio.sleep(2)
    await harness.settled()
    harness.journal.set_trace_callback(None)
    assert await decisions(harness, messages) == ["admit thread_participation"] * 10
    assert await decisions(harness, posts) == ["context no_mention"] * 120
    # One for each message's own decision, and one or a few for each look.
    assert sum("JOIN participation" in sql for sql in statements) < 30
    assert sum(sql.startswith("INSERT INTO seen") for sql in statements) <= 15


async def test_our_own_posts_are_recorded_together(harness: Harness) -> None:
    """Those that come together, with edits among them, are one transaction: their rows are confirmed, and the channel
    is read up to the last.
    """
    harness.script = [Say("yes")]
    await harness.start()
    harness.say("good morning")
    await harness.settled()
    harness.faults.latency = 0.01
    statements: list[str] = []
    harness.journal.set_trace_callback(statements.append)
    # Bob is asked for first, and the others wait behind his post.
    harness.say("hello", by=harness.bob)
    bot = harness.world.users.get(harness.bot.id)
    posts = [harness.say(f"mine {number}", by=bot) for number in range(3)]
    harness.edit(posts[0], "mine, edited")
    posts.append(harness.say("mine, too", by=bot))
    await harness.settled()
    harness.journal.set_trace_callback(None)
    [mark] = [mark for mark in await harness.store.watermarks.all(ACCOUNT) if mark.channel_id == posts[-1].channel_id]
    assert mark.post_id == posts[-1].id
    assert sum(sql.startswith("INSERT INTO watermarks") for sql in statements) == 2


async def test_many_edits_of_our_own_are_handled_soon(harness: Harness) -> None:
    """Those of growing answers that waited behind a slow look-up: what grows with their square would hold all up."""
    await harness.start()
    mine = harness.say("mine", by=harness.world.users.get(harness.bot.id))
    harness.say("good morning")
    await harness.settled()
    harness.faults.latency = 2.0
    # Bob is asked for first, and the others wait behind his post.
    harness.say("hello", by=harness.bob)
    for number in range(1000):
        harness.edit(mine, f"mine {number}")
        if number % 50 == 0:
            await trio.sleep(0.001)
    last = harness.say("and now?")
    await trio.sleep(1)
    assert await decisions(harness, [last]) == ["unseen"]
    began = time.process_time()
    await trio.sleep(2)
    assert await decisions(harness, [last]) == ["context no_mention"]
    assert time.process_time() - began < 0.3


async def test_a_hundred_missed_posts_are_recorded_together(harness: Harness) -> None:
    """Catch-up records those that are not for the bot together, and answers those that are."""
    harness.script = [Say("yes")]
    await harness.start()
    harness.say("good morning")
    await harness.settled()
    await harness.stop()
    harness.world.restart()  # so that nothing can be resumed
    posts = [harness.say(f"word {number}" if number != 50 else "@helper 50?") for number in range(100)]
    with recording(harness) as counts:
        await harness.start()
        await harness.settled()
    assert await decisions(harness, posts) == [
        *["context no_mention"] * 50,
        "admit mention",
        *["context no_mention"] * 49,
    ]
    assert harness.answers() == ["yes"]
    # Alice is looked up for the first post; the mention is the other one that is recorded by itself.
    assert counts == [1, 49, 1, 49]
