"""Posts that the server will not take: words stand in for them, or they wait."""

from collections.abc import Callable, Mapping

import pytest
import trio
from attrs import evolve

from oc_trio.agent.scripted import Pause, Say
from oc_trio.core.final_plan import INTERRUPTED, STOPPED
from oc_trio.core.ledger import OutboxKind, OutboxState, delivered
from oc_trio.ids import ChannelId, OutboxId, UserId
from oc_trio.runtime.delivery.outbox_message import OutboxMessage, row_of
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from tests.runtime.harness import Harness

STAND_IN = "⚠️ The answer could not be posted here: the server does not take it. The log of the gateway says why."
NOT_POSTED = STAND_IN.replace("The answer", "A message")
OFF = {"streaming": {"mode": "off"}}
BLOCKS = {"streaming": {"mode": "off", "block": {"enabled": True, "coalesce": {"minChars": 10, "idleMs": 300}}}}


def fails(
    harness: Harness, status: int, which: Callable[[bytes], bool], until: float = 1e9, *, method: str = "POST"
) -> list[float]:
    """The server fails at posts whose body is such, for a while; returns when it did. With "PUT" it is at edits."""
    failures: list[float] = []

    async def fail(request: SandboxRequest) -> SandboxResponse | None:
        is_write = request.method == method and request.path.endswith(("/posts", "/patch"))
        if not (is_write and which(request.body) and trio.current_time() < until):
            return None
        failures.append(trio.current_time())
        return SandboxResponse.json({"id": "app.post.broken", "message": "no"}, status)

    harness.faults.before_rules.append(fail)
    return failures


async def row(harness: Harness, name: str) -> OutboxState | None:
    found = await harness.store.outbox.get(OutboxId(name))
    return None if found is None else found.state


async def turn_of(harness: Harness) -> str:
    found = await harness.store._engine.run(lambda tx: tx.value("SELECT id FROM turns"))
    return str(found)


def has_poison(body: bytes) -> bool:
    return b"poison" in body


@pytest.mark.parametrize("status", [400, 500])
async def test_an_answer_that_the_server_does_not_take(harness: Harness, status: int) -> None:
    """At once where it is refused, after a while where the server fails at it; the conversation goes on."""
    await harness.start(OFF)
    fails(harness, status, has_poison)
    harness.script = [Say("some poison")]
    question = harness.say("@helper go")
    await trio.sleep(900)  # a look every 10 ms, as `settled` has, would take its time
    await harness.settled()
    assert harness.answers() == [STAND_IN]
    assert (await harness.state(question)).startswith("failed: not delivered:")
    turn = await turn_of(harness)
    assert [await row(harness, name) for name in (f"{turn}.0", f"instead.{turn}.0")] == [
        OutboxState.DEAD,
        OutboxState.CONFIRMED,
    ]
    harness.script = [Say("at your service")]
    harness.say("@helper and now?", root=question)
    await harness.settled()
    assert harness.answers() == [STAND_IN, "at your service"]


@pytest.mark.slow
async def test_a_server_that_takes_nothing(harness: Harness) -> None:
    """Its trouble is not the answer's: that waits, and no stand-in remains."""
    await harness.start(OFF)
    fails(harness, 500, lambda body: True, until=3000)
    harness.script = [Say("an answer")]
    question = harness.say("@helper go")
    await trio.sleep(3000)
    await harness.settled()
    assert harness.answers() == ["an answer"]
    assert await harness.state(question) == "delivered"
    assert await row(harness, f"instead.{await turn_of(harness)}.0") is OutboxState.DEAD
    assert await harness.store.outbox.unfinished(harness.account) == ()


