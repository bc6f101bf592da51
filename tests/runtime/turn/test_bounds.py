"""How much one answer, one turn and one tool call may leave in a channel; and that others are answered meanwhile."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import trio

from oc_trio.agent.scripted import CallTool, Pause, Say, Step
from oc_trio.core.draft_view import DraftView, StreamMode
from oc_trio.core.turn_events import AgentEvent, Final, TextDelta, Thinking
from oc_trio.runtime.delivery.uploads import AWAY_SECONDS
from oc_trio.sandbox.request import SandboxResponse
from tests.logbook import Logbook
from tests.runtime.harness import Harness


class Endless:
    """A model that never stops; `count` is how many events it was paid for."""

    def __init__(self, event: AgentEvent, times: int = 10**9) -> None:
        self.event, self.times, self.count = event, times, 0

    def __call__(self, _request: object) -> Iterator[AgentEvent]:
        while self.count < self.times:
            self.count += 1
            yield self.event


@pytest.mark.slow
async def test_an_endless_answer_is_cut_and_says_so(harness: Harness, logbook: Logbook) -> None:
    """The stream is closed at the bound, the posts are few, and somebody else is answered meanwhile."""
    await harness.start()
    endless = Endless(TextDelta("abc "))
    harness.script = endless
    question = harness.say("@helper go on")
    await harness.settled()
    answer = harness.answers()
    assert 25 <= len(answer) <= 30
    assert answer[-1].endswith("_(The answer was cut off after 100,000 characters.)_")
    assert sum(len(text) for text in answer) < 102_000
    assert 25_000 <= endless.count < 25_010
    assert await harness.state(question) == "delivered"
    assert len(logbook.find("an answer was cut off")) == 1


async def test_a_long_final_word_is_cut(harness: Harness) -> None:
    """Of an agent that does not stream; a code block is closed before the sentence."""
    await harness.start({"maxAnswerChars": 500})
    harness.script = [Final("```\n" + "x = 1\n" * 1000)]
    harness.say("@helper code")
    await harness.settled()
    [answer] = harness.answers()
    assert answer.endswith("\n```\n\n_(The answer was cut off after 500 characters.)_")
    assert len(answer) < 600


async def test_posts_of_a_turn_are_bounded(harness: Harness) -> None:
    """A small limit per post makes no flood of posts."""
    await harness.start({"textChunkLimit": 10, "maxAnswerPosts": 5})
    harness.script = [Final("word " * 1000)]
    harness.say("@helper go on")
    await harness.settled()
    answer = harness.answers()
    assert len(answer) == 5
    assert answer[-1].endswith("_(The answer was cut off after 5 posts.)_")


def attached(harness: Harness) -> list[tuple[int, str, str]]:
    """For each file of the bot's posts: the post's place, the name and the text."""
    found = []
    for at, post in enumerate(harness.ours()):
        for file_id in post.file_ids:
            file = harness.world.files.get(file_id)
            found.append((at, file.name, file.data.decode()))
    return found


@pytest.mark.parametrize("mode", StreamMode)
async def test_what_posts_can_not_hold_is_attached(mode: StreamMode, harness: Harness) -> None:
    """The last post has the whole answer as a file, however it is shown."""
    await harness.start({"textChunkLimit": 100, "maxAnswerPosts": 3, "streaming": {"mode": mode.value}})
    answer = "\n".join(f"line {number}" for number in range(200))
    harness.script = [Final(answer)]
    question = harness.say("@helper go on")
    await harness.settled()
    assert len(harness.answers()) == 3
    assert harness.answers()[-1].endswith("_(The answer was cut off after 3 posts.)_")
    assert attached(harness) == [(2, "answer.md", answer)]
    assert await harness.state(question) == "delivered"


async def test_what_is_too_long_is_attached(harness: Harness) -> None:
    """Of an agent that does not stream, in one post; a draft that stood is replaced."""
    await harness.start({"maxAnswerChars": 500})
    harness.script = [Say("A while yet.", delay=3), Pause(5), Final("x = 1\n" * 1000)]
    harness.say("@helper code")
    await harness.settled()
    assert len(harness.answers()) == 1
    assert attached(harness) == [(0, "answer.md", "x = 1\n" * 1000)]


async def test_a_file_that_the_server_refuses_leaves_the_answer(harness: Harness) -> None:
    """The answer is cut all the same, and says that it was and that the file is missing."""
    await harness.start({"textChunkLimit": 100, "maxAnswerPosts": 2})

    async def refuse(request: Any) -> Any:
        await trio.lowlevel.checkpoint()
        if request.path.endswith("/files") and request.method == "POST":
            return SandboxResponse.json({"id": "api.file.attachments.disabled.app_error", "message": "no files"}, 501)
        return None

    harness.faults.before_rules.append(refuse)
    harness.script = [Final("word " * 200)]
    harness.say("@helper go on")
    await harness.settled()
    assert "cut off after 2 posts" in harness.answers()[-1]
    assert "The file `answer.md` could not be attached" in harness.answers()[-1]
    assert attached(harness) == []


@pytest.mark.parametrize("seconds", [60.0, pytest.param(1000.0, marks=pytest.mark.slow)])
async def test_a_file_waits_for_a_server_that_is_away(harness: Harness, seconds: float) -> None:
    """A restart of the server delays words and file; a file does not keep the words back for ever."""
    await harness.start({"textChunkLimit": 100, "maxAnswerPosts": 2})
    until = trio.current_time() + seconds

    async def refuse(request: Any) -> None:
        await trio.lowlevel.checkpoint()
        if request.path.endswith("/files") and trio.current_time() < until:
            raise httpx.ConnectError("connection refused")

    harness.faults.before_rules.append(refuse)
    harness.script = [Final("word " * 200)]
    harness.say("@helper go on")
    is_there = seconds < AWAY_SECONDS
    await trio.sleep(2 * min(seconds, AWAY_SECONDS))
    assert [name for _, name, _ in attached(harness)] == ["answer.md"] * is_there
    assert ("`answer.md` could not be attached: the server did not take it" in harness.answers()[-1]) != is_there


async def test_tokens_of_a_cut_stream_are_estimated(harness: Harness, logbook: Logbook) -> None:
    """The usage of a stream that was cut off is estimated, without waiting for the server's count."""
    await harness.start({"maxAnswerChars": 1000})
    harness.script = Endless(TextDelta("abcd"))
    post = harness.say("@helper go on")
    await harness.settled()
    owed = await harness.store.obligations.by_trigger(harness.account, post.id)
    assert owed is not None
    assert owed.turn is not None
    (usage,) = await harness.store.usage.of_turn(owed.turn)
    assert 250 <= usage.output_tokens <= 252
    assert usage.input_tokens > 3
    assert logbook.find("an answer was cut off")


