"""Whatever ends a turn, whenever: no unsealed draft, no stale last write, no open request, no message unsettled."""

import random
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import trio

from oc_trio.agent.port import TurnRequest
from oc_trio.agent.scripted import Hear, Pause, Say
from oc_trio.core.draft_view import StreamMode
from oc_trio.core.final_plan import INTERRUPTED, STOPPED
from oc_trio.core.turn_events import Thinking, ToolEnded, ToolStarted, ToolStatus
from oc_trio.sandbox.records import PostRecord
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from tests.runtime.harness import Harness

MODES = tuple(mode.value for mode in StreamMode)
QUEUES = ("steer", "followup", "collect", "interrupt")
ANSWER = "the end of the answer."


def a_script(chance: random.Random) -> Callable[[TurnRequest], Any]:
    """Thoughts, words and tools of chance lengths; an answer always ends with the same words."""

    def script(_request: TurnRequest) -> Any:
        if chance.random() < 0.3:
            yield Thinking("hm")
            yield Pause(chance.random() * 2)
        for number in range(chance.randrange(4)):
            yield Say("some words of an answer " * chance.randrange(1, 6), delay=chance.random() * 0.3)
            yield ToolStarted(str(number), "search", detail=f"{number}")
            yield Pause(chance.random() * 3)
            yield ToolEnded(str(number), "search", ToolStatus.COMPLETED, "found")
            yield Hear()
            yield Say("\n\n")
        yield Say(ANSWER, delay=chance.random() * 0.3)

    return script


def write_faults(chance: random.Random) -> Callable[[SandboxRequest], Any]:
    """Writes that are slow, refused for a moment, or applied without an answer."""

    async def fail(request: SandboxRequest) -> SandboxResponse | None:
        if request.method == "GET" or chance.random() < 0.7:
            return None
        what = chance.randrange(4)
        if what == 0:
            await trio.sleep(chance.random() * 4)
        elif what == 1:
            return SandboxResponse.text("limit exceeded\n", 429)
        elif what == 2:
            return SandboxResponse.json({"message": "later"}, 503)
        else:
            raise httpx.ReadError("the connection broke")
        return None

    return fail


async def cut(harness: Harness, chance: random.Random, posts: list[PostRecord]) -> None:
    """One thing that may end a turn, or make it begin again."""
    post = chance.choice(posts)
    drafts = harness.ours()
    match chance.randrange(8):
        case 0:
            posts.append(harness.say("@helper stop", root=post))
        case 1:
            posts.append(harness.say("@helper /new", root=post))
        case 2 if not post.delete_at:
            harness.edit(post, f"@helper other words {chance.random()}")
        case 3 if post.root_id and not post.delete_at:
            harness.delete(post)
        case 4 if drafts:
            harness.delete(chance.choice(drafts))
        case 5 if drafts:
            harness.react(chance.choice(drafts), "octagonal_sign", by=harness.bob)
        case 6 if harness.gateway is not None and chance.random() < 0.5:
            await harness.crash()
            await harness.start(*harness.settings, **harness.tables)
        case _:
            posts.append(harness.say(f"@helper and {chance.random()}", root=post))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
async def test_random_cuts(harness: Harness, seed: int) -> None:
    """Two threads, four to ten cuts at chance times while writes fail, then none."""
    chance = random.Random(seed)
    await harness.start(
        {"streaming": {"mode": chance.choice(MODES), "block": {"enabled": chance.random() < 0.5}}},
        messages={"queue": {"mode": chance.choice(QUEUES), "cap": chance.choice((1, 20))}},
    )
    harness.script = a_script(chance)
    roots = [harness.say("a thread"), harness.say("another thread")]
    posts = [harness.say("@helper first", root=root) for root in roots]
    fail = write_faults(chance)
    rules = chance.choice((harness.faults.before_rules, harness.faults.after_rules))
    rules.append(fail)
    for _ in range(chance.randrange(4, 11)):
        await trio.sleep(chance.random() ** 2 * 4)
        await cut(harness, chance, posts)
    rules.remove(fail)
    await trio.sleep(1)
    await harness.settled(within=1000)
    final = {post.id: post.message for post in harness.ours()}
    await trio.sleep(400)
    assert harness.agent.open == 0
    assert {post.id: post.message for post in harness.ours()} == final, "something was written after the end"
    for post in posts:
        state = await harness.state(post)
        assert state.split(":")[0] in ("delivered", "cancelled", "failed", "silent"), (post.message, state)
    assert not any(text.endswith(INTERRUPTED) for text in harness.answers())
    outcomes = {found.outcome_posts for post in posts if (found := await harness.obligation(post)) is not None}
    owned = {post_id for group in outcomes for post_id in group}
    for post in harness.ours():
        # The reply to a command whose message is deleted meanwhile stands all the same.
        is_reply = post.message.startswith(("⚙️", "🆕", "Nothing is running"))
        is_known = post.id in owned or is_reply or post.message.endswith(STOPPED)
        assert is_known, f"nobody's post: {post.message}\n{harness.chat()}"