async def test_a_server_that_is_well_again_when_it_sees_the_stand_in(harness: Harness) -> None:
    """Its trouble was not the answer's either: that has one more try, and takes the place of the words for it."""
    stand_ins: list[bytes] = []

    def until_then(body: bytes) -> bool:
        stand_ins.extend([body] if b"could not be posted" in body else [])
        return len(stand_ins) < 3

    await harness.start(OFF)
    fails(harness, 500, until_then)
    harness.script = [Say("an answer")]
    question = harness.say("@helper go")
    await trio.sleep(900)
    await harness.settled()
    assert len(stand_ins) == 3  # and the third was taken
    assert harness.answers() == ["an answer"]
    assert await harness.state(question) == "delivered"


async def test_a_part_that_the_server_does_not_take(harness: Harness) -> None:
    """What stands before it stays, what would follow it is not sent; a restart in between changes nothing of that."""
    await harness.start({**OFF, "textChunkLimit": 20})
    fails(harness, 400, has_poison)
    harness.script = [Say("a first part of it\n\nand then the poison\n\nand a third part")]
    question = harness.say("@helper go")
    await harness.settled()
    assert harness.answers() == ["a first part of it", STAND_IN]
    found = await harness.obligation(question)
    assert found is not None
    assert list(found.outcome_posts) == [post.id for post in harness.ours()]


async def test_a_part_that_is_not_taken_after_a_preview(harness: Harness) -> None:
    """The first part has taken the preview's place: the same words don't stand twice."""
    await harness.start({"textChunkLimit": 20, "notify": "final"})
    fails(harness, 400, has_poison)
    harness.script = [Say("a first part of it"), Pause(30), Say("\n\nand then the poison")]
    question = harness.say("@helper go")
    await trio.sleep(20)
    assert harness.answers() == ["a first part of it"]
    await harness.settled()
    assert harness.answers() == ["a first part of it", STAND_IN]
    found = await harness.obligation(question)
    assert found is not None
    assert list(found.outcome_posts) == [post.id for post in harness.ours()]


@pytest.mark.slow
@pytest.mark.parametrize("is_well", [False, True])
async def test_a_restart_between_the_stand_in_and_the_end(harness: Harness, is_well: bool) -> None:
    """The answer has its one more try, and nothing is said twice."""
    await harness.start(OFF)
    fails(harness, 500, has_poison)
    harness.script = [Say("some poison")]
    question = harness.say("@helper go")
    await trio.sleep(550)
    await harness.until(lambda: STAND_IN in harness.answers(), within=300)
    await harness.crash()
    if is_well:
        harness.faults.before_rules.clear()
    await harness.start(OFF)
    await harness.settled()
    assert harness.answers() == ["some poison" if is_well else STAND_IN]
    assert (await harness.state(question)).startswith("delivered" if is_well else "failed: not delivered:")


async def test_a_proxy_that_refuses_words(harness: Harness) -> None:
    """Its 403 carries none of Mattermost's ids and is about the words, not about us."""
    await harness.start(OFF)

    async def refuse(request: SandboxRequest) -> SandboxResponse | None:
        return SandboxResponse.text("Forbidden", 403) if b"poison" in request.body else None

    harness.faults.before_rules.append(refuse)
    harness.script = [Say("some poison")]
    question = harness.say("@helper go")
    await harness.settled()
    assert harness.answers() == [STAND_IN]
    assert (await harness.state(question)).startswith("failed: not delivered:")


async def test_who_may_not_post_says_nothing(harness: Harness) -> None:
    """Where the refusal is about us, there is no place for other words."""
    await harness.start(OFF)
    failures = fails(harness, 403, lambda body: True)
    harness.script = [Say("an answer")]
    question = harness.say("@helper go")
    await harness.settled()
    assert (harness.answers(), len(failures)) == ([], 1)
    assert (await harness.state(question)).startswith("failed: not delivered:")


