"""How much one answer, one turn and one tool call may leave in a channel; and that others are answered meanwhile."""

from collections.abc import Iterator
from typing import Any

import pytest
import trio

from oc_trio.agent.scripted import CallTool, Pause, Say, Step
from oc_trio.core.draft_view import DraftView
from oc_trio.core.turn_events import AgentEvent, Final, TextDelta, Thinking
from oc_trio.sandbox.request import SandboxResponse
from tests.logbook import Logbook
from tests.runtime.harness import Town


class Endless:
    """A model that never stops; `count` is how many events it was paid for."""

    def __init__(self, event: AgentEvent, times: int = 10**9) -> None:
        self.event, self.times, self.count = event, times, 0

    def __call__(self, _request: object) -> Iterator[AgentEvent]:
        while self.count < self.times:
            self.count += 1
            yield self.event


@pytest.mark.slow
async def test_an_endless_answer_is_cut_and_says_so(town: Town, logbook: Logbook) -> None:
    """The stream is closed at the bound, the posts are few, and somebody else is answered meanwhile."""
    await town.start()
    endless = Endless(TextDelta("abc "))
    town.script = endless
    asked = town.say("@helper go on")
    await town.settled()
    answer = town.answers()
    assert 25 <= len(answer) <= 30
    assert answer[-1].endswith("_(The answer was cut off after 100,000 characters.)_")
    assert sum(len(text) for text in answer) < 102_000
    assert 25_000 <= endless.count < 25_010
    assert await town.state(asked) == "delivered"
    assert len(logbook.said("an answer was cut off")) == 1


async def test_a_long_final_word_is_cut(town: Town) -> None:
    """Of an agent that does not stream; a code block is closed before the sentence."""
    await town.start({"maxAnswerChars": 500})
    town.script = [Final("```\n" + "x = 1\n" * 1000)]
    town.say("@helper code")
    await town.settled()
    [answer] = town.answers()
    assert answer.endswith("\n```\n\n_(The answer was cut off after 500 characters.)_")
    assert len(answer) < 600


async def test_posts_of_a_turn_are_bounded(town: Town) -> None:
    """A small limit per post makes no flood of posts."""
    await town.start({"textChunkLimit": 10, "maxAnswerPosts": 5})
    town.script = [Final("word " * 1000)]
    town.say("@helper go on")
    await town.settled()
    answer = town.answers()
    assert len(answer) == 5
    assert answer[-1].endswith("_(The answer was cut off after 5 posts.)_")


def attached(town: Town) -> list[tuple[int, str, str]]:
    """For each file of the bot's posts: the post's place, the name and the text."""
    found = []
    for at, post in enumerate(town.ours()):
        for file_id in post.file_ids:
            file = town.world.files.get(file_id)
            found.append((at, file.name, file.data.decode()))
    return found


@pytest.mark.parametrize("mode", ["partial", "off", "block", "progress"])
async def test_what_posts_can_not_hold_is_attached(mode: str, town: Town) -> None:
    """The last post has the whole answer as a file, however it is shown."""
    await town.start({"textChunkLimit": 100, "maxAnswerPosts": 3, "streaming": {"mode": mode}})
    answer = "\n".join(f"line {number}" for number in range(200))
    town.script = [Final(answer)]
    asked = town.say("@helper go on")
    await town.settled()
    assert len(town.answers()) == 3
    assert town.answers()[-1].endswith("_(The answer was cut off after 3 posts.)_")
    assert attached(town) == [(2, "answer.md", answer)]
    assert await town.state(asked) == "delivered"


async def test_what_is_too_long_is_attached(town: Town) -> None:
    """Of an agent that does not stream, in one post; a draft that stood is replaced."""
    await town.start({"maxAnswerChars": 500})
    town.script = [Say("A while yet.", delay=3), Pause(5), Final("x = 1\n" * 1000)]
    town.say("@helper code")
    await town.settled()
    assert len(town.answers()) == 1
    assert attached(town) == [(0, "answer.md", "x = 1\n" * 1000)]


