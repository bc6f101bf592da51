"""After a crash: what was begun goes on in the same draft, what was decided is delivered once, what is gone is left."""

import pytest
import trio

from oc_trio.agent.scripted import Pause, Say
from oc_trio.core.final_plan import STOPPED
from oc_trio.core.ledger import delivered
from oc_trio.core.turn_events import ToolEnded, ToolStarted, ToolStatus
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from tests.runtime.harness import Harness

SLOW = Say("one two three four five six seven eight", delay=1.0)


async def interrupted(harness: Harness) -> object:
    """Crash while a draft shows some words; returns the message."""
    await harness.start()
    harness.script = [SLOW]
    question = harness.say("@helper count")
    await harness.until(lambda: any("two" in text for text in harness.answers()))
    await harness.crash()
    return question


async def test_a_turn_goes_on_in_its_draft(harness: Harness) -> None:
    """One post holds the answer, whatever it said before."""
    await interrupted(harness)
    [draft] = harness.ours()
    harness.script = [Say("another answer", delay=0.1)]
    await harness.start()
    await harness.settled()
    assert [(post.id, post.message) for post in harness.ours()] == [(draft.id, "another answer")]


async def test_a_draft_whose_row_was_lost_with_the_process(harness: Harness) -> None:
    """The creation was applied, the process died before its answer: the same post is found and goes on."""
    await harness.start()
    harness.script = [SLOW]
    made = trio.Event()

    async def hang(request: SandboxRequest) -> SandboxResponse | None:
        if request.method == "POST" and request.path.endswith("/posts"):
            made.set()
            await trio.sleep(10)
        return None

    harness.faults.after_rules.append(hang)
    question = harness.say("@helper count")
    await made.wait()
    await harness.crash()
    harness.faults.after_rules.clear()
    harness.script = [Say("one", delay=0.1)]
    await harness.start()
    await harness.settled()
    assert harness.answers() == ["one"]
    assert await harness.state(question) == "delivered"


async def test_a_message_deleted_while_the_gateway_was_down(harness: Harness) -> None:
    """It is not answered; the draft in the living thread is sealed."""
    await harness.start()
    root = harness.say("a thread")
    harness.script = [SLOW]
    question = harness.say("@helper count", root=root)
    await harness.until(lambda: any("two" in text for text in harness.answers()))
    await harness.crash()
    harness.delete(question)
    await harness.start()
    await harness.settled()
    assert len(harness.agent.requests) == 1
    assert harness.answers()[0].endswith(STOPPED)
    assert await harness.state(question) == "cancelled: the message was deleted"


async def test_a_message_edited_while_the_gateway_was_down(harness: Harness) -> None:
    """The new words are answered, in the draft that is there, and not what the old ones had led to."""
    await harness.start()
    ended = ToolEnded("1", "look", ToolStatus.COMPLETED, "the result")
    harness.script = [Say("Let me look."), ToolStarted("1", "look", {}), ended, Pause(600)]
    question = harness.say("@helper count")
    await harness.until(harness.answers)
    [draft] = harness.ours()
    await harness.crash()
    harness.edit(question, "@helper count backwards")
    harness.script = [Say("three two one", delay=0.01)]
    await harness.start()
    await harness.settled()
    [message] = harness.agent.requests[-1].messages
    assert "count backwards" in message.text
    assert [(post.id, post.message) for post in harness.ours()] == [(draft.id, "three two one")]
    assert await harness.state(question) == "delivered"


async def test_a_turn_whose_obligations_had_ended(harness: Harness) -> None:
    """Nobody waits for it: it is ended, and its draft says that it stopped."""
    await interrupted(harness)
    [found] = await harness.store.obligations.open_for(harness.account)
    await harness.store.obligations.close([found.id], delivered(), harness.now_ms())
    await harness.start()
    await harness.settled()
    assert harness.answers()[0].startswith("one two")
    assert harness.answers()[0].endswith(STOPPED)
    assert await harness.store.turns.unfinished(harness.account) == ()


async def test_removed_while_the_gateway_was_down(harness: Harness) -> None:
    """There is nowhere to answer any more, and the model is not asked."""
    room = harness.world.create_channel(harness.team, "room", harness.alice, harness.bot, private=True)
    await harness.start()
    harness.script = [SLOW]
    question = harness.say("@helper count", channel=room)
    await harness.until(lambda: harness.answers(room))
    await harness.crash()
    harness.world.membership.remove(room, harness.world.users.get(harness.bot.id), harness.alice)
    await harness.start()
    await harness.settled()
    assert len(harness.agent.requests) == 1
    assert await harness.state(question) == "cancelled: the bot was removed from the channel"


@pytest.mark.parametrize("at", ["POST", "PUT"])
async def test_a_decided_answer_is_delivered_once(harness: Harness, at: str) -> None:
    """The process dies while the final text is on its way: after the restart it stands once, and nobody thinks anew."""
    await harness.start({"streaming": {"mode": "off"}} if at == "POST" else {})
    harness.script = [Say("the final words", delay=1.0)]
    sent = trio.Event()

    async def hang(request: SandboxRequest) -> SandboxResponse | None:
        if request.method == at and b"final words" in request.body:
            sent.set()
            await trio.sleep(10)
        return None

    harness.faults.after_rules.append(hang)
    question = harness.say("@helper say it")
    await sent.wait()
    await harness.crash()
    harness.faults.after_rules.clear()
    await harness.start()
    await harness.settled()
    assert harness.answers() == ["the final words"]
    assert await harness.state(question) == "delivered"
    assert len(harness.agent.requests) == 1


@pytest.mark.slow
async def test_orderly_restarts_are_no_attempts(harness: Harness) -> None:
    """However often the gateway is updated while an agent works for hours: the answer is not given up for that."""
    harness.script = [Pause(600)]
    await harness.start()
    question = harness.say("@helper think")
    for _ in range(9):
        await harness.until(lambda: harness.agent.open)
        await harness.stop()
        await harness.start()
    await harness.until(lambda: harness.agent.open)
    harness.script = [Say("an answer")]
    await harness.stop()
    await harness.start()
    await harness.settled()
    assert harness.answers() == ["an answer"]
    assert await harness.state(question) == "delivered"


async def test_a_message_that_kills_its_turns_is_given_up(harness: Harness) -> None:
    """After several attempts it is answered with words, so that it can't take the account down for ever."""
    harness.script = [Pause(600)]
    await harness.start()
    question = harness.say("@helper think")
    for _ in range(2):
        await harness.until(lambda: harness.agent.open)
        await harness.crash()
        await harness.start()
    await harness.settled()
    assert harness.answers() == ["I could not answer this, after several tries."]
    assert await harness.state(question) == "failed: gave up at attempt 3"
    assert len(harness.agent.requests) == 2