@pytest.mark.slow
@pytest.mark.parametrize("status", [400, 500])
@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, id="a draft that grows"),
        pytest.param({"streaming": {"mode": "block"}}, id="sealed drafts"),
        pytest.param(BLOCKS, id="blocks of their own"),
    ],
)
async def test_an_answer_that_is_shown_while_it_grows(
    harness: Harness, settings: Mapping[str, object], status: int
) -> None:
    """A draft or a block that the server does not take holds nobody: the answer is, and words stand in for it."""
    await harness.start(settings)
    fails(harness, status, has_poison)
    harness.script = [Say("poison at once\n\nand what comes behind it", delay=0.5)]
    question = harness.say("@helper go")
    await trio.sleep(1500)
    await harness.settled()
    assert harness.answers() == [STAND_IN]
    assert (await harness.state(question)).startswith("failed: not delivered:")
    harness.script = [Say("at your service")]
    harness.say("@helper and now?", root=question)
    await harness.settled()
    assert harness.answers() == [STAND_IN, "at your service"]
    assert await harness.store.outbox.unfinished(harness.account) == ()


@pytest.mark.slow
async def test_a_block_in_the_middle(harness: Harness) -> None:
    """What stands before it stays; a restart while it is tried changes nothing."""
    await harness.start(BLOCKS)
    fails(harness, 500, has_poison)
    harness.script = [Say("a first paragraph\n\nand then the poison\n\nand the last one", delay=0.2)]
    question = harness.say("@helper go")
    await trio.sleep(60)
    await harness.crash()
    await harness.start(BLOCKS)
    await trio.sleep(1500)
    await harness.settled()
    assert harness.answers() == ["a first paragraph", STAND_IN]
    found = await harness.obligation(question)
    assert found is not None
    assert list(found.outcome_posts) == [post.id for post in harness.ours()]


@pytest.mark.parametrize("status", [400, 500])
async def test_the_reply_to_a_command(harness: Harness, status: int) -> None:
    """It is as good as an answer; the next command gets its own."""
    await harness.start()
    fails(harness, status, lambda body: b"as @helper" in body)
    question = harness.say("@helper /status")
    await trio.sleep(900)
    await harness.settled()
    assert harness.answers() == [STAND_IN]
    assert (await harness.state(question)).startswith("failed: not delivered:")
    other = harness.say("@helper /think")
    await harness.settled()
    assert harness.answers() == [STAND_IN, "Thinking: default"]
    assert await harness.state(other) == "delivered"


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [60, 400])
async def test_a_restart_while_the_reply_to_a_command_is_tried(harness: Harness, seconds: float) -> None:
    """It is sent by whoever carries out the command, and by nobody beside."""
    await harness.start()
    fails(harness, 500, lambda body: b"as @helper" in body)
    question = harness.say("@helper /status")
    await trio.sleep(seconds)
    await harness.crash()
    await harness.start()
    await trio.sleep(900)
    await harness.settled()
    assert harness.answers() == [STAND_IN]
    assert (await harness.state(question)).startswith("failed: not delivered:")
    assert await harness.store.outbox.unfinished(harness.account) == ()


async def test_a_restart_between_a_refusal_and_its_stand_in(harness: Harness) -> None:
    """The refusal is known to have been told before, and is still said."""
    await harness.start(OFF)
    fails(harness, 400, has_poison)
    harness.script = [Say("some poison")]
    hung = trio.Event()

    async def hang(request: SandboxRequest) -> SandboxResponse | None:
        if b"could not be posted" in request.body and not hung.is_set():
            hung.set()
            await trio.sleep_forever()
        return None

    harness.faults.before_rules.append(hang)
    question = harness.say("@helper go")
    await hung.wait()
    await harness.crash()
    await harness.start(OFF)
    await harness.settled()
    assert harness.answers() == [STAND_IN]
    assert (await harness.state(question)).startswith("failed: not delivered:")


@pytest.mark.slow
async def test_a_server_that_is_away_when_words_are_to_stand_in(harness: Harness) -> None:
    """They wait: without them nobody would know of the refusal."""
    await harness.start(OFF)
    fails(harness, 400, has_poison)
    fails(harness, 503, lambda body: b"could not be posted" in body, until=1000)
    harness.script = [Say("some poison")]
    harness.say("@helper go")
    await trio.sleep(1000)
    await harness.settled()
    assert harness.answers() == [STAND_IN]