async def test_a_file_that_the_server_refuses_leaves_the_answer(town: Town) -> None:
    """It is cut all the same, and says both."""
    await town.start({"textChunkLimit": 100, "maxAnswerPosts": 2})

    async def refuse(request: Any) -> Any:
        await trio.lowlevel.checkpoint()
        if request.path.endswith("/files") and request.method == "POST":
            return SandboxResponse.json({"id": "api.file.attachments.disabled.app_error", "message": "no files"}, 501)
        return None

    town.weather.before_rules.append(refuse)
    town.script = [Final("word " * 200)]
    town.say("@helper go on")
    await town.settled()
    assert "cut off after 2 posts" in town.answers()[-1]
    assert "The file `answer.md` could not be attached" in town.answers()[-1]
    assert attached(town) == []


async def test_tokens_of_a_cut_stream_are_estimated(town: Town, logbook: Logbook) -> None:
    """Nobody waits for the server's own count."""
    await town.start({"maxAnswerChars": 1000})
    town.script = Endless(TextDelta("abcd"))
    post = town.say("@helper go on")
    await town.settled()
    owed = await town.store.obligations.by_trigger(town.account, post.id)
    assert owed is not None
    assert owed.turn is not None
    (usage,) = await town.store.usage.of_turn(owed.turn)
    assert 250 <= usage.output_tokens <= 252
    assert usage.input_tokens > 3
    assert logbook.said("an answer was cut off")


async def test_posts_of_blocks_are_bounded(town: Town) -> None:
    """Each paragraph a post, and each stretch of work: what is left of the posts is the answer's."""
    blocks = {"enabled": True, "coalesce": {"minChars": 1, "maxChars": 5}}
    await town.start({"streaming": {"mode": "off", "block": blocks}, "maxAnswerPosts": 6})
    town.script = [Say(f"{number:04}\n\n", delay=2) for number in range(50)]
    town.say("@helper go on")
    await town.settled()
    assert len(town.answers()) <= 6
    assert town.answers()[:3] == ["0000", "0001", "0002"]


async def test_sealed_blocks_are_bounded(town: Town) -> None:
    """Mode `block`."""
    await town.start({"streaming": {"mode": "block"}, "maxAnswerPosts": 6})
    steps: list[Step] = []
    for number in range(30):
        steps += [Say(f"Part {number}.", delay=1), CallTool("look", {"at": str(number)}), Pause(5)]
    town.script = [*steps, Say("That is all.")]
    town.say("@helper go on")
    await town.settled()
    answer = town.answers()
    assert len(answer) <= 6
    assert answer[0] == "Part 0."
    assert "That is all." in answer[-1]


async def test_endless_thinking_is_ended_in_words(town: Town) -> None:
    """Nobody pays for it until the turn's time is up."""
    await town.start()
    endless = Endless(Thinking("hm " * 1000))
    town.script = endless
    asked = town.say("@helper think")
    await town.settled()
    assert town.answers() == ["The model thought for too long and said nothing."]
    assert endless.count < 400
    assert "thinking" in await town.state(asked)


async def test_others_are_answered_meanwhile(town: Town) -> None:
    """Even by an agent that never waits."""
    await town.start()
    town.script = lambda request: Endless(TextDelta("abc "))(request) if "go on" in str(request) else [Say("hello")]
    town.say("@helper go on")
    other = town.say("@helper hello")
    await town.until(lambda: "hello" in town.answers(), within=20)
    assert await town.state(other) == "delivered"
    await town.settled()


def test_the_work_per_event_does_not_grow_with_the_text() -> None:
    """1 MiB in 4-byte deltas: what is copied is counted, not timed."""
    view = DraftView()
    for _ in range(2**18):
        before = view
        view = view.with_event(TextDelta("abc "))
        assert view.growing._pieces is before.growing._pieces or not before.growing.length
    assert view.growing.length == 2**20
    assert len(view.growing._pieces) == 2**18
    assert view.text == "abc " * 2**18
