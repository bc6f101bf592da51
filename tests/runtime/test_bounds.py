"""How much one answer, one turn and one tool call may leave in a channel; and that others are answered meanwhile."""

from collections.abc import Iterator

from oc_trio.agent.scripted import CallTool, Pause, Say, Step
from oc_trio.core.draft_view import DraftView
from oc_trio.core.turn_events import AgentEvent, Final, TextDelta, Thinking
from tests.logbook import Logbook
from tests.runtime.town import Town


class Endless:
    """A model that never stops; `count` is how many events it was paid for."""

    def __init__(self, event: AgentEvent, times: int = 10**9) -> None:
        self.event, self.times, self.count = event, times, 0

    def __call__(self, _request: object) -> Iterator[AgentEvent]:
        while self.count < self.times:
            self.count += 1
            yield self.event


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