@pytest.mark.slow
async def test_posts_of_blocks_are_bounded(harness: Harness) -> None:
    """Each paragraph a post, and each stretch of work: what is left of the posts is the answer's."""
    blocks = {"enabled": True, "coalesce": {"minChars": 1, "maxChars": 5}}
    await harness.start({"streaming": {"mode": "off", "block": blocks}, "maxAnswerPosts": 6})
    harness.script = [Say(f"{number:04}\n\n", delay=2) for number in range(50)]
    harness.say("@helper go on")
    await harness.settled()
    assert len(harness.answers()) <= 6
    assert harness.answers()[:3] == ["0000", "0001", "0002"]


@pytest.mark.slow
async def test_sealed_blocks_are_bounded(harness: Harness) -> None:
    """Mode `block`."""
    await harness.start({"streaming": {"mode": "block"}, "maxAnswerPosts": 6})
    steps: list[Step] = []
    for number in range(30):
        steps += [Say(f"Part {number}.", delay=1), CallTool("look", {"at": str(number)}), Pause(5)]
    harness.script = [*steps, Say("That is all.")]
    harness.say("@helper go on")
    await harness.settled()
    answer = harness.answers()
    assert len(answer) <= 6
    assert answer[0] == "Part 0."
    assert "That is all." in answer[-1]


async def test_endless_thinking_is_ended_in_words(harness: Harness) -> None:
    """Reasoning beyond its bound ends the turn with a sentence, before the turn's time is up."""
    await harness.start()
    endless = Endless(Thinking("hm " * 1000))
    harness.script = endless
    question = harness.say("@helper think")
    await harness.settled()
    assert harness.answers() == ["The model thought for too long and said nothing."]
    assert endless.count < 400
    assert "thinking" in await harness.state(question)


@pytest.mark.slow
async def test_others_are_answered_meanwhile(harness: Harness) -> None:
    """Even by an agent that never waits."""
    await harness.start()
    harness.script = lambda request: Endless(TextDelta("abc "))(request) if "go on" in str(request) else [Say("hello")]
    harness.say("@helper go on")
    other = harness.say("@helper hello")
    await harness.until(lambda: "hello" in harness.answers(), within=20)
    assert await harness.state(other) == "delivered"
    await harness.settled()


@pytest.mark.slow
def test_the_work_per_event_does_not_grow_with_the_text() -> None:
    """1 MiB in 4-byte deltas: what is copied is counted, not timed."""
    view = DraftView()
    for _ in range(2**18):
        before = view
        view = view.with_event(TextDelta("abc "))
        assert view.streamed_text._pieces is before.streamed_text._pieces or not before.streamed_text.length
    assert view.streamed_text.length == 2**20
    assert view.text == "abc " * 2**18