@pytest.mark.slow
async def test_a_draft_that_was_to_be_continued(harness: Harness) -> None:
    """It stays beside the words that stand in for the answer, and says no longer that it goes on."""
    await harness.start(gateway={"drainSeconds": 1})
    fails(harness, 500, has_poison)
    fails(harness, 500, has_poison, method="PUT")
    harness.script = [Say("one two three four five six seven", delay=1.0)]
    harness.say("@helper go")
    await trio.sleep(3.5)
    await harness.stop()
    assert harness.answers()[0].endswith(INTERRUPTED)
    harness.script = [Say("poison at once")]
    await harness.start()
    await trio.sleep(1500)
    await harness.settled()
    assert harness.answers() == [f"one two three four\n\n{STOPPED}", STAND_IN]


@pytest.mark.slow
async def test_a_notice_holds_no_conversation(harness: Harness) -> None:
    """Who was crowded out is told in other words, and the next question is answered."""
    await harness.start({**OFF}, messages={"queue": {"mode": "followup", "cap": 1, "drop": "new"}})
    fails(harness, 500, lambda body: b"was left unanswered" in body)
    harness.script = [Say("an answer", delay=1.0)]
    first = harness.say("@helper one")
    await trio.sleep(0.5)
    others = [harness.say(f"@helper {text}", root=first) for text in ("two", "three")]
    await trio.sleep(900)
    await harness.settled()
    assert harness.answers() == ["an answer", NOT_POSTED, "an answer"]
    assert [await harness.state(post) for post in others] == ["delivered", "failed: too many messages were waiting"]


async def test_what_an_earlier_run_left_in_the_outbox(harness: Harness) -> None:
    """A message of nobody's, and a stand-in that was begun for it: one of the two is posted. The start waits not."""
    original = OutboxMessage(OutboxId("cron.x.0"), ChannelId(harness.square.id), "some poison", OutboxKind.MESSAGE)
    begun = evolve(original, id=OutboxId("instead.cron.x.0"), message=NOT_POSTED)
    rows = [row_of(each, harness.account, UserId(harness.bot.id), harness.now_ms()) for each in (original, begun)]
    await harness.store.outbox.put(rows)
    fails(harness, 500, has_poison)
    began = trio.current_time()
    await harness.start()
    assert trio.current_time() - began < 30
    await trio.sleep(900)
    assert harness.answers() == [NOT_POSTED]
    assert [await row(harness, name) for name in ("cron.x.0", "instead.cron.x.0")] == [
        OutboxState.DEAD,
        OutboxState.CONFIRMED,
    ]


async def test_a_turn_of_nobodys_with_a_post_that_fails(harness: Harness) -> None:
    """A turn whose message was settled otherwise ends, too, without holding up the start."""
    await harness.start(OFF)
    harness.script = [Say("some poison")]
    fails(harness, 500, has_poison)
    harness.say("@helper go")
    await trio.sleep(60)
    await harness.crash()
    [found] = await harness.store.obligations.open_for(harness.account)
    await harness.store.obligations.close([found.id], delivered(), harness.now_ms())
    began = trio.current_time()
    await harness.start(OFF)
    assert trio.current_time() - began < 30
    await trio.sleep(300)
    assert harness.answers() == []
    assert await harness.store.turns.unfinished(harness.account) == ()
    assert await harness.store.outbox.unfinished(harness.account) == ()


async def test_a_place_that_takes_not_even_the_words(harness: Harness) -> None:
    """The question was deleted meanwhile, and its thread with it: the answer waits no longer, and holds nobody."""
    await harness.start({**OFF, "replyToMode": "all"})
    fails(harness, 500, has_poison)
    harness.script = [Say("some poison")]
    question = harness.say("@helper go")
    await trio.sleep(5)  # the answer is decided: only its delivery is left
    harness.delete(question)
    await trio.sleep(900)
    assert (await harness.state(question)).startswith("failed: not delivered:")
    assert harness.answers() == []
    assert await harness.store.outbox.unfinished(harness.account) == ()
