"""What happens to messages that arrive during a turn, in each mode of the queue; nothing is lost in any of them."""

from typing import Any

import pytest
import trio
from attrs import evolve

from oc_trio.agent.port import TurnRequest
from oc_trio.agent.scripted import Hear, Pause, Say
from oc_trio.core.events import ChannelType
from oc_trio.core.final_plan import STOPPED
from oc_trio.core.inbound import InboundMessage
from oc_trio.core.ledger import Obligation, Source
from oc_trio.core.queueing import DropRule, QueueMode, QueueRules
from oc_trio.core.turn_events import ToolEnded, ToolStarted, ToolStatus
from oc_trio.ids import AccountId, AgentId, ChannelId, ObligationId, SessionKey, TurnId, UserId
from oc_trio.runtime.conversation.mailbox import ArrivalResult, Batch, Job, Mailbox
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from tests.runtime.harness import Harness

FOLLOWUP = QueueRules(QueueMode.FOLLOWUP, cap=2, drop=DropRule.SUMMARIZE)


def a_job(name: str, turn: str = "") -> Job:
    session = SessionKey("s")
    message = InboundMessage(
        account=AccountId("default"),
        trigger=name,
        source=Source.LIVE,
        channel_id=ChannelId("c"),
        channel_type=ChannelType.OPEN,
        user_id=UserId("u"),
        user_name="alice",
        text=f"text of {name}",
        session=session,
        agent=AgentId("main"),
    )
    obligation = Obligation(
        id=ObligationId(f"o-{name}"),
        account=AccountId("default"),
        trigger=name,
        channel_id=ChannelId("c"),
        user_id=UserId("u"),
        root_id="",
        session=session,
        source=Source.LIVE,
        reason="mention",
        payload="",
        admitted_at=0,
        turn=TurnId(turn) if turn else None,
    )
    return Job(obligation, message)


def names(batch: Batch | None) -> tuple[list[str], list[str]]:
    assert batch is not None
    return [job.trigger for job in batch.jobs], [job.trigger for job in batch.summarised]


def filled(rules: QueueRules, *jobs: Job, running: bool = True) -> tuple[Mailbox, list[str]]:
    mailbox, gone = Mailbox(), []
    for job in jobs:
        gone += [dropped.trigger for dropped in mailbox.arrive(job, rules, running=running)[1]]
    return mailbox, gone


def test_followups_come_one_by_one() -> None:
    """Each waiting message gets a turn of its own, oldest first."""
    mailbox, _ = filled(FOLLOWUP, a_job("a"), a_job("b"))
    assert [names(mailbox.take(FOLLOWUP)), names(mailbox.take(FOLLOWUP))] == [(["a"], []), (["b"], [])]
    assert mailbox.take(FOLLOWUP) is None


def test_too_many_are_summed_up() -> None:
    """Beyond the cap the oldest are kept as one line each, and their jobs join the next turn."""
    mailbox, gone = filled(FOLLOWUP, *map(a_job, "abcd"))
    batch = mailbox.take(FOLLOWUP)
    assert gone == []
    assert names(batch) == (["c"], ["a", "b"])
    assert batch is not None
    assert batch.lines == ("alice: text of a", "alice: text of b")
    assert names(mailbox.take(FOLLOWUP)) == (["d"], [])


@pytest.mark.parametrize(
    ("drop", "gone", "left"), [(DropRule.OLD, ["a"], ["b", "c"]), (DropRule.NEW, ["c"], ["a", "b"])], ids=["old", "new"]
)
def test_too_many_are_given_back(drop: DropRule, gone: list[str], left: list[str]) -> None:
    """The other rules hand out whose obligation is to be ended."""
    rules = evolve(FOLLOWUP, drop=drop)
    mailbox, dropped = filled(rules, *map(a_job, "abc"))
    assert dropped == gone
    assert [names(mailbox.take(rules))[0][0] for _ in left] == left


def test_collected_messages_come_together() -> None:
    """One turn answers all of them."""
    rules = QueueRules(QueueMode.COLLECT)
    mailbox, _ = filled(rules, *map(a_job, "abc"))
    assert names(mailbox.take(rules)) == (["a", "b", "c"], [])


def test_a_turn_to_go_on_with_comes_first() -> None:
    """Jobs of an earlier turn stay together, before what is new."""
    mailbox, _ = filled(FOLLOWUP, a_job("new"), a_job("a", "t1"), a_job("b", "t1"), a_job("c", "t2"))
    assert [names(mailbox.take(FOLLOWUP))[0] for _ in range(3)] == [["a", "b"], ["c"], ["new"]]


