"""After a crash: what was begun goes on in the same draft, what was decided is delivered once, what is gone is left."""

import pytest
import trio

from oc_trio.agent.scripted import Pause, Say
from oc_trio.core.final_plan import STOPPED
from oc_trio.core.ledger import delivered
from oc_trio.core.turn_events import ToolEnded, ToolStarted, ToolStatus
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from tests.runtime.harness import Town

SLOW = Say("one two three four five six seven eight", delay=1.0)


async def interrupted(town: Town) -> object:
    """Crash while a draft shows some words; returns the message."""
    await town.start()
    town.script = [SLOW]
    asked = town.say("@helper count")
    await town.until(lambda: any("two" in text for text in town.answers()))
    await town.crash()
    return asked


async def test_a_turn_goes_on_in_its_draft(town: Town) -> None:
    """One post holds the answer, whatever it said before."""
    await interrupted(town)
    [draft] = town.ours()
    town.script = [Say("another answer", delay=0.1)]
    await town.start()
    await town.settled()
    assert [(post.id, post.message) for post in town.ours()] == [(draft.id, "another answer")]


async def test_a_draft_whose_row_was_lost_with_the_process(town: Town) -> None:
    """The creation was applied, the process died before its answer: the same post is found and goes on."""
    await town.start()
    town.script = [SLOW]
    made = trio.Event()

    async def hang(request: SandboxRequest) -> SandboxResponse | None:
        if request.method == "POST" and request.path.endswith("/posts"):
            made.set()
            await trio.sleep(10)
        return None

    town.weather.after_rules.append(hang)
    asked = town.say("@helper count")
    await made.wait()
    await town.crash()
    town.weather.after_rules.clear()
    town.script = [Say("one", delay=0.1)]
    await town.start()
    await town.settled()
    assert town.answers() == ["one"]
    assert await town.state(asked) == "delivered"


async def test_a_message_deleted_while_the_gateway_was_down(town: Town) -> None:
    """It is not answered; the draft in the living thread is sealed."""
    await town.start()
    root = town.say("a thread")
    town.script = [SLOW]
    asked = town.say("@helper count", root=root)
    await town.until(lambda: any("two" in text for text in town.answers()))
    await town.crash()
    town.delete(asked)
    await town.start()
    await town.settled()
    assert len(town.stage.requests) == 1
    assert town.answers()[0].endswith(STOPPED)
    assert await town.state(asked) == "cancelled: the message was deleted"


async def test_a_message_edited_while_the_gateway_was_down(town: Town) -> None:
    """The new words are answered, in the draft that is there, and not what the old ones had led to."""
    await town.start()
    ended = ToolEnded("1", "look", ToolStatus.COMPLETED, "the result")
    town.script = [Say("Let me look."), ToolStarted("1", "look", {}), ended, Pause(600)]
    asked = town.say("@helper count")
    await town.until(town.answers)
    [draft] = town.ours()
    await town.crash()
    town.edit(asked, "@helper count backwards")
    town.script = [Say("three two one", delay=0.01)]
    await town.start()
    await town.settled()
    [message] = town.stage.requests[-1].messages
    assert "count backwards" in message.text
    assert [(post.id, post.message) for post in town.ours()] == [(draft.id, "three two one")]
    assert await town.state(asked) == "delivered"


async def test_a_turn_whose_obligations_had_ended(town: Town) -> None:
    """Nobody waits for it: it is ended, and its draft says that it stopped."""
    await interrupted(town)
    [found] = await town.store.obligations.open_for(town.account)
    await town.store.obligations.close([found.id], delivered(), town.now_ms())
    await town.start()
    await town.settled()
    assert town.answers()[0].startswith("one two")
    assert town.answers()[0].endswith(STOPPED)
    assert await town.store.turns.unfinished(town.account) == ()


async def test_removed_while_the_gateway_was_down(town: Town) -> None:
    """There is nowhere to answer any more, and the model is not asked."""
    room = town.world.create_channel(town.team, "room", town.alice, town.bot, private=True)
    await town.start()
    town.script = [SLOW]
    asked = town.say("@helper count", channel=room)
    await town.until(lambda: town.answers(room))
    await town.crash()
    town.world.membership.remove(room, town.world.users.get(town.bot.id), town.alice)
    await town.start()
    await town.settled()
    assert len(town.stage.requests) == 1
    assert await town.state(asked) == "cancelled: the bot was removed from the channel"


@pytest.mark.parametrize("at", ["POST", "PUT"])
async def test_a_decided_answer_is_delivered_once(town: Town, at: str) -> None:
    """The process dies while the final text is on its way: after the restart it stands once, and nobody thinks anew."""
    await town.start({"streaming": {"mode": "off"}} if at == "POST" else {})
    town.script = [Say("the final words", delay=1.0)]
    sent = trio.Event()

    async def hang(request: SandboxRequest) -> SandboxResponse | None:
        if request.method == at and b"final words" in request.body:
            sent.set()
            await trio.sleep(10)
        return None

    town.weather.after_rules.append(hang)
    asked = town.say("@helper say it")
    await sent.wait()
    await town.crash()
    town.weather.after_rules.clear()
    await town.start()
    await town.settled()
    assert town.answers() == ["the final words"]
    assert await town.state(asked) == "delivered"
    assert len(town.stage.requests) == 1


@pytest.mark.slow
async def test_orderly_restarts_are_no_attempts(town: Town) -> None:
    """However often the gateway is updated while an agent works for hours: the answer is not given up for that."""
    town.script = [Pause(600)]
    await town.start()
    asked = town.say("@helper think")
    for _ in range(9):
        await town.until(lambda: town.stage.open)
        await town.stop()
        await town.start()
    await town.until(lambda: town.stage.open)
    town.script = [Say("an answer")]
    await town.stop()
    await town.start()
    await town.settled()
    assert town.answers() == ["an answer"]
    assert await town.state(asked) == "delivered"


async def test_a_message_that_kills_its_turns_is_given_up(town: Town) -> None:
    """After several attempts it is answered with words, so that it can't take the account down for ever."""
    town.script = [Pause(600)]
    await town.start()
    asked = town.say("@helper think")
    for _ in range(2):
        await town.until(lambda: town.stage.open)
        await town.crash()
        await town.start()
    await town.settled()
    assert town.answers() == ["I could not answer this, after several tries."]
    assert await town.state(asked) == "failed: gave up at attempt 3"
    assert len(town.stage.requests) == 2