def test_a_turn_to_go_on_with_is_not_torn() -> None:
    """Its jobs are answered together, however many they are; nothing else finds room behind them."""
    mailbox = Mailbox(capacity=2)
    for name in "abc":
        assert mailbox.arrive(a_job(name, "t1"), FOLLOWUP, running=False)[0] is ArrivalResult.WAITS
    assert mailbox.arrive(a_job("d"), FOLLOWUP, running=False)[0] is ArrivalResult.SPILLED
    assert names(mailbox.take(FOLLOWUP)) == (["a", "b", "c"], [])


def test_a_full_mailbox_spills() -> None:
    """What memory has no room for is left to the journal."""
    mailbox = Mailbox(2)
    fates = [mailbox.arrive(a_job(name), QueueRules(QueueMode.FOLLOWUP), running=True)[0] for name in "abc"]
    assert fates == [ArrivalResult.WAITS, ArrivalResult.WAITS, ArrivalResult.SPILLED]
    assert mailbox.has_spilled


def test_removing_and_replacing_reach_every_place() -> None:
    """QueuedMessage, summed up and resumed jobs alike."""
    mailbox, _ = filled(FOLLOWUP, a_job("sum"), a_job("b"), a_job("c"), a_job("res", "t"))
    for name in ("sum", "b", "res"):
        job = a_job(name)
        assert mailbox.replace(evolve(job, inbound=job.inbound.with_text("new words")))
    assert not mailbox.replace(a_job("unknown"))
    assert {job.inbound.text for job in mailbox.remove(lambda job: job.trigger in ("sum", "b", "res"))} == {"new words"}
    assert len(mailbox) == 1
    assert names(mailbox.take(FOLLOWUP)) == (["c"], [])


# in a running gateway


def queue(mode: str, **more: Any) -> dict[str, Any]:
    return {"queue": {"mode": mode, "debounceMs": 0, **more}}


async def ask_during(harness: Harness, *texts: str, script: Any = None) -> list[Any]:
    """A first message whose turn takes 10 s, and more of them while it runs; returns all the posts."""
    harness.script = script or [Pause(10), Say("an answer", delay=0.01)]
    posts = [harness.say("@helper first")]
    await harness.until(lambda: harness.agent.open)
    for text in texts:
        await trio.sleep(0.1)
        posts.append(harness.say(f"@helper {text}", root=posts[0]))
    return posts


def prompt_of(request: TurnRequest) -> str:
    return request.messages[-1].text


@pytest.mark.slow
async def test_followup(harness: Harness) -> None:
    """Each message has its own answer, in order."""
    await harness.start(messages=queue("followup"))
    posts = await ask_during(harness, "second", "third")
    await harness.settled()
    assert harness.answers() == ["an answer"] * 3
    assert [word in prompt_of(request) for word, request in zip(("first", "second", "third"), harness.agent.requests)]
    assert [await harness.state(post) for post in posts] == ["delivered"] * 3


@pytest.mark.slow
async def test_collect(harness: Harness) -> None:
    """What arrived during a turn is answered together."""
    await harness.start(messages=queue("collect"))
    posts = await ask_during(harness, "second", "third")
    await harness.settled()
    assert harness.answers() == ["an answer"] * 2
    assert "second" in prompt_of(harness.agent.requests[1])
    assert "third" in prompt_of(harness.agent.requests[1])
    assert [await harness.state(post) for post in posts] == ["delivered"] * 3


async def test_interrupt(harness: Harness) -> None:
    """A newer message ends the turn and is answered instead."""
    await harness.start(messages=queue("interrupt"))
    harness.script = [Say("one two three four five six seven", delay=1.0), Pause(10)]
    first = harness.say("@helper first")
    await harness.until(lambda: harness.answers())
    harness.script = [Say("the new answer", delay=0.01)]
    second = harness.say("@helper second", root=first)
    await harness.settled()
    assert harness.answers()[0].endswith(STOPPED)
    assert harness.answers()[1] == "the new answer"
    assert harness.agent.open == 0
    assert await harness.state(first) == "cancelled: a newer message replaced it"
    assert await harness.state(second) == "delivered"


async def test_steer(harness: Harness) -> None:
    """The running agent hears the message at its next step, and one answer is for both."""
    await harness.start(messages=queue("steer"))
    steered: list[str] = []

    def script(request: TurnRequest) -> Any:
        yield Pause(10)
        messages = yield Hear()
        steered.extend(message.text for message in messages)
        yield Say("an answer to both")

    posts = await ask_during(harness, "second", "third", script=script)
    await harness.settled()
    assert harness.answers() == ["an answer to both"]
    assert ["second" in steered[0], "third" in steered[1]] == [True, True]
    assert [await harness.state(post) for post in posts] == ["delivered"] * 3
    turns = {found.turn for post in posts if (found := await harness.obligation(post)) is not None}
    assert len(turns) == 1


async def test_steer_that_the_agent_never_hears(harness: Harness) -> None:
    """A steered message that the agent did not read is answered by a turn of its own."""
    await harness.start(messages=queue("steer"))
    posts = await ask_during(harness, "second")
    await harness.settled()
    assert harness.answers() == ["an answer"] * 2
    assert "second" in prompt_of(harness.agent.requests[1])
    assert [await harness.state(post) for post in posts] == ["delivered"] * 2


async def test_a_steered_turn_is_resumed_whole(harness: Harness) -> None:
    """After a crash both messages are answered by one turn again, in the same draft."""
    await harness.start(messages=queue("steer"))

    def script(request: TurnRequest) -> Any:
        yield Say("working on it", delay=0.01)
        yield Pause(2)
        yield Hear()
        yield Pause(60)

    posts = await ask_during(harness, "second", script=script)
    await trio.sleep(5)
    await harness.crash()
    harness.script = [Say("the answer", delay=0.01)]
    await harness.start(messages=queue("steer"))
    await harness.settled()
    assert harness.answers() == ["the answer"]
    assert [await harness.state(post) for post in posts] == ["delivered"] * 2
    assert "second" in "".join(message.text for message in harness.agent.requests[-1].messages)


@pytest.mark.slow
@pytest.mark.parametrize(("drop", "answered"), [("old", (1, 3)), ("new", (1, 2))])
async def test_a_full_queue(harness: Harness, drop: str, answered: tuple[int, int]) -> None:
    """Who is crowded out is told so, and nobody else is."""
    await harness.start(messages=queue("followup", cap=1, drop=drop))
    posts = await ask_during(harness, "second", "third")
    await harness.settled()
    states = [await harness.state(post) for post in posts]
    dropped = 1 if drop == "old" else 2
    assert states[dropped] == "failed: too many messages were waiting"
    assert states.count("delivered") == 2
    assert [text for text in harness.answers() if text.startswith("⚠️")] == [
        "⚠️ A message was left unanswered, because too many messages were waiting. Please ask again."
    ]


@pytest.mark.parametrize("how", ["crash", "stop"])
async def test_a_notice_that_a_restart_cuts_off(harness: Harness, how: str) -> None:
    """Who is told to ask again is told so once, after the restart, and not answered as well."""
    rules = queue("followup", cap=1, drop="new")
    await harness.start(messages=rules)
    is_away = True

    async def refuse(request: SandboxRequest) -> SandboxResponse | None:
        if is_away and request.method == "POST" and b"left unanswered" in request.body:
            return SandboxResponse.json({"id": "app.away", "message": "no"}, 503)
        return None

    harness.faults.before_rules.append(refuse)
    posts = await ask_during(harness, "second", "third", "fourth")
    await trio.sleep(30)
    await (harness.crash() if how == "crash" else harness.stop())
    assert [await harness.state(post) for post in posts[2:]] == ["failed: too many messages were waiting"] * 2
    is_away = False
    await harness.start(messages=rules)
    await harness.settled()
    await harness.until(lambda: any(text.startswith("⚠️ 2 messages were") for text in harness.answers()))
    (notice,) = [post for post in harness.ours() if post.message.startswith("⚠️")]
    assert harness.answers().count("an answer") == 2
    ended = [await harness.obligation(post) for post in posts[2:]]
    assert [each.outcome_posts for each in ended if each] == [(notice.id,)] * 2


@pytest.mark.slow
async def test_a_full_queue_that_sums_up(harness: Harness) -> None:
    """The oldest are told to the agent by a line each, and the answer is for them as well."""
    await harness.start(messages=queue("followup", cap=1, drop="summarize"))
    posts = await ask_during(harness, "second", "third", "fourth")
    await harness.settled()
    assert harness.answers() == ["an answer"] * 2
    assert "[Messages that there was no room to queue]\n- alice: second\n- alice: third" in prompt_of(
        harness.agent.requests[1]
    )
    assert "fourth" in prompt_of(harness.agent.requests[1])
    assert [await harness.state(post) for post in posts] == ["delivered"] * 4


async def test_the_queue_command_changes_one_conversation(harness: Harness) -> None:
    """`/queue` holds at once, for the turn that runs."""
    await harness.start(messages=queue("followup"))
    [first] = await ask_during(harness)
    harness.say("@helper /queue collect debounce:2s", root=first)
    await trio.sleep(0.2)
    for text in ("second", "third"):
        harness.say(f"@helper {text}", root=first)
    await harness.settled()
    assert [text for text in harness.answers() if "answer" in text] == ["an answer"] * 2
    assert any("Queue: collect, cap 20, drop summarize, debounce 2 s" in text for text in harness.answers())


async def test_the_debounce_waits_for_second_thoughts(harness: Harness) -> None:
    """What comes shortly after a turn's end still joins what waited."""
    await harness.start(messages=queue("collect", debounceMs=1000))
    posts = await ask_during(harness)
    await trio.sleep(9.5)
    posts.append(harness.say("@helper second", root=posts[0]))
    await trio.sleep(0.9)
    posts.append(harness.say("@helper third", root=posts[0]))
    await harness.settled()
    assert len(harness.agent.requests) == 2
    assert [await harness.state(post) for post in posts] == ["delivered"] * 3


@pytest.mark.slow
async def test_a_flood_is_answered_whole(harness: Harness) -> None:
    """More messages than memory has room for: the journal keeps the rest, and every one of them has its end."""
    await harness.start(messages=queue("collect", cap=500))
    harness.script = [Pause(3), Say("an answer", delay=0.01)]
    posts = [harness.say("@helper first")]
    await harness.until(lambda: harness.agent.open)
    posts += [harness.say(f"@helper number {number}", root=posts[0]) for number in range(230)]
    await harness.settled(within=2000)
    assert {await harness.state(post) for post in posts} == {"delivered"}
    assert len(harness.agent.requests) <= 4


async def test_an_edit_of_one_of_several(harness: Harness) -> None:
    """A turn for several messages is run again with the new words, for all of them."""
    await harness.start(messages=queue("collect"))
    posts = await ask_during(harness, "second", "third")
    await harness.until(lambda: len(harness.agent.requests) == 2)
    harness.script = [Say("for both", delay=0.01)]
    harness.edit(posts[1], "@helper other words")
    await harness.settled()
    assert "other words" in prompt_of(harness.agent.requests[2])
    assert "third" in prompt_of(harness.agent.requests[2])
    assert [await harness.state(post) for post in posts] == ["delivered"] * 3


async def test_the_deletion_of_one_of_several(harness: Harness) -> None:
    """The others are answered all the same."""
    await harness.start(messages=queue("collect"))
    posts = await ask_during(harness, "second", "third")
    await harness.until(lambda: len(harness.agent.requests) == 2)
    harness.delete(posts[1])
    await harness.settled()
    assert "third" in prompt_of(harness.agent.requests[2])
    assert "second" not in prompt_of(harness.agent.requests[2])
    states = [await harness.state(post) for post in posts]
    assert states == ["delivered", "cancelled: the message was deleted", "delivered"]


async def test_the_deletion_of_one_that_had_joined(harness: Harness) -> None:
    """The turn runs again for the others: a call that completed is not made again, the deleted words are not told."""
    await harness.start(messages=queue("steer"))
    ended = ToolEnded("1", "look", ToolStatus.COMPLETED, "the result")

    def script(request: TurnRequest) -> Any:
        yield Pause(5)
        yield Say("Let me look.")
        yield ToolStarted("1", "look", {"q": 1})
        yield ended
        yield Hear()
        yield Pause(60)

    posts = await ask_during(harness, "second", script=script)
    await trio.sleep(10)
    harness.script = [Say("the answer", delay=0.01)]
    harness.delete(posts[1])
    await harness.settled()
    again = harness.agent.requests[1].messages
    assert [(message.role.value, message.text) for message in again[1:]] == [("assistant", ""), ("tool", "the result")]
    assert ("first" in again[0].text, "second" in again[0].text) == (True, False)
    assert harness.answers() == ["the answer"]
    assert [await harness.state(post) for post in posts] == ["delivered", "cancelled: the message was deleted"]


async def test_a_stop_reaches_what_waits(harness: Harness) -> None:
    """`/stop` ends the turn and withdraws what waits behind it, steered messages included."""
    await harness.start(messages=queue("steer"))
    posts = await ask_during(harness, "second")
    harness.say("@helper stop", root=posts[0])
    await harness.settled()
    assert [await harness.state(post) for post in posts] == ["cancelled: stopped"] * 2
    assert harness.answers() == ["⚙️ Agent was aborted."]


@pytest.mark.slow
async def test_a_deletion_of_what_waits(harness: Harness) -> None:
    """A message that waits and is deleted is not answered."""
    await harness.start(messages=queue("followup"))
    posts = await ask_during(harness, "second", "third")
    harness.delete(posts[1])
    await harness.settled()
    assert len(harness.agent.requests) == 2
    assert [await harness.state(post) for post in posts] == [
        "delivered",
        "cancelled: the message was deleted",
        "delivered",
    ]
